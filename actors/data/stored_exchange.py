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

Task = tuple[int, Inbox]
"""The number of a task, and what is addressed to it."""


class StepWork(Protocol):
    """What a worker does with a task; picklable."""

    def __call__(self, task: Task) -> SentFile: ...


class TaskRunner(Protocol):
    """Runs tasks on workers; yields their results with the tasks' places, in any order."""

    def __call__(self, tasks: Iterable[Task], work: StepWork, task_bytes: int) -> Iterator[tuple[int, SentFile]]: ...


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
        tasks = ((number, self.inbox(number, step.reads)) for number in range(num_tasks))
        work = partial(_carry_out, step, self.folder, f"{self._sent.num_files:08d}")
        done = dict(self.run_tasks(tasks, work, task_bytes))
        return self.send([done[number] for number in range(num_tasks)])


def _carry_out(step: Step, folder: Storage, prefix: str, task: Task) -> SentFile:
    number, inbox = task
    return write_sent(folder, f"{prefix}-{number:06d}.arrow", step(number, inbox))
