"""What a final fine-tuning is asked to do: model, recipe, place. Checked before any cluster is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.models.source import ResolvedModel, resolve_model
from actors.storage.storage import Storage
from actors.training.recipe import TrainingRecipe
from autodp_ray.applying.apply import finished_result
from autodp_ray.cluster.ray import require_lasting
from autodp_ray.config.run_config import Config, build_config
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, find_prepared
from autodp_ray.result import RunResult
from autodp_ray.run_contents import TUNED, TUNING_WORK
from autodp_ray.runs.open_run import OpenRun
from autodp_ray.tuning.rows import require_applied
from autodp_ray.tuning.tuned import ExportKind
from operators.contract.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What is going to be tuned on what; everything that can be wrong with it without a cluster is checked."""

    run: OpenRun
    result: RunResult
    prepared: Prepared
    source: str
    """The model as the user names it."""
    model: ResolvedModel
    recipe: TrainingRecipe
    kind: ExportKind
    output: Storage

    @property
    def work(self) -> Storage:
        """Checkpoints and what is not finished, beside the output."""
        return self.output.beside(".work")

    def clear_work(self, prefix: str = "") -> None:
        """Delete what a tuning keeps there, or what of it begins so; other files are not ours."""
        for file in self.work.files():
            if file.startswith(prefix) and re.fullmatch(TUNING_WORK, file):
                self.work.delete(file)
        self.work.delete_empty_folders("")

    @property
    def seed(self) -> int:
        return self.run.config.evaluation.seed


def prepare_tuning(
    run: OpenRun, *, model: str, output: str | None = None, merge: bool = False, overrides: Sequence[str] = ()
) -> Tuning:
    """Check what is asked for; needs no Ray. `overrides` are of the form `tune.epochs=1`.

    Raises: InputError for a run that is not finished or not applied, or a model, output or setting that is wrong.
    """
    result = finished_result(run)
    prepared = find_prepared(run.folder.storage, Journal(run.folder.storage))
    require_applied(run, result, prepared)
    recipe = tuning_recipe(run.config, overrides)
    if merge and recipe.method == "full":
        raise InputError("there is no adapter to merge: tune.method is full, which exports the whole model anyway")
    return Tuning(
        run=run,
        result=result,
        prepared=prepared,
        source=model,
        model=resolve_model(model),
        recipe=recipe,
        kind="full" if recipe.method == "full" else "merged" if merge else "adapter",
        output=_output(run, model, output),
    )


def tuning_recipe(config: Config, overrides: Sequence[str] = ()) -> TrainingRecipe:
    """The config's `tune`, else its `training` over whole epochs; then the overrides.

    Raises: InputError for an override of anything else, or a wrong one.
    """
    for override in overrides:
        if not override.startswith("tune."):
            raise InputError(f"--set takes tune.KEY=VALUE here, such as tune.epochs=1, not {override!r}")
    recipe = config.tune or config.training.model_copy(update={"budget": "epochs"})
    values: Mapping[str, object] = json.loads(config.model_copy(update={"tune": recipe}).model_dump_json())
    tuned = build_config(values, overrides, source="--set").tune
    assert tuned is not None
    return tuned


def _output(run: OpenRun, model: str, output: str | None) -> Storage:
    if output is not None:
        require_lasting(output)
        target = Storage.at(output)
        if not target.is_local and "/" not in target.location.partition("?")[0].partition("://")[2]:
            raise InputError(f"{output} is a whole bucket; give --output a folder in it, such as {target.uri('model')}")
        return target
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model.partition("@")[0].removeprefix("pkg:").rstrip("/").split("/")[-1])
    return run.folder.storage.folder(f"{TUNED}/{name or 'model'}")
