"""Where the rows of a dataset went: every row is accounted for, or it is a fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from actors.storage.storage import Storage
from autodp_ray.applying.source import AppliedSource
from autodp_ray.strategies.processing import Processed
from autodp_ray.strategy import Strategy
from operators.contract.errors import RunError
from operators.contract.redaction import redacted

_DROPPED = "dropped:"


class Applied(BaseModel):
    """Where the rows of a dataset went. rows_in = rows_out + dropped + quarantined + held_out - generated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str
    output: str
    files: tuple[str, ...]
    rows_in: int
    rows_out: int
    quarantined: int
    quarantine_reasons: Mapping[str, int] = {}
    quarantine_file: str | None = None
    """Where the quarantined rows are, each with its source, line and reason; null without one."""
    held_out: int
    generated: int
    dropped: Mapping[str, int]
    other_counts: Mapping[str, int]
    """What operators counted beside dropped rows: changed texts, rejected rewrites, model calls."""
    seconds: float

    def text(self) -> str:
        """A table for people."""
        counted = _by_reason({name: count for name, count in self.other_counts.items() if name != "generated"})
        rate = f" ({self.rows_in / self.seconds:,.0f} rows/s)" if self.seconds > 0 else ""
        return "\n".join(
            [
                f"applied {self.strategy} in {self.seconds:,.1f} s{rate}",
                *(f"  {name:<12}{count:>14,}  {why}".rstrip() for name, count, why in self._lines()),
                "  in = out + dropped + quarantined + held out - generated",
                *([f"counted: {counted}"] if counted else []),
                f"wrote {self.output}",
            ]
        )

    def _lines(self) -> Iterator[tuple[str, int, str]]:
        quarantined = _by_reason(self.quarantine_reasons)
        yield "in", self.rows_in, ""
        yield "out", self.rows_out, ""
        yield "dropped", sum(self.dropped.values()), _by_reason(self.dropped)
        yield "quarantined", self.quarantined, f"{quarantined} (see {self.quarantine_file})" if self.quarantined else ""
        yield "held out", self.held_out, ""
        yield "generated", self.generated, ""


def _by_reason(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items())


def account(
    strategy: Strategy,
    source: AppliedSource,
    processed: Processed,
    *,
    output: Storage,
    files: Sequence[str],
    seconds: float,
) -> Applied:
    """The accounts of a strategy that was applied.

    Raises: RunError where rows do not add up.
    """
    counts = processed.counts
    dropped = {name.removeprefix(_DROPPED): count for name, count in counts.items() if name.startswith(_DROPPED)}
    generated = counts.get("generated", 0)
    left = processed.dataset.num_rows + sum(dropped.values()) + source.num_quarantined + source.num_held_out - generated
    if left != source.num_in:
        raise RunError(f"rows do not add up: {source.num_in} went in and {left} are accounted for by {dict(counts)}")
    return Applied(
        strategy=str(strategy),
        output=output.shown,
        files=tuple(redacted(file) for file in files),
        rows_in=source.num_in,
        rows_out=processed.dataset.num_rows,
        quarantined=source.num_quarantined,
        quarantine_reasons=source.quarantine_reasons,
        quarantine_file=source.quarantine_file if source.num_quarantined else None,
        held_out=source.num_held_out,
        generated=generated,
        dropped=dropped,
        other_counts={name: count for name, count in counts.items() if not name.startswith(_DROPPED)},
        seconds=seconds,
    )
