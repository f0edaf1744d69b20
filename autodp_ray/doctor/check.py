"""What was looked at and what came of it, one line each, and all of it together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from autodp_ray.faults import as_run_error
from operators.contract.errors import AutoDPError

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    text: str
    """What was found; of a problem or warning, also what to do."""

    def line(self) -> str:
        """For people."""
        return f"{self.status:<8} {self.name}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All that was looked at."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem; warnings are none."""
        return self._count("problem") == 0

    def text(self) -> str:
        """For people: a line for each check, and the sum."""
        sums = f"problems: {self._count('problem')}, warnings: {self._count('warning')}"
        return "\n".join([*(check.line() for check in self.checks), sums])

    def to_json(self) -> str:
        """For machines."""
        body = {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}
        return json.dumps(body, indent=2, ensure_ascii=False)

    def _count(self, status: Status) -> int:
        return sum(check.status == status for check in self.checks)


def ok(name: str, text: str) -> Check:
    return Check(name=name, status="ok", text=text)


def warning(name: str, text: str) -> Check:
    return Check(name=name, status="warning", text=text)


def problem(name: str, error: Exception | str) -> Check:
    """A problem in one line; an error of no kind of ours is shown without its message, which may quote a row."""
    shown = error if isinstance(error, str | AutoDPError) else as_run_error(error)
    return Check(name=name, status="problem", text=" ".join(str(shown).split()))


def attempt(name: str, step: Callable[[], Check]) -> Check:
    """What the step finds; its error is a problem, and the other checks go on."""
    try:
        return step()
    except Exception as error:
        return problem(name, error)
