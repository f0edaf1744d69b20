"""The index that `process --index` compares an output's rows with, and to which it adds them.

Knows when they count as known: from the moment on when everything of the output is written but the word that it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from actors.data.kept_index import IndexedRows, KeptIndex
from actors.storage.folder_lock import folder_lock
from actors.storage.storage import Storage
from autodp_ray.cluster.needed import needed_operators
from autodp_ray.config.run_config import Config
from autodp_ray.records.dataset_files import would_read
from autodp_ray.run_contents import LOCK
from autodp_ray.strategy import Strategy
from operators.contract.digest import json_digest
from operators.contract.errors import InputError
from operators.contract.operator import PartitionedOperator
from operators.contract.redaction import redacted
from operators.contract.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputIndex:
    """An index, as one output uses it."""

    rows: KeptIndex
    settings: Mapping[str, object]
    """What rows are compared by."""
    target: Storage

    @classmethod
    def of(cls, location: str, *, data: str, target: Storage, config: Config, strategy: Strategy) -> OutputIndex:
        """Raises: InputError where the strategy does not compare rows once, or the index is none of its."""
        folder = Storage.at(location)
        _require_apart(folder, data=data, target=target)
        operators = needed_operators(config, strategy.teams)
        comparing = [each for each in operators if isinstance(each, PartitionedOperator) and each.needs.known_rows]
        if len(comparing) != 1:
            raise InputError(
                f"--index is for a strategy that compares rows once, as deduplicate does in cleaning; in {strategy} "
                f"{len(comparing)} operators do"
            )
        name = f"{target.place()[1]}-{sha256(redacted(target.location).encode()).hexdigest()[:8]}"
        settings = comparing[0].known_by(Resources(content_columns=config.dataset.content_columns))
        index = cls(rows=KeptIndex(folder=folder, output=name), settings=settings, target=target)
        index.rows.require_fitting(settings)
        return index

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the index, made where there is none.

        Raises: InputError where another process is adding to it.
        """
        folder = self.rows.folder
        folder.make_private()
        busy = f"the index {folder.shown} is in use by another process: wait for it; rows are added one after another"
        with folder_lock(folder, LOCK, busy=busy):
            self.rows.make(self.settings)
            yield

    def holds(self, made_of: Mapping[str, object]) -> bool:
        """Whether the rows of the output that is made of this are known."""
        batch = self.rows.batch()
        return batch is not None and batch.made_of == json_digest(made_of)

    def require_unmoved(self, made_of: Mapping[str, object]) -> None:
        """Raises: InputError where the index knows rows of this output, which is not there, and was made of others."""
        batch = self.rows.batch()
        if batch is not None and batch.made_of != json_digest(made_of):
            raise InputError(
                f"the index {self.rows.folder.shown} knows {batch.num_rows:,} rows of an earlier {self.target.shown}, "
                "which is not there any more: give another --output; or, where those rows are to be forgotten, delete "
                f"{self.rows.folder.shown_uri(self.rows.output)}"
            )

    def known(self, made_of: Mapping[str, object]) -> IndexedRows:
        """The rows of all other outputs."""
        return self.rows.known(json_digest(made_of))

    def add(self, known: IndexedRows, made_of: Mapping[str, object]) -> int:
        """From here on the output's rows are known; how many."""
        return self.rows.commit(known, json_digest(made_of))


def _require_apart(folder: Storage, *, data: str, target: Storage) -> None:
    """Raises: InputError for an index among the files of the input or the output."""
    if would_read(data, folder.path("index.json")) or would_read(data, folder.path("output/attempt/part.arrow")):
        raise InputError(f"--index {folder.shown} lies in the input, and would be read as such; name another folder")
    if folder == target or target.name_of(folder) is not None or folder.name_of(target) is not None:
        raise InputError(f"--index {folder.shown} and --output {target.shown} must be folders apart")
