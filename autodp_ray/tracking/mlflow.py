"""MLflow: a server, a database such as sqlite:///mlflow.db, or a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from actors.llm.engines.base import EnginePackage
from autodp_ray.tracking.base import Tracking
from operators.contract.errors import InputError, RunError
from operators.contract.redaction import redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID = "autodp.run_id"
"""The tag by which a later attempt finds its run."""
MAX_VALUE = 500
"""Characters of a parameter; more than that an older store refuses."""
_HASTE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""MLflow's own patience holds a run up for many minutes; who wants it sets it."""


class MlflowTracking(Tracking):
    """Logs to MLflow."""

    packages: ClassVar[tuple[EnginePackage, ...]] = (
        EnginePackage(
            module="mlflow", distributions=("mlflow", "mlflow-skinny"), install="pip install 'autodp-ray[mlflow]'"
        ),
    )

    name: Literal["mlflow"] = "mlflow"
    uri: str | None = None
    """Where MLflow keeps runs, as in `http://mlflow:5000` or `sqlite:///mlflow.db`; null is `MLFLOW_TRACKING_URI`."""
    experiment: str = Field(default="autodp", min_length=1)
    """The experiment that runs are logged under; it is created if it does not exist."""

    def open(self, run_id: str, *, name: str) -> MlflowRun:
        self.require_packages()
        for variable, value in _HASTE.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient  # takes seconds to load

        try:
            with _faults():
                client = MlflowClient(tracking_uri=self.uri)
                return MlflowRun(client, self._run(client, run_id, name))
        except RunError as error:
            raise InputError(f"tracking: {error}; see tracking.uri or MLFLOW_TRACKING_URI") from None

    def _run(self, client: MlflowClient, run_id: str, name: str) -> str:
        """MLflow's own id of the run."""
        found = client.get_experiment_by_name(self.experiment)
        experiment = client.create_experiment(self.experiment) if found is None else found.experiment_id
        runs = client.search_runs([experiment], filter_string=f"tags.`{RUN_ID}` = '{run_id}'", max_results=1)
        run = runs[0] if runs else client.create_run(experiment, tags={RUN_ID: run_id}, run_name=name)
        client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)


class MlflowRun:
    """One run there."""

    def __init__(self, client: MlflowClient, run: str) -> None:
        self._client = client
        self._run = run

    @property
    def last_step(self) -> int:
        with _faults():
            told = self._client.get_run(self._run).data.metrics
            return int(told.get("round", 0))

    def settings(self, values: Mapping[str, str]) -> None:
        with _faults():
            told = self._client.get_run(self._run).data.params
            for key, value in values.items():
                if _key(key) not in told:  # a parameter is told once
                    self._client.log_param(self._run, _key(key), value[:MAX_VALUE])

    def numbers(self, values: Mapping[str, float], *, step: int) -> None:
        with _faults():
            for key, value in values.items():
                self._client.log_metric(self._run, _key(key), value, step=step)

    def words(self, values: Mapping[str, str]) -> None:
        with _faults():
            for key, value in values.items():
                self._client.set_tag(self._run, _key(key), value)

    def text(self, name: str, text: str) -> None:
        with _faults():
            self._client.log_text(self._run, text, name)

    def folder(self, name: str, path: str) -> None:
        with _faults():
            self._client.log_artifacts(self._run, path, artifact_path=name)

    def close(self, *, succeeded: bool) -> None:
        with _faults():
            self._client.set_terminated(self._run, status="FINISHED" if succeeded else "FAILED")


@contextmanager
def _faults() -> Iterator[None]:
    """Raises: RunError for whatever MLflow, its database or the way to it fails with."""
    from mlflow.exceptions import MlflowException  # takes seconds to load

    try:
        yield
    except (MlflowException, OSError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(f"MLflow: {redacted(said[0])}") from None


def _key(name: str) -> str:
    """A name of the characters that every store takes: strategies have `>` in theirs."""
    return re.sub(r"[^\w./ -]", "-", name)
