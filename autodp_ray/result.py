"""What a run hands back: the shape of result.json.

Every number that does not apply is null. Scores are written s = r - r_0, a gain over the unprocessed data; r is
`score_raw`. Holds team names, numbers and config text, and no row text.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from autodp_ray.statistics import Claim
from operators.contract.family import Word

RunStatus = Literal["running", "done", "failed", "interrupted"]
StrategyStatus = Literal["scored", "failed"]
LARGEST_FIGURE = 1e100


def _can_be_drawn(value: float) -> float:
    if abs(value) > LARGEST_FIGURE:
        raise ValueError(f"a figure must not be beyond {LARGEST_FIGURE:g}, got {value:g}")
    return value


Figure = Annotated[float, AfterValidator(_can_be_drawn)]
"""A score or a time: so small that sums, margins and percentages of it are numbers too."""
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""How many there are of something."""


def _in_order(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError(f"an interval is (low, high), not {interval}")
    return interval


Bounds = Annotated[tuple[Figure, Figure], AfterValidator(_in_order)]


def _gain(score: float | None, bounds: Bounds | None) -> str:
    shown = "–" if score is None else f"{score:+.4f}"
    return shown if bounds is None else f"{shown} [{bounds[0]:+.4f}, {bounds[1]:+.4f}]"


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True, serialize_by_alias=True
    )


class StrategyResult(_Part):
    """One strategy of a round: its score, or why it has none."""

    strategy: str
    """Text form, such as `cleaning>optimization`."""
    score: Figure | None = None
    score_raw: Figure | None = None
    ci95: Bounds | None = None
    """Interval of `score`."""
    source: Word
    """Who chose it, by a word of the search policy."""
    status: StrategyStatus
    error: str | None = None
    steps: Count | None = None
    """Optimizer steps of its training; none where it leaves every row as it is, and scores as no processing does."""
    num_rows: Count | None = None
    """Rows it was trained on."""


class RoundResult(_Part):
    """One round of the search, its strategies in the order proposed."""

    number: Count = Field(ge=1)
    strategies: tuple[StrategyResult, ...] = ()
    notes: tuple[str, ...] = ()
    """What of the agent's replies was refused, ignored or filled up."""


class RowCounts(_Part):
    """Where the rows went."""

    in_: Count | None = Field(default=None, alias="in")
    quarantined: Count | None = None
    train: Count | None = None
    guide: Count | None = None
    validation: Count | None = None
    test: Count | None = None
    set_aside: Count | None = None
    """Copies of held-out rows, in no split."""
    sampled: Count | None = None
    noisy: Count | None = None
    """Sampled rows that need work, as the screener says; null without one."""
    generated: Count | None = None
    dropped: Mapping[str, Count] = Field(default_factory=dict)
    """Rows dropped, by reason."""
    rejected: Mapping[str, Count] = Field(default_factory=dict)
    """Rewrites and generated rows rejected, by reason."""
    out: Count | None = None


EARLIER = "earlier_attempts"
"""The phase that stands for all attempts before the last one."""


class Seconds(_Part):
    """Wall time: the whole, its four parts, and the phases inside them."""

    total: Figure | None = None
    """Of all attempts; what follows is of the last one, but for the phase `EARLIER`."""
    startup: Figure | None = None
    search: Figure | None = None
    """From the first proposal to the stop."""
    confirm: Figure | None = None
    apply: Figure | None = None
    phases: Mapping[str, Figure] = Field(default_factory=dict)


class ConfirmationScores(_Part):
    """What `test_score` is made of: a score for each fresh training of both sides, on the same test items."""

    num_items: Count
    candidate: Mapping[int, Figure]
    """The score of each training of `tested`, by seed."""
    baseline: Mapping[int, Figure]
    """The score of each training on the unprocessed data, by seed."""
    detectable_gain: Figure
    """The true gain that so many trainings and items confirm in four of five runs."""


class NodeKind(_Part):
    """Nodes of the cluster that offer the same."""

    num_nodes: int
    num_cpus: float
    num_gpus: float
    accelerator: str | None = None
    """The kind of GPU in Ray's words, such as `H200`."""


class Hardware(_Part):
    """Where a run was computed."""

    processor: str
    """The processor of the machine that ran the command."""
    nodes: tuple[NodeKind, ...] = ()
    """The nodes of the cluster when the run started."""


