"""What a machine can say of itself before a run: what is installed, which model it finds under a name.

Plain functions of the process that is asked; node_answers.py asks them on every node.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.llm.spec import ENGINES
from actors.models.shape import ModelShape, read_shape
from actors.models.source import resolve_model
from actors.screening.manifest import read_manifest
from autodp_ray.tracking.registry import TRACKINGS

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "ray": ("ray",),
    "torch": ("torch",),
    "transformers": ("transformers",),
    "pyarrow": ("pyarrow",),
    "sentence_transformers": ("sentence-transformers",),
    "faiss": ("faiss-cpu", "faiss-gpu-cu12"),
    **{package.module: package.distributions for engine in ENGINES.values() for package in engine.packages},
    "deepspeed": ("deepspeed",),
    **{package.module: package.distributions for service in TRACKINGS.values() for package in service.packages},
}
"""Modules, and the distributions that bring them."""
_ROOT = Path(__file__).parents[2]
_LAYERS = ("operators", "actors", "autodp_ray")
_SUFFIXES = {".py", ".jinja"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What a process runs on."""

    python: str
    code: str
    """Digest of this project's own files."""
    packages: Mapping[str, str]
    """Version by module; a module that is not there is left out."""


def own_installation() -> Installation:
    """What this process finds; imports none of it."""
    found = {module: _version(module, names) for module, names in PACKAGES.items()}
    return Installation(
        python=platform.python_version(),
        code=code_digest(_ROOT),
        packages={module: version for module, version in found.items() if version is not None},
    )


def code_digest(root: Path) -> str:
    """sha256 over names and contents of the project's code and prompts below `root`."""
    digest = hashlib.sha256()
    for path in sorted(path for layer in _LAYERS for path in (root / layer).rglob("*") if path.suffix in _SUFFIXES):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def model_revision(source: str) -> str:
    """What identifies the model that this machine finds. Raises: InputError where it cannot be had."""
    return resolve_model(source).revision


def model_shape(source: str) -> ModelShape | None:
    """Its sizes, None for a type that is not known. Raises: InputError where it cannot be had."""
    return read_shape(resolve_model(source).path)


def screener_revision(folder: str) -> str:
    """What identifies the screener in a folder. Raises: InputError where there is none."""
    return read_manifest(folder).revision


def _version(module: str, distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None if importlib.util.find_spec(module) is None else "of unknown version"
