"""DATASET operators in this process, without files: for small tables, benchmarks and tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from operators.contract.counts import Transformed
from operators.contract.exchange import Inbox, PartitionedTransform, Sent, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcessExchange:
    """Tables in memory; one task runs after another."""

    _boxes: dict[str, dict[int, list[pa.Table]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def send(self, sent: Sent) -> object:
        """Put the tables where they are addressed to; the note."""
        for channel, boxes in sent.channels.items():
            for number, table in boxes.items():
                self._boxes[channel][number].append(table.combine_chunks())
        return sent.note

    def inbox(self, number: int, channels: Sequence[str]) -> Inbox:
        return _Tables(tables_of={channel: self._boxes[channel][number] for channel in channels})

    def run(self, step: Step, *, num_tasks: int, task_bytes: int) -> list[object]:
        del task_bytes
        sent = [step(number, self.inbox(number, step.reads)) for number in range(num_tasks)]
        return [self.send(one) for one in sent]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    tables_of: dict[str, list[pa.Table]]

    def tables(self, channel: str) -> Iterator[pa.Table]:
        return iter(self.tables_of[channel])


def apply_to_parts(transform: PartitionedTransform, parts: Sequence[pa.Table]) -> list[Transformed]:
    """What an operator makes of the parts of a dataset."""
    exchange = InProcessExchange()
    notes = [exchange.send(transform.sketch(number, part)) for number, part in enumerate(parts)]
    transform.decide(notes, exchange)
    return [transform.apply(part, exchange.inbox(number, transform.decision)) for number, part in enumerate(parts)]
