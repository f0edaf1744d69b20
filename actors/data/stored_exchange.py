"""An exchange whose tasks run on workers and send each other files on storage.

The process that plans holds where the pieces of the files lie, 44 bytes for each sender and reader, and no rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from actors.data.exchange_files import SentFile, SentPieces, StoredInbox, write_sent
from actors.storage.storage import Storage
from operators.contract.exchange import Inbox, Step

log = logging.getLogger(__name__)

TOGETHER_BYTES = 256 << 20
"""Small tasks of a step go to a worker together up to so many bytes: to hand over one costs some milliseconds."""
MIN_GROUPS = 8
"""Of a step with more tasks, so that some workers share them."""

Tasks = Sequence[tuple[int, Inbox]]
"""Tasks that a worker does one after another: their numbers, and what is addressed to each."""


class StepWork(Protocol):
    """What a worker does with tasks; picklable."""

    def __call__(self, tasks: Tasks) -> list[SentFile]: ...


class TaskRunner(Protocol):
    """Has workers do groups of tasks; yields what a group wrote with its place, in any order. `task_bytes` is about
    what a worker holds at a time."""

    def __call__(
        self, groups: Iterable[Tasks], work: StepWork, task_bytes: int
    ) -> Iterator[tuple[int, list[SentFile]]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredExchange:
    """Files in a folder of its own, which whoever made the exchange deletes."""

    folder: Storage
    run_tasks: TaskRunner
    _sent: SentPieces = field(default_factory=SentPieces)
    """By all tasks so far, step by step and by number."""

    def send(self, files: Sequence[SentFile]) -> list[object]:
        """Take in what the tasks of a step wrote, by number; their notes."""
        self._sent.add(files)
        return [file.note for file in files]

    def inbox(self, number: int, channels: Sequence[str]) -> StoredInbox:
        """What is addressed to a task so far."""
        return StoredInbox(folder=self.folder, pieces={name: self._sent.to(number, name) for name in channels})

    def run(self, step: Step, *, num_tasks: int, task_bytes: int) -> list[object]:
        log.debug("%s: %d tasks of %d bytes", type(step).__name__, num_tasks, task_bytes)
        together = max(1, min(TOGETHER_BYTES // max(1, task_bytes), num_tasks // MIN_GROUPS))
        groups = (
            [(number, self.inbox(number, step.reads)) for number in range(start, min(start + together, num_tasks))]
            for start in range(0, num_tasks, together)
        )
        work = partial(_carry_out, step, self.folder, f"{self._sent.num_files:08d}")
        done = dict(self.run_tasks(groups, work, task_bytes))
        return self.send([file for place in sorted(done) for file in done[place]])

    def delete_files(self) -> None:
        """Delete all that was sent, on a worker: to let go of gigabytes of files costs about a second."""
        for _ in self.run_tasks([()], partial(_delete, self.folder), 0):
            pass


def _carry_out(step: Step, folder: Storage, prefix: str, tasks: Tasks) -> list[SentFile]:
    return [write_sent(folder, f"{prefix}-{number:06d}.arrow", step(number, inbox)) for number, inbox in tasks]


def _delete(folder: Storage, tasks: Tasks) -> list[SentFile]:
    folder.delete()
    return []