class RunResult(_Part):
    """result.json."""

    status: RunStatus
    stop_reason: Word | None = None
    """Why the search ended, by a word of its policy or of a stop rule."""
    error: str | None = None
    """Why it ended before its time; of a run that is done, why it has no test score though a strategy looked better."""
    claim: Claim | None = None
    best_strategy: str | None = None
    """The recommended one: `none` unless the claim is confirmed."""
    best_measured: str | None = None
    agent_choice: str | None = None
    """What the search policy itself called the best; null where it named none."""
    best_score: Figure | None = None
    """The score of `best_measured` on validation rows."""
    ci95: Bounds | None = None
    tested: str | None = None
    """The one that test rows were read for: the shortest within one standard error of `best_measured`."""
    test_score: Figure | None = None
    """The score of `tested` on test rows."""
    test_ci95: Bounds | None = None
    test_reads: Count | None = None
    """Different claims that runs and comparisons of this cache tried on the same test rows, this one among them."""
    baseline_score: Figure | None = None
    noise_floor: Figure | None = None
    baseline_by_seed: Mapping[int, Figure] = Field(default_factory=dict)
    """The scores on validation items whose mean `baseline_score` is, by seed."""
    validation_items: Count | None = None
    """Items of the validation split that were scored."""
    confirmation: ConfirmationScores | None = None
    abstained_frac: Figure | None = None
    """The share of a judge's replies that name no winner; null without a judge."""
    rounds: tuple[RoundResult, ...] = ()
    team_runs_requested: Count = 0
    team_runs_executed: Count = 0
    trainings_requested: Count = 0
    trainings_executed: Count = 0
    llm_calls_requested: Count = 0
    llm_calls_executed: Count = 0
    cache_hits: Count = 0
    rows: RowCounts = RowCounts()
    seconds: Seconds = Seconds()
    evaluator: Word | None = None
    """What scored: a word of `evaluation.evaluator`."""
    model: str | None = None
    """The tuned model."""
    dataset: str | None = None
    """The dataset as the config names it."""
    content_hash: str | None = None
    """The hash of the rows that were read: equal for the same rows in any order, whatever file holds them."""
    seeds: Mapping[str, int] = Field(default_factory=dict)
    """The seed of each section of the config that has one."""
    recipe: Mapping[str, str] = Field(default_factory=dict)
    """The settings of `training` that were in use, by their dotted names."""
    hardware: Hardware | None = None
    config_path: str | None = None
    overrides: tuple[str, ...] = ()
    """What `--set` changed in the config file, without secrets."""
    strategies: str | None = None
    """Those that were given instead of having the policy choose."""
    run_dir: str | None = None
    versions: Mapping[str, str] = Field(default_factory=dict)
    git_commit: str | None = None
    """The commit of the code, where it ran from a checkout; it ends in `-dirty` where files were changed."""

    @model_validator(mode="after")
    def _recommends_only_what_is_confirmed(self) -> RunResult:
        if self.claim in ("unconfirmed", "none") and self.best_strategy not in (None, "none"):
            raise ValueError(f"claim is {self.claim}, so best_strategy must be none, not {self.best_strategy}")
        return self

    def _repr_html_(self) -> str:
        """What a notebook shows: the claim, and the gain of each strategy."""
        rows = [
            f"<tr><td>{one.number}</td><td>{escape(each.strategy)}</td><td>{_gain(each.score, each.ci95)}</td></tr>"
            for one in self.rounds
            for each in one.strategies
        ]
        facts = (
            f"<p>{escape(self.status)}, claim: {escape(self.claim or 'none yet')}, "
            f"recommended: {escape(self.best_strategy or 'none yet')}, "
            f"gain on test rows: {_gain(self.test_score, self.test_ci95)}</p>"
        )
        return (
            f"{facts}<table><tr><th>round</th><th>strategy</th><th>gain on validation</th></tr>{''.join(rows)}</table>"
        )

    @classmethod
    def from_json(cls, text: str) -> RunResult:
        """The result that `to_json` wrote."""
        return cls.model_validate_json(text)

    def to_json(self) -> str:
        """Indented JSON with the contract's key names."""
        return self.model_dump_json(indent=2) + "\n"
