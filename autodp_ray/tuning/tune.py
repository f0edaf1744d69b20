"""The final fine-tuning: a model trained on the run's processed data, scored on its test split, exported as a folder.

A training that was killed goes on from its last checkpoint; one that is finished is found in the journal. The search's
own trainings, of many small models, stand in scoring/training_scores.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from actors.models.gpu_memory import gpu_bytes_of_worker
from actors.models.shape import read_shape
from actors.models.source import ResolvedModel
from actors.storage.storage import Storage
from actors.training.job import ItemLosses, TrainJob, TrainOutcome
from actors.training.memory import require_evaluation_fit, require_fit
from actors.training.recipe import TrainingRecipe
from actors.training.service import TrainingService
from autodp_ray.cluster.ray import Cluster, connected, require_shared
from autodp_ray.cluster.starting import said_while_starting
from autodp_ray.journal import Journal, Payload
from autodp_ray.progress import Progress, show_training
from autodp_ray.runs.exports import exported_to
from autodp_ray.runs.open_run import RunOptions, open_run
from autodp_ray.runs.recording import Recording
from autodp_ray.scoring.training_scores import TrainFn
from autodp_ray.statistics import ItemScores, paired_interval, score
from autodp_ray.tuning.export import EXPORT, export
from autodp_ray.tuning.model_card import MODEL_CARD
from autodp_ray.tuning.rows import TuningRows, tuning_rows
from autodp_ray.tuning.tuned import Tuned
from autodp_ray.tuning.tuning import Tuning, prepare_tuning
from operators.contract.digest import json_digest
from operators.contract.errors import InputError, RunError
from operators.contract.redaction import redacted

TUNING, TUNING_UNTRAINED = "tuning", "tuning_untrained"
_TEST = "test"

Trainers = Callable[[ResolvedModel, TrainingRecipe, str], AbstractContextManager[TrainFn]]
"""Given a model, a recipe and a storage path: what runs trainings, for as long as it is held."""


@contextmanager
def training_service(
    model: ResolvedModel, recipe: TrainingRecipe, storage_path: str, progress: Progress
) -> Iterator[TrainFn]:
    """Trainings on Ray Train, on workers that the recipe describes."""
    service = TrainingService(
        untrained_recipe(recipe),
        storage_path=storage_path,
        note=progress.note,
        on_advance=partial(show_training, progress),
    )
    service.warm_up(model)
    try:
        yield service.run
    finally:
        service.close()


def tune_folder(
    run_dir: str,
    *,
    model: str,
    output: str | None = None,
    merge: bool = False,
    overrides: Sequence[str] = (),
    progress: Progress,
) -> Tuned:
    """Tune on an applied run's data under the lock of its folder, on the cluster there is or an own Ray.

    Raises: InputError for a request that is wrong; RunError where the training failed.
    """
    run = open_run(RunOptions(resume=run_dir))
    with run.folder.locked():
        tuning = prepare_tuning(run, model=model, output=output, merge=merge, overrides=overrides)
        with connected() as cluster:
            return tune_run(tuning, cluster=cluster, progress=progress)


def tune_run(
    tuning: Tuning,
    *,
    cluster: Cluster,
    progress: Progress,
    trainers: Trainers | None = None,
    gpu_bytes: Callable[[float], int] = gpu_bytes_of_worker,
) -> Tuned:
    """Train, score, export; a tuning that was done before is given back.

    Raises:
        InputError: the cluster cannot hold the training, the data is not the run's, or the output is taken.
        RunError: the training failed; what it has saved is gone on from the next time.
    """
    journal = Journal(tuning.run.folder.storage)
    require_shared(tuning.output, cluster)
    recording = Recording.of(tuning.run, note=progress.note)
    _require_room(tuning, cluster)
    progress.phase("reading the processed data")
    tuning.clear_work("rows/")
    rows = tuning_rows(tuning.run, tuning.result, tuning.prepared, into=tuning.work.folder("rows"))
    key = _key(tuning, rows)
    found = journal.find(TUNING, key)
    if found is not None and tuning.output.exists(MODEL_CARD):
        progress.note(f"{tuning.output.location} holds this model already")
        tuning.clear_work()
        return Tuned.model_validate(found)
    attempt = tuning.work.folder(key[:16])
    _require_free(tuning, journal)
    _require_memory(tuning, gpu_bytes, progress)
    trainers = trainers or partial(training_service, progress=progress)
    with trainers(tuning.model, tuning.recipe, tuning.run.folder.storage.uri("training")) as train:
        untrained = _untrained(tuning, journal, train, progress)
        progress.phase(f"training {tuning.source}", strategy=str(tuning.result.best_strategy))
        outcome = _trained(tuning, rows, train, attempt)
    tuned = _tuned(tuning, rows, outcome, untrained)
    with said_while_starting(progress, "exporting the model"):
        journal.append(TUNING, tuned.model_dump(mode="json"), key=key)  # counts once the model is there, its card last
        export(tuning, tuned, attempt)
    tuning.clear_work()
    _record(tuning, tuned, recording)
    return tuned


def untrained_recipe(recipe: TrainingRecipe) -> TrainingRecipe:
    """The recipe for scoring a model that nobody trains: nothing is sharded, and nothing is float32 but by `precision`.

    Under `full` a training holds float32 weights also where it computes in bf16; LoRA's frozen model is as computed.
    """
    return recipe.model_copy(update={"deepspeed": None, "method": "lora"})


def _require_room(tuning: Tuning, cluster: Cluster) -> None:
    """Raises: InputError where the workers can never be placed. A cluster with an autoscaler may still grow."""
    recipe = tuning.recipe
    cpus, gpus = recipe.num_workers * recipe.num_cpus_per_worker, recipe.num_workers * recipe.num_gpus_per_worker
    if not cluster.may_grow and (cpus > cluster.num_cpus or gpus > cluster.num_gpus):
        place = "this machine" if cluster.is_own else "the cluster"
        raise InputError(
            f"the training wants {cpus:g} CPUs and {gpus:g} GPUs, but {place} has {cluster.num_cpus:g} and "
            f"{cluster.num_gpus:g}; lower tune.num_workers, tune.num_cpus_per_worker or tune.num_gpus_per_worker"
        )


def _require_free(tuning: Tuning, journal: Journal) -> None:
    """Raises: InputError for an output that holds anything but what is half handed over, of this run's tunings."""
    files = tuning.output.files()
    if files and (tuning.output.exists(MODEL_CARD) or not set(files) <= set(exported_to(journal, tuning.output))):
        raise InputError(f"{tuning.output.location} holds something else; choose another --output, or delete it")


