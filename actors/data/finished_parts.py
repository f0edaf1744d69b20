"""What an attempt at a pass has finished, part by part, so that the next attempt goes on there.

Beside the parts that a pass writes lies a small sealed JSON file for each that is done: of which pass and which input
it is, the new part's manifest entry, and its counts. Workers write it after the part, and check both before they
believe it. It goes when the pass is closed by its manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.data.part_jobs import Written
from actors.data.stored_dataset import Part, is_there
from actors.storage.sealed import sealed, unsealed
from actors.storage.storage import Storage
from operators.contract.errors import RunError

FINISHED = "finished"
"""The folder of the notes, in that of the parts."""


class _Note(BaseModel):
    """One finished part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    source: str
    """The checksum of the part that it was made from."""
    part: Part
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedParts:
    """The finished parts of one pass; plain data that travels to its workers."""

    folder: Storage
    """Where the pass writes its parts."""
    key: str
    """Of all that the pass is a function of, beside the part itself: what has another key was made by another pass."""

    def noted(self) -> frozenset[int]:
        """The indices of which there is a note; whether it can be believed, `find` says."""
        stems = (name.partition(".")[0] for name in self.folder.names(FINISHED))
        return frozenset(int(stem) for stem in stems if stem.isdecimal())

    def find(self, index: int, source: Part) -> Written | None:
        """What was made of a part, where it is there whole."""
        try:
            note = _Note.model_validate_json(unsealed(self.folder.read_bytes(_name(index)), what="a note"))
        except (RunError, OSError, ValidationError):
            return None
        if (note.key, note.source) != (self.key, source.checksum) or not is_there(self.folder, note.part):
            return None
        return Written(part=note.part, counts=note.counts)

    def note(self, index: int, source: Part, written: Written) -> None:
        """A part is done and its file is there."""
        note = _Note(key=self.key, source=source.checksum, part=written.part, counts=written.counts)
        self.folder.write_bytes(_name(index), sealed(note.model_dump_json()))


def _name(index: int) -> str:
    return f"{FINISHED}/{index:08d}.json"
