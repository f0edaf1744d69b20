"""What a finished comparison found, as compare.json holds it. Numbers and names, no row text."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodp_ray.result import Bounds, Figure


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TriedStrategy(_Record):
    """A strategy in the order of its search; without a score it failed."""

    strategy: str
    round: int
    score: Figure | None
    ci95: Bounds | None
    source: str


class SearchRecord(_Record):
    """One search: what it tried, and what it chose."""

    arm: str
    agent: str | None
    """The model that it asked; None where it asks none."""
    num_strategies: int
    seed: int
    rounds: int
    """Of proposals; that in which leaders meet again is none."""
    stop_reason: str
    tried: tuple[TriedStrategy, ...]
    """One entry for each training."""
    winner: str
    """What is applied: the shortest strategy within one standard error of the best, or `none` where none gained; its
    one strategy where the policy is `all`, whatever it scored."""
    winner_score: Figure | None
    """Its gain on validation, which the choice flatters."""

    @property
    def num_scored(self) -> int:
        """How many strategies have a score."""
        return len({one.strategy for one in self.tried if one.score is not None})

    @property
    def best_so_far(self) -> tuple[float, ...]:
        """The best gain on validation after each training; no processing counts as 0."""
        best, found = 0.0, []
        for one in self.tried:
            best = max(best, one.score if one.score is not None else best)
            found.append(best)
        return tuple(found)


class Repeat(_Record):
    """The duel of one repeat of the searches."""

    seed: int
    ours: str
    """Strategies that won the searches."""
    theirs: str
    wins: Figure
    ties: Figure
    losses: Figure
    difference: Figure


class Duel(_Record):
    """Models trained on the data of one arm's winners against those of another's, item by item on the test rows."""

    ours: str
    theirs: str
    judge: str
    model: str
    num_items: int
    wins: Figure
    """Shares of the items: by the mean difference over all seeds."""
    ties: Figure
    losses: Figure
    difference: Figure
    """Mean r of ours minus that of theirs."""
    ci95: Bounds
    sign_test_p: Figure
    """Of so uneven wins and losses, were both equally likely."""
    position_bias: Figure | None
    """How much more often a judge named the answer that it was shown first, between -1 and 1; None without a judge."""
    abstained_frac: Figure | None = None
    """The share of a judge's replies that name no winner; None without a judge."""
    repeats: tuple[Repeat, ...]

    @property
    def is_of_same_strategies(self) -> bool:
        """Whether both sides chose the same in every repeat, so that their models are the same ones."""
        return bool(self.repeats) and all(each.ours == each.theirs for each in self.repeats)


class Comparison(_Record):
    """compare.json."""

    command: str
    dataset: str
    versions: Mapping[str, str]
    git_commit: str | None
    evaluator: str
    """What scored the searches."""
    trainings: int
    """The most trainings of one search."""
    final_seeds: int
    baseline_score: Figure
    noise_floor: Figure
    """On validation, of two trainings."""
    ours: str
    rows: Mapping[str, int]
    searches: tuple[SearchRecord, ...] = Field(min_length=1)
    duels: tuple[Duel, ...]
    """Our arm against each other one, and against no processing."""
    gains: tuple[Duel, ...]
    """Every arm against no processing."""
    self_checks: tuple[Duel, ...]
    """No processing against itself with other seeds, whose interval should hold zero."""
    seconds: Mapping[str, Figure]

    @model_validator(mode="after")
    def _every_gain_is_of_some_repeats(self) -> Comparison:
        if not all(gain.repeats for gain in self.gains):
            raise ValueError("a gain without repeats of the search")
        return self

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"

    def searches_of(self, arm: str) -> tuple[SearchRecord, ...]:
        return tuple(each for each in self.searches if each.arm == arm)

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.arm for each in self.searches))
