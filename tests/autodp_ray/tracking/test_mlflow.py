"""MLflow with a database: a run as its users find it there, and an attempt that goes on with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodp_ray.tracking.mlflow import RUN_ID, MlflowTracking
from operators.contract.errors import InputError
from tests.conftest import WARNINGS_OF_LARGE_PARTS

# MLflow takes seconds to load, so it is imported where it is used; what it stands on warns of itself.
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings(*WARNINGS_OF_LARGE_PARTS)]


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowTracking:
    pytest.importorskip("mlflow", reason="mlflow is not installed: the extra `mlflow`")
    monkeypatch.chdir(tmp_path)  # artifacts lie beside the database
    return MlflowTracking(uri=f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_a_run_is_found_with_its_settings_scores_words_and_files(tracking: MlflowTracking) -> None:
    from mlflow import MlflowClient

    run = tracking.open("r1", name="first")
    run.settings({"search.max_rounds": "2"})
    for step, best in ((1, 0.1), (2, 0.3)):
        run.numbers({"round_best": best, "round": step, "score/cleaning>generation": best}, step=step)
    run.words({"autodp.claim": "confirmed"})
    run.text("result.json", '{"status": "done"}')
    run.close(succeeded=True)
    client = MlflowClient(tracking_uri=tracking.uri)
    (found,) = client.search_runs([client.get_experiment_by_name("autodp").experiment_id])
    assert found.info.run_name == "first"
    assert found.info.status == "FINISHED"
    assert found.data.params == {"search.max_rounds": "2"}
    assert found.data.tags["autodp.claim"] == "confirmed"
    assert found.data.tags[RUN_ID] == "r1"
    assert found.data.metrics["score/cleaning-generation"] == 0.3
    history = client.get_metric_history(found.info.run_id, "round_best")
    assert [(each.step, each.value) for each in history] == [(1, 0.1), (2, 0.3)]
    assert [each.path for each in client.list_artifacts(found.info.run_id)] == ["result.json"]


def test_a_later_attempt_goes_on_with_the_same_run(tracking: MlflowTracking) -> None:
    first = tracking.open("r1", name="first")
    first.settings({"search.max_rounds": "2"})
    first.numbers({"round": 1}, step=1)
    first.close(succeeded=False)
    later = tracking.open("r1", name="first")
    assert later.last_step == 1
    later.settings({"search.max_rounds": "2", "search.seed": "0"})
    assert tracking.open("r2", name="other").last_step == 0


def test_a_service_that_is_not_there_is_said_when_the_run_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: the extra `mlflow`")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=r"tracking: MLflow: .*see tracking\.uri"):
        MlflowTracking(uri="http://127.0.0.1:9").open("r1", name="first")
