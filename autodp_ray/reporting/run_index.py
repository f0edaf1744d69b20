"""One page that lists the runs of a folder: what each ran on, what it claims, and in which state it is.

Knows what the listing says of a run, and no run's folder. The look stands in templates/index.html.jinja.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from autodp_ray.reporting.report import page_templates
from autodp_ray.result import RunResult

INDEX_MARK = '<meta name="generator" content="autodp report --all">'
"""By which a page is known as one of ours, which may be replaced."""

_RESUME = "autodp run --resume goes on"
RunState = Literal["done", "failed", "interrupted", "unfinished", "broken", "comparison"]


class ListedRun(BaseModel):
    """One folder of the listing."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    """The folder's name."""
    state: RunState
    """`unfinished`: it is still running, or was killed and can be resumed; `broken`: its files cannot be read."""
    note: str | None = None
    """Why it failed or cannot be read, or what it is waiting for."""
    changed: datetime | None = None
    """When its result was last written; null where the storage does not say."""
    dataset: str | None = None
    claim: str | None = None
    recommended: str | None = None
    tested: str | None = None
    test_score: float | None = None
    test_ci95: tuple[float, float] | None = None
    page: str | None = None
    """Its report, relative to the listing's folder; null where none was written."""

    @property
    def link(self) -> str | None:
        """The page as an address."""
        return None if self.page is None else quote(self.page)

    @property
    def day(self) -> str:
        """When it was changed, to the minute."""
        return "" if self.changed is None else self.changed.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")

    @property
    def gain(self) -> str:
        """The gain on test rows with its interval, where it was measured."""
        if self.test_score is None:
            return ""
        ends = "" if self.test_ci95 is None else f" [{self.test_ci95[0]:+.4f}, {self.test_ci95[1]:+.4f}]"
        return f"{self.test_score:+.4f}{ends}"


def listed(name: str, result: RunResult, *, changed: datetime | None, page: str | None) -> ListedRun:
    """What a result says of its run."""
    is_open = result.status == "running"
    notes = {"running": f"still running, or killed: {_RESUME}", "interrupted": f"{result.error}: {_RESUME}"}
    return ListedRun(
        name=name,
        state="unfinished" if is_open else result.status,
        note=notes.get(result.status, result.error),
        changed=changed,
        dataset=result.dataset,
        claim=result.claim,
        recommended=result.best_strategy,
        tested=result.tested,
        test_score=result.test_score,
        test_ci95=result.test_ci95,
        page=page,
    )


def render_index(location: str, runs: list[ListedRun]) -> str:
    """The listing as one HTML page without scripts and without anything to load."""
    return page_templates().get_template("index.html.jinja").render(location=location, runs=runs, mark=INDEX_MARK)
