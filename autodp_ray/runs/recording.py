"""What a run tells a tracking service: settings, scores by round, confidence, files; and what a tuning adds to it.

A run is worth more than its record there. So a service that cannot be had when a run starts is an error, and one that
is lost later is said once: the run goes on, its own folder holds everything, and each result tells the service what
earlier ones could not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from autodp_ray.result import RoundResult, RunResult
from autodp_ray.runs.open_run import OpenRun
from autodp_ray.runs.settings import flat, settings_of
from autodp_ray.tracking.base import Experiment
from operators.contract.errors import RunError

NoteFn = Callable[[str], None]


class Recording:
    """A run at the service that its config names."""

    def __init__(self, experiment: Experiment, *, note: NoteFn) -> None:
        self._experiment = experiment
        self._note = note
        self._is_lost = False
        self._told = experiment.last_step

    @classmethod
    def of(cls, run: OpenRun, *, note: NoteFn) -> Recording:
        """The run's record, with its settings.

        Raises: InputError where the service cannot be had.
        """
        found = cls(_opened(run), note=note)
        settings = settings_of(run.config, run.strategies)
        with found._told_or_noted():
            found._experiment.settings(dict(flat(settings["config"])))
        return found

    def result(self, result: RunResult, *, report: str | None = None) -> None:
        """What is new in a result; one that is not `running` ends the record."""
        with self._told_or_noted():
            for each in result.rounds:
                if each.number > self._told:
                    self._experiment.numbers(_round_numbers(each), step=each.number)
                    self._told = each.number
            if result.status == "running":
                return
            self._experiment.numbers(_final_numbers(result), step=self._told)
            self._experiment.words(_words(result))
            self._experiment.text("result.json", result.to_json())
            if report is not None:
                self._experiment.text("report.html", report)
            self._experiment.close(succeeded=result.status == "done")

    def model(self, numbers: Mapping[str, float], words: Mapping[str, str], *, folder: str | None) -> None:
        """A model that was tuned on the run's data; its files, where they lie on this machine."""
        with self._told_or_noted():
            self._experiment.numbers(numbers, step=self._told)
            self._experiment.words(words)
            if folder is not None:
                self._experiment.folder("model", folder)
            self._experiment.close(succeeded=True)

    @contextmanager
    def _told_or_noted(self) -> Iterator[None]:
        try:
            yield
        except RunError as error:
            if not self._is_lost:
                self._note(f"tracking: {error}; the run goes on, and its folder holds what is not told")
            self._is_lost = True


def _opened(run: OpenRun) -> Experiment:
    location = run.folder.storage.shown
    return run.config.tracking.open(run.folder.run_id, name=location.rstrip("/").rpartition("/")[2] or location)


def _round_numbers(done: RoundResult) -> dict[str, float]:
    scores = {one.strategy: one.score for one in done.strategies if one.score is not None}
    numbers = {f"score/{strategy}": score for strategy, score in scores.items()}
    if scores:
        numbers["round_best"] = max(scores.values())
    failed = sum(one.status == "failed" for one in done.strategies)
    return {**numbers, "round": float(done.number), "strategies_failed": float(failed)}


def _final_numbers(result: RunResult) -> dict[str, float]:
    low, high = result.ci95 or (None, None)
    test_low, test_high = result.test_ci95 or (None, None)
    found = {
        "baseline_score": result.baseline_score,
        "noise_floor": result.noise_floor,
        "best_score": result.best_score,
        "best_ci95_low": low,
        "best_ci95_high": high,
        "test_score": result.test_score,
        "test_ci95_low": test_low,
        "test_ci95_high": test_high,
        "rows_sampled": result.rows.sampled,
        "team_runs_executed": result.team_runs_executed,
        "trainings_executed": result.trainings_executed,
        "llm_calls_executed": result.llm_calls_executed,
        "cache_hits": result.cache_hits,
        "seconds": result.seconds.total,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _words(result: RunResult) -> dict[str, str]:
    found = {
        "status": result.status,
        "claim": result.claim,
        "best_strategy": result.best_strategy,
        "best_measured": result.best_measured,
        "tested": result.tested,
        "stop_reason": result.stop_reason,
        "evaluator": result.evaluator,
        "run_dir": result.run_dir,
        "error": result.error,
    }
    return {f"autodp.{name}": value for name, value in found.items() if value is not None}
