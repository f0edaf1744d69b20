"""What the ablation reads off the finished runs of its modes, and how they compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import kendalltau, spearmanr

from autodp_ray.config.run_config import EvaluationConfig
from autodp_ray.journal import Journal
from autodp_ray.result import RunResult
from autodp_ray.scoring.training_scores import TRAINING
from autodp_ray.strategies.processing import TEAM_RUN
from autodp_ray.strategies.spending import count_spending
from autodp_ray.strategies.strategy_evaluation import CONFIRM_SEED_OFFSET
from autodp_ray.strategy import Strategy, round_trie
from benchmarks.protocol import Figures

SHARING = ("cache", "rows")
"""Modes in which a prefix is computed once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A finished run of one mode."""

    result: RunResult
    journal: Journal

    @property
    def search_s(self) -> float:
        """What the paper's Table 5 counts: the baseline and the rounds, without start-up and the claim."""
        seconds = self.result.seconds
        assert seconds.search is not None
        return seconds.search + seconds.phases["baseline"]

    @property
    def scores(self) -> Mapping[str, float]:
        """Each strategy's score; of one that was scored twice the first."""
        scored = [one for each in self.result.rounds for one in each.strategies if one.score is not None]
        return {one.strategy: float(one.score or 0.0) for one in reversed(scored)}

    def figures(self) -> Mapping[str, object]:
        result = self.result
        return {
            "search_s": self.search_s,
            "seconds": {"total": result.seconds.total, **result.seconds.phases},
            "work_s": work_seconds(self.journal),
            "rows_sampled": result.rows.sampled,
            "rows_noisy": result.rows.noisy,
            "team_runs_requested": result.team_runs_requested,
            "team_runs_executed": result.team_runs_executed,
            "trainings_requested": result.trainings_requested,
            "trainings_executed": result.trainings_executed,
            "search_trainings_executed": search_trainings(self.journal),
            "llm_calls_requested": result.llm_calls_requested,
            "llm_calls_executed": result.llm_calls_executed,
            "llm_tokens": count_spending(self.journal).llm_tokens,
            "num_failed": sum(one.status == "failed" for each in result.rounds for one in each.strategies),
            "best": result.best_measured,
            "best_score": result.best_score,
            "noise_floor": result.noise_floor,
            "claim": result.claim,
            "scores": self.scores,
        }


def work_seconds(journal: Journal) -> Mapping[str, float]:
    """Seconds of executed work by team, and of trainings by their own phases."""
    found: defaultdict[str, float] = defaultdict(float)
    for event in journal:
        if not event.payload.get("executed"):
            continue
        if event.name == TEAM_RUN:
            found[str(event.payload["strategy"]).rpartition(">")[2]] += _float(event.payload["seconds"])
        elif event.name == TRAINING:
            record = event.payload["record"]
            assert isinstance(record, Mapping)
            for phase, seconds in record["seconds"].items():
                found[f"training:{phase}"] += _float(seconds)
    return {name: round(seconds, 2) for name, seconds in sorted(found.items())}


def search_trainings(journal: Journal) -> int:
    """Trainings that were executed for the baseline and the rounds, without those of the claim."""
    trainings = [event.payload for event in journal if event.name == TRAINING and event.payload["executed"]]
    return sum(_float(payload["seed"]) < CONFIRM_SEED_OFFSET for payload in trainings)


def saved(search_s: Mapping[str, float]) -> Mapping[str, Mapping[str, float]]:
    """Of the first mode's time: the part that each mode saves, and the part that its own technique adds to that."""
    names, seconds = list(search_s), list(search_s.values())
    return {
        name: {"frac": 1 - now / seconds[0], "own_frac": (before - now) / seconds[0]}
        for name, now, before in zip(names, seconds, [seconds[0], *seconds], strict=False)
    }


def best_gap(full: Mapping[str, float], fast: Mapping[str, float]) -> float | None:
    """How far the fast search's best lies under the full search's best, both as the full search scores them."""
    if not full or not fast:
        return None
    chosen = max(fast, key=lambda name: fast[name])
    return max(full.values()) - full[chosen] if chosen in full else None


def rank_correlation(full: Mapping[str, float], sample: Mapping[str, float]) -> Mapping[str, float | int | None]:
    """Whether the sample ranks the strategies as the full data does; over those that both scored.

    Null where all have the same score.
    """
    names = sorted(full.keys() & sample.keys())
    left, right = [full[name] for name in names], [sample[name] for name in names]
    return {
        "num_strategies": len(names),
        "spearman": _or_none(spearmanr, left, right),
        "kendall": _or_none(kendalltau, left, right),
    }


def _or_none(correlation: Callable[..., Any], left: Sequence[float], right: Sequence[float]) -> float | None:
    if len(set(left)) < 2 or len(set(right)) < 2:
        return None
    return float(correlation(left, right).statistic)


def compared(measured: Mapping[str, Measured], strategies: Sequence[Strategy]) -> Figures:
    """The figures of all modes, the first of which has nothing on, and the last everything."""
    first, last = measured["none"], measured["rows"]
    figures = {name: mode.figures() for name, mode in measured.items()}
    return {
        "due": due_counts(strategies),
        "counts": extreme_counts(figures),
        "modes": figures,
        "saved": saved({name: mode.search_s for name, mode in measured.items()}),
        "best": {"gap": best_gap(first.scores, last.scores), "noise_floor": first.result.noise_floor},
        "sample_against_full_data": rank_correlation(first.scores, measured["dps"].scores),
    }


def due_counts(strategies: Sequence[Strategy]) -> Mapping[str, int]:
    """What the strategies of all rounds take, by arithmetic; with sharing, trainings are a most."""
    trie, baseline = round_trie(strategies), EvaluationConfig().baseline_seeds
    return {
        "team_runs_alone": trie.team_runs_requested,
        "team_runs_shared": trie.team_runs_executed,
        "trainings_alone": baseline + len(strategies),
        "trainings_shared": baseline + len(set(strategies)),
    }


def extreme_counts(figures: Mapping[str, Mapping[str, Any]]) -> Mapping[str, int]:
    """The fewest of what was executed without sharing and the most with it, over the modes; failures of all."""
    alone = [mode for name, mode in figures.items() if name not in SHARING]
    shared = [figures[name] for name in SHARING]
    return {
        "team_runs_alone": min(mode["team_runs_executed"] for mode in alone),
        "team_runs_shared": max(mode["team_runs_executed"] for mode in shared),
        "trainings_alone": min(mode["search_trainings_executed"] for mode in alone),
        "trainings_shared": max(mode["search_trainings_executed"] for mode in shared),
        "num_failed": sum(mode["num_failed"] for mode in figures.values()),
    }


def _float(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
