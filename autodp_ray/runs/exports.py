"""Which files a run exported as tuned models, by its journal: those may be replaced or deleted, others may not."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

from actors.storage.storage import Storage
from autodp_ray.journal import Journal, readable_events

EXPORTED = "exported"


def note_export(journal: Journal, output: Storage, files: Collection[str]) -> None:
    """Say which files will be a model's, before the first of them is there."""
    known = [file for file in exported_to(journal, output) if file not in files]
    journal.append(EXPORTED, {"output": output.shown, "files": [*known, *files]}, key=output.shown)


def exported_to(journal: Journal, output: Storage) -> list[str]:
    """Paths, relative to an output, of the files that tunings of this run put there or began to."""
    event = journal.find(EXPORTED, output.shown)
    return [] if event is None else _texts(event["files"])


def exported_files(run: Storage) -> list[str]:
    """Paths, relative to the run's folder, of the files of models that lie in it, as far as its journal can be read."""
    found = []
    for event in readable_events(run):
        place = Storage(run.shown).name_of(Storage(event.key))
        if event.name == EXPORTED and place is not None:
            found += [str(PurePosixPath(place, file)) for file in _texts(event.payload["files"])]
    return found


def _texts(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(each) for each in value]