def _require_memory(tuning: Tuning, gpu_bytes: Callable[[float], int], progress: Progress) -> None:
    """Raises: InputError for a training that cannot fit on the GPUs there are."""
    shape = read_shape(tuning.model.path)
    num_gpus = tuning.recipe.num_gpus_per_worker
    if shape is not None and num_gpus > 0:
        with said_while_starting(progress, "asking a worker for the memory of its GPUs"):
            num_bytes = gpu_bytes(num_gpus)
        require_fit(tuning.recipe, shape, num_bytes, section="tune")
        require_evaluation_fit(tuning.recipe, shape, num_bytes, section="tune")


def _key(tuning: Tuning, rows: TuningRows) -> str:
    """What a tuned model is a function of, and where it goes."""
    body = {
        "data": rows.dataset.content_hash,
        "test": tuning.prepared.test.content_hash,
        "recipe": tuning.recipe.fingerprint(),
        "model": tuning.model.revision,
        "seed": tuning.seed,
        "kind": tuning.kind,
        "output": tuning.output.shown,
    }
    return json_digest(body)


def _untrained(tuning: Tuning, journal: Journal, train: TrainFn, progress: Progress) -> ItemScores:
    """Scores of the model as it is; first, so that a test set that cannot be scored is known before the training."""

    def step() -> Payload:
        progress.phase(f"scoring {tuning.source} as it is")
        outcome = train(
            TrainJob(
                model=tuning.model,
                recipe=untrained_recipe(tuning.recipe),
                seed=tuning.seed,
                train=None,
                evaluation={_TEST: tuning.prepared.test.rows_for_workers()},
            )
        )
        items = _items(outcome.evaluation[_TEST])
        return {"ids": items.ids, "numerators": items.numerators, "denominators": items.denominators}

    recipe = tuning.recipe
    parts = (tuning.model.revision, tuning.prepared.test.content_hash, recipe.precision, str(recipe.max_length))
    return _as_scores(journal.once(TUNING_UNTRAINED, " ".join(parts), step))


