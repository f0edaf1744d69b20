"""Which files of an output an earlier attempt has written whole, so that the next attempt goes on with the others.

In a hidden folder of the output lies a small sealed note for each of them, as long as the output is not whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.data.stored_dataset import Part
from actors.storage.sealed import sealed, unsealed
from actors.storage.storage import Storage
from autodp_ray.records.spelling.layout import Layout
from operators.contract.digest import json_digest
from operators.contract.errors import RunError

NOTES = ".written"


class _Note(BaseModel):
    """One file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_of: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFiles:
    """The files in a folder that rows of one layout are written to; plain data that travels to workers."""

    folder: Storage
    layout: Layout

    def has(self, name: str, parts: Sequence[Part]) -> bool:
        """Whether the file is there as it was noted, made of these very parts."""
        try:
            data = self.folder.read_bytes(_note_of(name))
            note = _Note.model_validate_json(unsealed(data, what="a note"))
        except (RunError, OSError, ValidationError):
            return False
        return note == _Note(made_of=self._made_of(parts), num_bytes=self._size(name))

    def note(self, name: str, parts: Sequence[Part]) -> None:
        """The file is whole."""
        note = _Note(made_of=self._made_of(parts), num_bytes=self._size(name))
        self.folder.write_bytes(_note_of(name), sealed(note.model_dump_json()))

    def forget(self) -> None:
        """The output is whole: the notes go."""
        self.folder.delete(NOTES)

    def _made_of(self, parts: Sequence[Part]) -> str:
        return json_digest([self.layout.model_dump(mode="json"), [part.checksum for part in parts]])

    def _size(self, name: str) -> int:
        return self.folder.filesystem.get_file_info(self.folder.path(name)).size or 0


def _note_of(name: str) -> str:
    return f"{NOTES}/{name}.json"
