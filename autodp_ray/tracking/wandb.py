"""Weights & Biases: its service, one's own, or files for `wandb sync`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from actors.llm.engines.base import EnginePackage
from autodp_ray.tracking.base import Tracking
from operators.contract.errors import InputError, RunError
from operators.contract.redaction import redacted

if TYPE_CHECKING:
    from wandb import Run

START_S = 30.0
"""How long its process is waited for."""


class WandbTracking(Tracking):
    """Logs to Weights & Biases, whose key is read from `WANDB_API_KEY` or `~/.netrc`."""

    packages: ClassVar[tuple[EnginePackage, ...]] = (
        EnginePackage(module="wandb", distributions=("wandb",), install="pip install wandb"),
    )

    name: Literal["wandb"] = "wandb"
    project: str = Field(default="autodp", min_length=1)
    """The project that runs are logged under."""
    entity: str | None = None
    """The user or team that owns the project; null is your default entity."""
    mode: Literal["online", "offline"] = "online"
    """Whether runs are sent at once; `offline` writes files under `wandb/`, for `wandb sync`."""

    def open(self, run_id: str, *, name: str) -> WandbRun:
        self.require_packages()
        try:
            with _faults():
                import wandb  # takes seconds to load

                run = wandb.init(
                    project=self.project,
                    entity=self.entity,
                    id=run_id,
                    name=name,
                    resume="allow",
                    mode=self.mode,
                    settings=wandb.Settings(silent=True, console="off", init_timeout=START_S, save_code=False),
                )
                run.define_metric("*", step_metric="round")
        except RunError as error:
            raise InputError(f"tracking: {error}; see WANDB_API_KEY, or set tracking.mode to offline") from None
        return WandbRun(run)


class WandbRun:
    """One run there."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def last_step(self) -> int:
        with _faults():
            return int(self._run.summary.get("round", 0))

    def settings(self, values: Mapping[str, str]) -> None:
        with _faults():
            self._run.config.update(dict(values), allow_val_change=True)

    def numbers(self, values: Mapping[str, float], *, step: int) -> None:
        with _faults():
            self._run.log({**values, "round": step})

    def words(self, values: Mapping[str, str]) -> None:
        with _faults():
            self._run.summary.update(dict(values))

    def text(self, name: str, text: str) -> None:
        import wandb  # loaded when the run was opened

        with _faults():
            artifact = wandb.Artifact(f"{self._run.id}-{name}", type="result")
            with artifact.new_file(name, encoding="utf-8") as file:
                file.write(text)
            self._run.log_artifact(artifact)

    def folder(self, name: str, path: str) -> None:
        import wandb  # loaded when the run was opened

        with _faults():
            artifact = wandb.Artifact(f"{self._run.id}-{name}", type=name)
            artifact.add_dir(path)
            self._run.log_artifact(artifact)

    def close(self, *, succeeded: bool) -> None:
        with _faults():
            self._run.finish(exit_code=0 if succeeded else 1)


@contextmanager
def _faults() -> Iterator[None]:
    """Raises: RunError for whatever wandb or the way to it fails with."""
    from wandb.errors import Error  # takes seconds to load

    try:
        yield
    except (Error, OSError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(f"Weights & Biases: {redacted(said[0])}") from None