def _as_scores(payload: Payload) -> ItemScores:
    ids, numerators, denominators = payload["ids"], payload["numerators"], payload["denominators"]
    assert isinstance(ids, list)
    assert isinstance(numerators, list)
    assert isinstance(denominators, list)
    return ItemScores(ids=tuple(ids), numerators=tuple(numerators), denominators=tuple(denominators))


def _items(losses: ItemLosses) -> ItemScores:
    """Raises: RunError where a test row has no score."""
    if losses.left_out or not losses.ids:
        raise RunError(
            f"{sum(losses.left_out.values())} test rows cannot be scored ({dict(losses.left_out)}); "
            "raise tune.max_length where they are too long"
        )
    return ItemScores(
        ids=losses.ids,
        numerators=tuple(-nll for nll in losses.nll_sums),
        denominators=tuple(float(count) for count in losses.num_tokens),
    )


def _trained(tuning: Tuning, rows: TuningRows, train: TrainFn, attempt: Storage) -> TrainOutcome:
    attempt.delete(EXPORT)
    return train(
        TrainJob(
            model=tuning.model,
            recipe=tuning.recipe,
            seed=tuning.seed,
            train=rows.dataset.rows_for_workers(),
            evaluation={_TEST: tuning.prepared.test.rows_for_workers()},
            export_folder=attempt.uri(EXPORT),
            checkpoint_folder=attempt.uri("checkpoints"),
            label=str(tuning.result.best_strategy),
        )
    )


def _tuned(tuning: Tuning, rows: TuningRows, outcome: TrainOutcome, untrained: ItemScores) -> Tuned:
    items = _items(outcome.evaluation[_TEST])
    config = tuning.run.config
    gain = paired_interval([items], [untrained], seed=tuning.seed, num_resamples=config.evaluation.bootstrap_samples)
    unreadable = {"unreadable": rows.num_unreadable} if rows.num_unreadable else {}
    return Tuned(
        model=tuning.source,
        revision=tuning.model.revision,
        kind=tuning.kind,
        output=tuning.output.shown,
        run_dir=tuning.run.folder.storage.shown,
        dataset=redacted(config.dataset.path),
        strategy=str(tuning.result.best_strategy),
        recipe=tuning.recipe,
        seed=tuning.seed,
        num_rows=outcome.num_rows,
        left_out={**outcome.left_out, **unreadable},
        num_truncated=outcome.num_truncated,
        num_steps=outcome.num_steps,
        num_test_rows=len(items.ids),
        test_score=score(items),
        untrained_score=score(untrained),
        gain=gain.estimate,
        gain_ci95=(gain.low, gain.high),
        seconds=dict(outcome.seconds),
    )


def _record(tuning: Tuning, tuned: Tuned, recording: Recording) -> None:
    """Tell the run's tracking service of the model."""
    low, high = tuned.gain_ci95
    scores = {"test_score": tuned.test_score, "untrained_score": tuned.untrained_score, "gain": tuned.gain}
    numbers = {**scores, "gain_ci95_low": low, "gain_ci95_high": high, "num_steps": float(tuned.num_steps)}
    recording.model(
        {f"tune/{name}": value for name, value in numbers.items()},
        {"autodp.tuned": tuned.model, "autodp.tuned_at": tuned.output},
        folder=tuning.output.path("") if tuning.output.is_local else None,
    )
