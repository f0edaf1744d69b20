"""The trainings that wait for a group of Train workers, as an asyncio actor between driver and workers.

Hands every rank of a group the same job, collects what the ranks report, and gives a job whose workers died to the next
group, within a bound. Knows no torch and no model.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from actors.cluster.metrics import TRAININGS_WAITING
from actors.training.job import Advance, TrainJob, TrainOutcome

RANKS_AGREE_WITHIN_S = 10.0
"""How long ranks wait for each other after a failure; a rank that is silent for longer waits in a collective."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """An outcome, or why there is none."""

    outcome: TrainOutcome | None = None
    failure: str | None = None
    diverged: bool = False
    """Whether the failure is a `DivergedError`."""


@dataclass(slots=True, kw_only=True)
class _Ticket:
    job: TrainJob
    name: str
    result: asyncio.Future[JobResult]
    num_deaths: int = 0
    reports: dict[int, JobResult] = field(default_factory=dict)


class TrainingQueue:
    """One job at a time goes to the group that opened last."""

    def __init__(self, *, max_deaths: int, agree_within_s: float = RANKS_AGREE_WITHIN_S) -> None:
        self._max_deaths = max_deaths
        self._agree_within_s = agree_within_s
        self._waiting: deque[_Ticket] = deque()
        self._handed: list[_Ticket] = []
        self._advances: dict[str, Advance] = {}
        self._group = ""
        self._closed = False
        self._changed = asyncio.Condition()

    async def run(self, job: TrainJob, name: str = "") -> JobResult:
        """The job's result, once a group has it; `name` is what its advance is asked by."""
        if self._closed:
            return JobResult(failure="the training service is closed")
        ticket = _Ticket(job=job, name=name, result=asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        await self._notify()
        result = await ticket.result
        self._advances.pop(name, None)
        return result

    async def advance(self, group: str, place: int, advance: Advance) -> None:
        """How far rank 0 is with the group's job number `place`."""
        if group == self._group and not self._handed[place].result.done():
            self._advances[self._handed[place].name] = advance

    async def advance_of(self, name: str) -> Advance | None:
        """What was said last of the job `name`; None where it waits, or is done."""
        return self._advances.get(name)

    async def open_group(self, group: str) -> None:
        """A new group of workers takes over; what an earlier one left unfinished goes first."""
        self._requeue()
        self._group = group
        await self._notify()

    async def take(self, group: str, place: int) -> TrainJob | None:
        """The group's job number `place`, as soon as there is one; None tells the rank to end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or group != self._group or self._ready(place))
        if self._closed or group != self._group:
            return None
        return self._handed[place].job

    async def report(self, group: str, place: int, rank: int, result: JobResult, *, num_ranks: int) -> bool:
        """A rank's result; True once the ranks agree and can go on together, False if their group must end."""
        if group != self._group:
            return False
        ticket = self._handed[place]
        ticket.reports[rank] = result
        await self._notify()
        failed = result.failure is not None
        try:
            await asyncio.wait_for(
                self._all_reported(ticket, num_ranks), timeout=self._agree_within_s if failed else None
            )
        except TimeoutError:
            self._settle(ticket, result)
            return False
        if group != self._group:
            return False
        failures = {one.failure for one in ticket.reports.values()}
        self._settle(ticket, next((one for one in ticket.reports.values() if one.failure), ticket.reports[0]))
        await self._notify()
        return len(failures) == 1

    async def fail_all(self, message: str) -> None:
        """Every unfinished job fails: no group will come."""
        self._requeue()
        self._group = ""
        while self._waiting:
            self._settle(self._waiting.popleft(), JobResult(failure=message))

    async def close(self) -> None:
        """Ranks end after the job they are at; waiting jobs fail."""
        self._closed = True
        for ticket in self._waiting:
            self._settle(ticket, JobResult(failure="the training service was closed"))
        self._waiting.clear()
        await self._notify()

    async def ready(self) -> bool:
        """Answers once the actor is up."""
        return True

    def _ready(self, place: int) -> bool:
        """Whether job number `place` can be had: handed out already, or next, with all before it done."""
        if place < len(self._handed):
            return True
        if not self._waiting or any(not ticket.result.done() for ticket in self._handed):
            return False
        self._handed.append(self._waiting.popleft())
        TRAININGS_WAITING.set(len(self._waiting))
        return True

    async def _all_reported(self, ticket: _Ticket, num_ranks: int) -> None:
        async with self._changed:
            await self._changed.wait_for(
                lambda: len(ticket.reports) == num_ranks or (ticket not in self._handed) or ticket.result.done()
            )

    def _requeue(self) -> None:
        """Jobs of a group that is gone wait again; those whose workers died too often fail."""
        for ticket in self._handed:
            if ticket.result.done():
                continue
            ticket.num_deaths += 1
            ticket.reports.clear()
            if ticket.num_deaths >= self._max_deaths:
                message = f"the training's workers died {ticket.num_deaths} times; see the logs of the Ray session"
                self._settle(ticket, JobResult(failure=message))
            else:
                self._waiting.appendleft(ticket)
        self._handed = []

    @staticmethod
    def _settle(ticket: _Ticket, result: JobResult) -> None:
        if not ticket.result.done():
            ticket.result.set_result(result)

    async def _notify(self) -> None:
        TRAININGS_WAITING.set(len(self._waiting))
        async with self._changed:
            self._changed.notify_all()
