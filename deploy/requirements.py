"""Print what pyproject.toml asks for, with the extras named as arguments, for a layer that code does not change.

Knows pyproject.toml and nothing else; versions come from a constraints file.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements(extras: Iterable[str]) -> list[str]:
    """The dependencies of the project, then those of the extras.

    Raises: KeyError for an extra that pyproject.toml does not have.
    """
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in extras for line in optional[extra])]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
