"""What `process` notes beside an output: that it is ours, what it was made of, and the accounts once it is whole.

It is a hidden file, in an output that is a folder or beside one that is a file, so that whoever reads the folder as a
dataset passes it over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.storage.sealed import sealed, unsealed
from actors.storage.storage import Storage
from autodp_ray.applying.accounts import Applied
from autodp_ray.applying.source import quarantine_of
from autodp_ray.records.output.output_files import is_own, names_a_file
from operators.contract.errors import InputError, RunError

RECORD = ".autodp.json"


class OutputRecord(BaseModel):
    """The claim on an output."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_of: Mapping[str, object]
    """All that the output is a function of, as plain values."""
    sizes: Mapping[str, int] = {}
    """Bytes of its files by name."""
    applied: Applied | None = None
    """Null until it is whole."""


class ClaimedOutput:
    """A target of which a claim says whose it is."""

    def __init__(self, target: Storage) -> None:
        place, name = target.place()
        self._target = target
        self._folder, self._name = (place, f".{name}{RECORD}") if names_a_file(name) else (target, RECORD)

    def record(self) -> OutputRecord | None:
        """What is noted; None where nothing is there at all.

        Raises: InputError where something lies there that no command of ours put there, or has changed since.
        """
        found = self._noted()
        there = self._target.is_file() or self._target.files() or quarantine_of(self._target).is_there()
        if found is None and there:
            raise InputError(
                f"--output {self._target.shown} is there already, and no autodp process wrote it; nothing in it was "
                "touched: choose another --output, or delete it"
            )
        if found is not None and (changed := self._changed(found)):
            raise InputError(
                f"--output {self._target.shown}: {changed} after it was written; nothing was touched: choose another "
                "--output, or delete it"
            )
        return found

    def claim(self, made_of: Mapping[str, object]) -> None:
        """From here on what appears there is ours."""
        self._write(OutputRecord(made_of=made_of))

    def close(self, made_of: Mapping[str, object], applied: Applied) -> None:
        """The output is whole."""
        names = [Storage(file).place()[1] for file in applied.files]
        self._write(OutputRecord(made_of=made_of, applied=applied, sizes={name: self._size(name) for name in names}))

    def is_whole(self, record: OutputRecord) -> bool:
        """Whether every file of a finished output is there."""
        return record.applied is not None and all(self._folder.is_file(name) for name in record.sizes)

    def _changed(self, record: OutputRecord) -> str | None:
        """What has become of a file of a finished output that has another size now, or that would go as one of its."""
        for name in record.sizes:
            if self._folder.is_file(name) and self._size(name) != record.sizes[name]:
                return f"{name} was changed"
        names = self._target.names() if record.applied is not None else []
        return next((f"{name} was put there" for name in names if is_own(name) and name not in record.sizes), None)

    def _size(self, name: str) -> int:
        return int(self._folder.filesystem.get_file_info(self._folder.path(name)).size)

    def _noted(self) -> OutputRecord | None:
        try:
            text = unsealed(self._folder.read_bytes(self._name), what=self._folder.shown_uri(self._name))
            return OutputRecord.model_validate_json(text)
        except FileNotFoundError:
            return None
        except (RunError, ValidationError):
            raise InputError(
                f"{self._folder.shown_uri(self._name)} cannot be read, so whose output lies there is not known; delete "
                "it together with the output, or choose another --output"
            ) from None

    def _write(self, record: OutputRecord) -> None:
        self._folder.write_bytes(self._name, sealed(json.dumps(record.model_dump(mode="json"), ensure_ascii=False)))
