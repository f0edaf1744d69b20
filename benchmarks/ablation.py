"""What each acceleration saves: the same strategies over 5 rounds, with one technique more each time, each from cold.

Every mode is one `autodp run` in a process of its own, with a storage of its own; what is measured is what the run
writes down. Rounds 1 and 2 are those of the paper's Figure 5, the other three go on from there as an agent would.
Source: LLM-AutoDP, section 4.3 and Table 5.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import kendalltau, spearmanr

from actors.storage import Storage
from autodp_ray.evaluation import TRAINING
from autodp_ray.journal import Journal
from autodp_ray.processing import TEAM_RUN
from autodp_ray.result import RunResult
from autodp_ray.spending import count_spending
from autodp_ray.strategy import parse_rounds, round_trie
from benchmarks.protocol import Figures, Options

CONFIG = Path(__file__).with_name("ablation.yaml")
ROUNDS = ";".join(
    (
        "cleaning,cleaning>generation,cleaning>optimization,cleaning>selection",
        "cleaning>optimization>selection,cleaning>generation>optimization,cleaning>optimization",
        "cleaning>generation>optimization>selection,cleaning>optimization>generation,generation>cleaning>optimization",
        "cleaning>optimization>generation>selection,cleaning>selection>optimization,cleaning>generation>selection",
        "cleaning>generation>optimization,cleaning>optimization>selection>generation,cleaning>selection>generation",
    )
)
SMOKE = (
    "dataset.limit=44",
    "splits={guide: 6, validation: 8, test: 8, min_train: 8}",
    "teams.optimization=[{name: optimize_pair, decoding: {max_tokens: 16}, max_input_chars: 300}]",
    "teams.generation=[{name: generate_question, decoding: {max_tokens: 12}}, "
    "{name: generate_answer, decoding: {max_tokens: 12}}]",
    "training.lora.num_top_layers=2",
    "training.max_length=64",
)
"""So few rows that a mode takes minutes; scores of it mean nothing, counts do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """A row of the table: what is on. Every mode has what the one before it has."""

    name: str
    settings: tuple[str, ...]


NOTHING = ("sampling={method: random, rate: 1.0}", "cache={prefixes: false, rows: false}")
MODES = (
    Mode(name="none", settings=NOTHING),
    Mode(name="dps", settings=("sampling={method: stratified, rate: 0.2}", *NOTHING[1:])),
    Mode(name="cache", settings=("sampling={method: stratified, rate: 0.2}", "cache={prefixes: true, rows: false}")),
    Mode(name="rows", settings=("sampling={method: stratified, rate: 0.2}", "cache={prefixes: true, rows: true}")),
)


def run(options: Options) -> Figures:
    """Seconds, counts and scores of every mode, and what each technique saves of the time without any."""
    size = SMOKE if options.smoke else ()
    if options.rows is not None:
        size = (*size, f"dataset.limit={options.rows}")
    with tempfile.TemporaryDirectory(prefix="autodp-ablation-") as folder:
        modes = {mode.name: _measure(mode, size, Path(folder) / mode.name) for mode in MODES}
    trie = round_trie(strategy for each in parse_rounds(ROUNDS) for strategy in each)
    first, last = modes[MODES[0].name], modes[MODES[-1].name]
    return {
        "num_strategies": len(ROUNDS.replace(";", ",").split(",")),
        "num_distinct_strategies": len(set(ROUNDS.replace(";", ",").split(","))),
        "team_runs_without_sharing": trie.team_runs_requested,
        "team_runs_with_sharing": trie.team_runs_executed,
        "modes": {name: mode.figures() for name, mode in modes.items()},
        "saved": saved({name: mode.search_s for name, mode in modes.items()}),
        "best": {
            "gap": best_gap(first.scores, last.scores),
            "noise_floor": first.result.noise_floor,
        },
        "sample_against_full_data": rank_correlation(first.scores, modes["dps"].scores),
    }


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
    found: Counter[str] = Counter()
    for event in journal:
        if not event.payload.get("executed"):
            continue
        if event.name == TEAM_RUN:
            found[str(event.payload["strategy"]).rpartition(">")[2]] += _float(event.payload["seconds"])
        elif event.name == TRAINING:
            record = event.payload["record"]
            assert isinstance(record, Mapping)
            found.update({f"training:{phase}": _float(seconds) for phase, seconds in record["seconds"].items()})
    return {name: round(seconds, 2) for name, seconds in sorted(found.items())}


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


def rank_correlation(full: Mapping[str, float], sample: Mapping[str, float]) -> Mapping[str, float | int]:
    """Whether the sample ranks the strategies as the full data does; over those that both scored."""
    names = sorted(full.keys() & sample.keys())
    left, right = [full[name] for name in names], [sample[name] for name in names]
    return {
        "num_strategies": len(names),
        "spearman": float(spearmanr(left, right).statistic),
        "kendall": float(kendalltau(left, right).statistic),
    }


def _measure(mode: Mode, size: Sequence[str], folder: Path) -> Measured:
    """Runs a mode from cold: no cache, no Ray, no model is left of the one before."""
    settings = [*size, *mode.settings, f"storage={folder / 'storage'}"]
    overrides = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "autodp_ray.cli", "run", str(CONFIG), "--run-dir", str(folder / "run")]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    subprocess.run([*command, "--strategies", ROUNDS, *overrides], check=True, env=environment)
    run = Storage.at(str(folder / "run"))
    return Measured(result=RunResult.from_json(run.read_text("result.json")), journal=Journal(run))


def _float(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
