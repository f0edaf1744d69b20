"""What the encoder's training asks of Ray Train, and what comes of its faults; its result is tested with real rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.train.v2._internal.constants import WORKER_GROUP_START_TIMEOUT_S_ENV_VAR
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from actors.screening import encoder_training
from actors.screening.encoder_training import train_head
from operators.contract.errors import RunError

Train = Callable[[], None]


@pytest.fixture
def trained_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Train]:
    """Makes a training whose worker ends with a failure, or dies with an error; what it asks for goes into `asked`."""
    monkeypatch.setenv(WORKER_GROUP_START_TIMEOUT_S_ENV_VAR, "300")  # so that what is set is taken back

    def make(asked: dict[str, Any], failure: str | None = None, error: Exception | None = None) -> Train:
        class FakeTrainer:
            def __init__(self, *given: object, **settings: object) -> None:
                asked.update(settings)

            def fit(self) -> SimpleNamespace:
                if error is not None:
                    raise error
                return SimpleNamespace(return_value=failure)

        monkeypatch.setattr(encoder_training, "DataParallelTrainer", FakeTrainer)
        job: Any = None
        worker = {"CPU": 2.0, "GPU": 0.5}
        return lambda: train_head(job, storage_path=str(tmp_path), worker=worker, note=print)

    return make


def test_a_worker_that_dies_with_its_node_is_started_again_with_what_the_settings_give_it(
    trained_by: Callable[..., Train],
) -> None:
    asked: dict[str, Any] = {}
    trained_by(asked)()
    assert asked["scaling_config"].resources_per_worker == {"CPU": 2.0, "GPU": 0.5}
    assert asked["scaling_config"].use_gpu
    assert asked["run_config"].failure_config.max_failures == 1


@pytest.mark.parametrize(
    "faults",
    [
        {"failure": "no complete row"},
        {"error": WorkerGroupError("lost", {0: ValueError()})},
        {"error": ControllerError(OSError())},
    ],
)
def test_a_training_that_fails_is_an_error_of_the_run(
    trained_by: Callable[..., Train], faults: dict[str, object]
) -> None:
    with pytest.raises(RunError, match="screener"):
        trained_by({}, **faults)()
