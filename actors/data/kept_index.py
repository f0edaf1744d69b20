"""An index of rows that were kept, so that later datasets are compared with them: their sketches on shared storage.

    INDEX/index.json                        what its rows are compared by
    INDEX/OUTPUT/batch.json                 the rows of one output: of which attempt, and what that was made of
    INDEX/OUTPUT/ATTEMPT/parts.json         written when all parts of the attempt are
    INDEX/OUTPUT/ATTEMPT/part-000000.arrow

The rows of an output are known once its `batch.json` names an attempt, which is the last that happens to it. Without
its folder they are forgotten. Knows sketches as tables of any columns, and no rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from actors.storage.sealed import sealed, unsealed
from actors.storage.storage import Storage
from operators.contract.digest import json_digest
from operators.contract.errors import InputError, RunError

T = TypeVar("T")

SETTINGS, BATCH, PARTS = "index.json", "batch.json", "parts.json"


class KeptPart(BaseModel):
    """One Arrow IPC file of sketches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """Its name in the index."""
    num_rows: int
    num_bytes: int
    checksum: str
    """sha256 of the file."""


class Batch(BaseModel):
    """The rows of one output that are known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_of: str
    """Digest of all that the output is a function of."""
    parts: tuple[KeptPart, ...]

    @property
    def num_rows(self) -> int:
        return sum(part.num_rows for part in self.parts)


_KEPT = TypeAdapter(tuple[KeptPart, ...])
_PLAIN = TypeAdapter(dict[str, object])
_BATCH = TypeAdapter(Batch)
_FORGET = "delete the folder of the index that holds it, so that its rows are forgotten, or begin another index"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedRows:
    """The known rows of an index, and the folder in it where an attempt at an output keeps its own (`KnownRows`)."""

    folder: Storage
    parts: tuple[KeptPart, ...]
    attempt: str

    @property
    def revision(self) -> str:
        return json_digest([self.attempt, [part.checksum for part in self.parts]])

    @property
    def num_parts(self) -> int:
        return len(self.parts)

    @property
    def part_bytes(self) -> int:
        return max((part.num_bytes for part in self.parts), default=0)

    @property
    def num_rows(self) -> int:
        return sum(part.num_rows for part in self.parts)

    def read(self, number: int) -> pa.Table:
        """Raises: RunError where the part is gone or not what was written."""
        part = self.parts[number]
        where = self.folder.shown_uri(part.file)
        try:
            data = self.folder.read_bytes(part.file)
        except FileNotFoundError:
            raise RunError(f"{where} is gone, but the index names it; {_FORGET}") from None
        if hashlib.sha256(data).hexdigest() != part.checksum:
            raise RunError(f"{where} is damaged: its checksum differs; {_FORGET}")
        return pa.ipc.open_file(pa.BufferReader(data)).read_all()

    def keep(self, number: int, table: pa.Table) -> KeptPart:
        name = f"{self.attempt}/part-{number:06d}.arrow"
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue().to_pybytes()
        self.folder.write_bytes(name, data)
        checksum = hashlib.sha256(data).hexdigest()
        return KeptPart(file=name, num_rows=table.num_rows, num_bytes=len(data), checksum=checksum)

    def close(self, notes: Sequence[object]) -> None:
        kept = tuple(note for note in notes if isinstance(note, KeptPart) and note.num_rows)
        self.folder.write_bytes(f"{self.attempt}/{PARTS}", sealed(_KEPT.dump_json(kept).decode()))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptIndex:
    """An index as one output sees it, whose own rows in it, from an earlier command, are not known to it."""

    folder: Storage
    output: str
    """The name of the output's folder in the index."""

    def require_fitting(self, settings: Mapping[str, object]) -> None:
        """Raises: InputError where rows of the index are compared by other settings, or something else lies there."""
        if (theirs := self._read(_PLAIN, SETTINGS)) is None:
            if names := list(self._outputs()):
                raise InputError(f"{self.folder.shown} is no index: it holds {names[0]}; name an empty folder")
            return
        for name in sorted(theirs.keys() | settings.keys()):
            if theirs.get(name) != settings.get(name):
                raise InputError(
                    f"the index {self.folder.shown} was made with {name} {theirs.get(name)}, but here it is "
                    f"{settings.get(name)}: use what it was made with, or begin another index"
                )

    def make(self, settings: Mapping[str, object]) -> None:
        """Make the index where there is none.

        Raises: InputError as `require_fitting` does.
        """
        self.require_fitting(settings)
        self.folder.make_private()
        self.folder.write_bytes(SETTINGS, sealed(_PLAIN.dump_json(dict(settings)).decode()))

    def batch(self) -> Batch | None:
        """What is known of this output."""
        return self._batch(self.output)

    def known(self, made_of: str) -> IndexedRows:
        """The rows of all other outputs, for an attempt at this one."""
        others = [batch for name in self._outputs() if name != self.output and (batch := self._batch(name))]
        parts = tuple(part for batch in others for part in batch.parts)
        attempt = json_digest([made_of, [part.checksum for part in parts]])[:16]
        return IndexedRows(folder=self.folder, parts=parts, attempt=f"{self.output}/{attempt}")

    def commit(self, rows: IndexedRows, made_of: str) -> int:
        """What an attempt has kept is known from here on, instead of what was known of the output; how many rows.

        Raises: RunError where the attempt's rows are not there.
        """
        kept = self._read(_KEPT, f"{rows.attempt}/{PARTS}")
        if kept is None:
            gone = self.folder.shown_uri(rows.attempt)
            raise RunError(f"{gone} is gone while it was needed; give another --work folder, so that it is made again")
        batch = Batch(made_of=made_of, parts=kept)
        self.folder.write_bytes(f"{self.output}/{BATCH}", sealed(batch.model_dump_json()))
        for name in self.folder.names(self.output):
            if name != BATCH and f"{self.output}/{name}" != rows.attempt:
                self.folder.delete(f"{self.output}/{name}")
        return batch.num_rows

    def _outputs(self) -> Iterator[str]:
        return (name for name in self.folder.names() if not name.startswith(".") and name != SETTINGS)

    def _batch(self, output: str) -> Batch | None:
        return self._read(_BATCH, f"{output}/{BATCH}")

    def _read(self, kind: TypeAdapter[T], name: str) -> T | None:
        where = self.folder.shown_uri(name)
        try:
            return kind.validate_json(unsealed(self.folder.read_bytes(name), what=where))
        except FileNotFoundError:
            return None
        except RunError as error:
            raise InputError(f"{error}; {_FORGET}") from error
        except ValidationError:
            raise InputError(f"{where} is not as this version of the program writes it; begin another index") from None
