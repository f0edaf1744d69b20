"""What identifies the code of an operator that is not ours: its distribution's version and a digest of its source.

Our own operators carry a `version` that is raised with their outputs, so nothing more identifies them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from operators.contract.errors import InputError

_OURS = "operators"
_FOUNDATIONS = frozenset({_OURS, "pydantic", "builtins", "abc", "typing"})
"""Top-level packages of base classes whose code is not digested."""


def is_ours(cls: type) -> bool:
    """Whether a class is defined in the package `operators`."""
    return cls.__module__.partition(".")[0] == _OURS


@cache
def code_version(cls: type) -> str:
    """Name and version of the distribution, where there is one, and sha256 of the source files of the class.

    The files are those of the modules that define the class and its own base classes. Other modules that they import
    are covered by the distribution's version alone.

    Raises: InputError for a class that is defined in no file.
    """
    digest = hashlib.sha256()
    for module in dict.fromkeys(_modules(cls)):
        digest.update(f"{module}\n".encode())
        digest.update(_source(module, cls).read_bytes())
    distribution = _distribution(cls.__module__.partition(".")[0])
    return f"{distribution or 'not installed'}, source {digest.hexdigest()}"


def _modules(cls: type) -> Iterator[str]:
    return (base.__module__ for base in cls.__mro__ if base.__module__.partition(".")[0] not in _FOUNDATIONS)


def _source(module: str, cls: type) -> Path:
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        raise InputError(f"{cls.__qualname__} is defined in no file, so its code has no version: put it into a module")
    return Path(file)


def _distribution(package: str) -> str:
    names = _distributions().get(package, [])
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in dict.fromkeys(names))


@cache
def _distributions() -> dict[str, list[str]]:
    """Distributions by top-level package; reading all of them takes half a second."""
    return {package: list(names) for package, names in importlib.metadata.packages_distributions().items()}
