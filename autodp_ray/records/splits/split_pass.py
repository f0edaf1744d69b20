"""One job over all splits, on Ray's workers where there are some; results in the input's order.

Each split of a large file is read as if its lines meant what they seem to mean. The end of the split before it says how
it really begins (file_ranges.py), and where that was assumed wrongly, it is read anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from actors.data.many_jobs import ManyJobs
from autodp_ray.records.files.file_ranges import FileRange, RangeEnd
from autodp_ray.records.formats.record_ends import exact_range
from autodp_ray.records.splits.plan import Split
from operators.contract.errors import AutoDPError

T = TypeVar("T")

SplitJob = Callable[[Split], tuple[T, RangeEnd]]
"""What is done with a split whose bounds are exact; picklable, as its result is. It writes the same when done anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitDone(Generic[T]):
    """A split as it really is, and what came of it."""

    split: Split
    value: T
    lines_ahead: int = 0
    """What is to be added to the line numbers of the job, which may not have known where its split starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt(Generic[T]):
    split: Split
    result: tuple[T, RangeEnd] | AutoDPError


def over_splits(
    splits: Sequence[Split], job: SplitJob[T], jobs: ManyJobs, *, memory_bytes: int = 0
) -> Iterator[SplitDone[T]]:
    """Do the job on every split; yields in the input's order.

    Raises: what the job raises of ours, for the first split of the input where it does; RunError where Ray fails.
    """
    work = partial(_attempted, job)
    before: tuple[FileRange, RangeEnd] | None = None
    with closing(
        jobs.run(splits, work, memory_bytes=memory_bytes)
    ) as attempts:  # a fault ends what is under way before it is told
        for attempt in attempts:
            attempt, ahead = _begun_right(attempt, before, work)
            if isinstance(attempt.result, AutoDPError):
                raise attempt.result
            value, end = attempt.result
            part = attempt.split.ranges[-1]
            before = None if part.stop is None else (part, replace(end, next_line=end.next_line + ahead))
            yield SplitDone(split=_moved(attempt.split, ahead), value=value, lines_ahead=ahead)


def _attempted(job: SplitJob[T], split: Split) -> _Attempt[T]:
    """The job's result, or its error as a value: it may come of a wrong beginning."""
    try:
        exact = replace(split, ranges=tuple(exact_range(part) for part in split.ranges))
    except AutoDPError as error:
        return _Attempt(split=split, result=error)
    try:
        return _Attempt(split=exact, result=job(exact))
    except AutoDPError as error:
        return _Attempt(split=exact, result=error)


def _begun_right(
    attempt: _Attempt[T], before: tuple[FileRange, RangeEnd] | None, work: Callable[[Split], _Attempt[T]]
) -> tuple[_Attempt[T], int]:
    """The attempt, or a new one where its split begins otherwise; and how far its lines are behind."""
    part = attempt.split.ranges[0]
    if before is None:
        return attempt, 0
    done, end = before
    real = end.continued(done, part)
    if (real.start, real.known, real.is_open) == (part.start, part.known, part.is_open):
        return attempt, real.first_line - part.first_line
    return work(replace(attempt.split, ranges=(real,))), 0


def _moved(split: Split, lines: int) -> Split:
    if not lines:
        return split
    (part,) = split.ranges
    return replace(split, ranges=(replace(part, first_line=part.first_line + lines),))
