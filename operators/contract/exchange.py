"""How an operator decides over all rows where no process may hold something of each of them.

The work is cut in steps. The tasks of a step have numbers; each reads what earlier steps addressed to its number, and
addresses tables to the numbers of later ones. What is addressed lies in channels, which have names. Who plans the steps
sees a small note of each task and no rows. Knows neither Ray nor files: `TableExchange` is what carries the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from operators.contract.counts import Transformed

Boxes = Mapping[int, pa.Table]
"""Tables by the number of the task that they are for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a task made."""

    channels: Mapping[str, Boxes]
    note: object = None
    """For the one who plans: small and picklable."""


class Inbox(Protocol):
    """What is addressed to one task."""

    def tables(self, channel: str) -> Iterator[pa.Table]:
        """Those of a channel, by step and number of the task that sent them; nothing where there are none."""


class Step(Protocol):
    """A pure function, the same for every task of the step; picklable."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The channels that its tasks read."""

    def __call__(self, number: int, inbox: Inbox) -> Sent: ...


class TableExchange(Protocol):
    """Carries tables from task to task."""

    def run(self, step: Step, *, num_tasks: int, task_bytes: int) -> list[object]:
        """Run the tasks 0 to `num_tasks` - 1 of a step; their notes in that order.

        `task_bytes` is about what one holds at a time. Nothing is stored but numbers and Arrow data.
        """


class PartitionedTransform(Protocol):
    """The three pure parts of a `PartitionedOperator`."""

    @property
    def decision(self) -> tuple[str, ...]:
        """The channels that tell each part what to do."""

    def sketch(self, number: int, batch: pa.Table) -> Sent:
        """What the decision needs of the part with this number: the first step, whose tasks are the parts."""

    def decide(self, notes: Sequence[object], exchange: TableExchange) -> None:
        """Carry out all other steps; `notes` are those of the parts. The cut of the rows changes nothing."""

    def apply(self, batch: pa.Table, inbox: Inbox) -> Transformed:
        """The decision carried out on one part, with counts by reason; its rows are those that were sketched."""
