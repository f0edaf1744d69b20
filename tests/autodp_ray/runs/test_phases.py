"""What a run leaves behind where its last phase cannot do its work."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from actors.data.stored_dataset import StoredDataset
from autodp_ray.cluster.ray import connected
from autodp_ray.preparation.preparation import prepare
from autodp_ray.progress import Silent
from autodp_ray.reporting.report import render_report
from autodp_ray.reporting.summary import summary_lines
from autodp_ray.runs import phases
from autodp_ray.runs.open_run import OpenRun, RunOptions, open_run
from autodp_ray.search.loop import Baseline, Evaluated, Round, SearchOutcome
from autodp_ray.search.policies.agent import AgentSearch
from autodp_ray.search.proposal import PolicyDecision
from autodp_ray.statistics import Interval
from autodp_ray.strategies.strategy_evaluation import Confirmed, StrategyEvaluator
from autodp_ray.strategy import Strategy
from operators.contract.errors import DivergedError, RunError
from tests.autodp_ray.run_fakes import NO_MODELS, config_values, pair, write_jsonl


@pytest.fixture
def run(tmp_path: Path) -> OpenRun:
    """A run that is opened, over 40 rows."""
    data = write_jsonl(tmp_path / "data.jsonl", [pair(number) for number in range(40)])
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(config_values(data, storage=str(tmp_path / "storage"))))
    return open_run(RunOptions(config_path=str(config), run_dir=str(tmp_path / "run")))


def confirming(monkeypatch: pytest.MonkeyPatch, error: RunError) -> None:
    """Let runs begin where `cleaning` is the best of their search, and end with this error of its confirmation."""

    class Failing(StrategyEvaluator):
        def __init__(self) -> None: ...

        def confirm(self, strategy: Strategy, test: StoredDataset) -> Confirmed:
            raise error

    def last_phase(self: phases._Run, stack: ExitStack) -> None:
        gain = Interval(estimate=0.2, low=0.1, high=0.3)
        best = Evaluated(strategy=Strategy.parse("cleaning"), score=gain)
        rounds = (Round(number=1, source="agent", evaluated=(best,)),)
        outcome = SearchOutcome(
            rounds=rounds, stop_reason=AgentSearch.endings[PolicyDecision.BEST], agent_choice=best.strategy
        )
        storage = self.run.folder.storage
        self.findings.baseline = Baseline(score=-2.5, noise_floor=0.01)
        self.findings.rounds, self.findings.outcome = list(rounds), outcome
        prepared = prepare(self.config, run=storage, journal=self.journal, progress=Silent(), models=NO_MODELS)
        self._confirm(Failing(), outcome, prepared)

    monkeypatch.setattr(phases._Run, "phases", last_phase)


def test_a_confirmation_that_diverges_ends_the_run_without_a_claim_for_the_strategy(
    run: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.finished_result()
    confirming(monkeypatch, DivergedError("the training diverged"))
    result = phases.run_search(run, connect=connected, progress=Silent())
    said = "cleaning cannot be confirmed: the training diverged"
    assert (result.status, result.claim, result.best_strategy, result.error) == ("done", "unconfirmed", "none", said)
    assert said in list(summary_lines(result, "run"))
    page = render_report(result)
    assert said in page
    assert "it could not be measured on test rows" in page
    assert run.finished_result() == result, "so a run that is resumed does not train it again"


def test_a_confirmation_that_fails_otherwise_is_tried_again_when_the_run_is_resumed(
    run: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.finished_result()
    confirming(monkeypatch, RunError("the workers died"))
    with pytest.raises(RunError, match="the workers died"):
        phases.run_search(run, connect=connected, progress=Silent())
    assert run.finished_result() is None
    result = run.folder.result()
    assert result is not None
    assert (result.status, result.claim) == ("failed", None)
