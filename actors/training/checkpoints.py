"""Where the checkpoints of a training are: in a folder that every rank sees, or at a URI.

A trainer writes plain files. For a URI each rank sends up what it wrote, its own shards of the optimizer among it, and
keeps nothing. The trainer's state comes last: a checkpoint without it was left half written, and is passed over.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
import transformers
from filelock import FileLock

from actors.storage.scratch import scratch_folder
from actors.storage.storage import Storage

CHECKPOINT = re.compile(r"checkpoint-(\d+)")
STATE = "trainer_state.json"


class Checkpoints(transformers.TrainerCallback):  # type: ignore[misc] # transformers has no types here
    """The checkpoints of one training, as one rank sees them; `scratch` is a folder of this rank's own."""

    def __init__(self, location: str, *, scratch: str) -> None:
        self._storage = Storage.at(location)
        self.written_to = location if self._storage.is_local else scratch
        """The folder into which the trainer writes them."""
        self._copy: Path | None = None

    @contextmanager
    def last(self) -> Iterator[str | None]:
        """The local folder of the last whole one, if there is any; a copy is there for as long as this is held."""
        name = self._last_whole()
        if name is None or self._storage.is_local:
            yield None if name is None else self._storage.path(name)
            return
        digest = hashlib.sha256(f"{self._storage.location} {self._storage.read_text(f'{name}/{STATE}')}".encode())
        with scratch_folder(f"checkpoint-{digest.hexdigest()[:16]}") as place:
            self._copy = self._copied(name, place)
            yield str(self._copy)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ANN401
        """After a step of all ranks together, none of them reads the checkpoint any more that they started from."""
        self._drop_copy()

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ANN401
        """Sends up what this rank wrote; once all ranks have, the state follows, and what is older goes."""
        if self._storage.is_local:
            return
        name = f"checkpoint-{state.global_step}"
        written = Path(self.written_to) / name
        last = written / STATE  # rank 0 alone has it
        text = last.read_text("utf-8") if last.exists() else None
        last.unlink(missing_ok=True)
        self._storage.folder(name).upload(str(written))
        shutil.rmtree(written)
        if dist.is_available() and dist.is_initialized():
            dist.barrier()
        if text is not None:
            self._storage.write_text(f"{name}/{STATE}", text)
            for other in self._storage.names():
                if other != name:
                    self._storage.delete(other)

    def _drop_copy(self) -> None:
        """By every rank of this machine, whoever comes first."""
        if self._copy is not None:
            shutil.rmtree(self._copy, ignore_errors=True)
            self._copy = None

    def _last_whole(self) -> str | None:
        found = [match for match in map(CHECKPOINT.fullmatch, self._storage.names()) if match]
        whole = [match for match in found if self._storage.exists(f"{match[0]}/{STATE}")]
        return max(whole, key=lambda match: int(match[1]))[0] if whole else None

    def _copied(self, name: str, place: Path) -> Path:
        """A checkpoint's copy on this machine, downloaded once for all its ranks."""
        target = place / name
        with FileLock(place / "lock"):
            if not target.is_dir():
                part = place / "part"
                part.mkdir(exist_ok=True)
                self._storage.folder(name).download(str(part))
                part.rename(target)
        return target
