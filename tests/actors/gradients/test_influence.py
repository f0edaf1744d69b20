"""Influence end to end on the tiny model: sketches remembered by row, scores, the same rows at any parallelism."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import run_recipe
from actors.data.stored_dataset import StoredDataset
from actors.gradients.influence import (
    GradientScorer,
    InfluenceInputs,
    find_influence,
    influence_spec,
    prepare_here,
    prepare_influence,
)
from actors.gradients.influence_model import LOADED
from actors.gradients.sketch import CountSketch, Projection
from actors.gradients.warmup_checkpoint import load_checkpoints
from actors.gradients.worker import GradientWorker
from actors.models.source import ResolvedModel, resolve_model
from actors.storage.storage import Storage
from actors.training.recipe import LoraRecipe, TrainingRecipe
from actors.training.tuned_model import TunedModel
from operators.contract.errors import InputError
from operators.contract.resources import InfluenceScorer, Resources
from operators.deduplicate import Deduplicate
from operators.rows.record import RECORD_SCHEMA
from operators.select_by_gradient import SelectByGradient, ranking

RECIPE = TrainingRecipe(learning_rate=3e-3, batch_size=4, max_length=64, lora=LoraRecipe(rank=4))
SPEC = SelectByGradient(num_checkpoints=2)


def _table(pairs: Sequence[tuple[str | None, str | None]], *, prefix: str = "r") -> pa.Table:
    rows: list[dict[str, object]] = [
        {"id": f"{prefix}{at:03d}", "history": [], "question": question, "answer": answer, "origin": "source"}
        for at, (question, answer) in enumerate(pairs)
    ]
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


def _sums(first: int, last: int) -> list[tuple[str, str]]:
    return [(f"What is {at} and {at + 1}?", f"It is {2 * at + 1}.") for at in range(first, last)]


def _noise(num: int) -> list[tuple[str, str]]:
    draws = np.random.default_rng(0).integers(33, 127, size=(num, 24))
    return [(f"Tell me {at}", "".join(chr(one) for one in line)) for at, line in enumerate(draws)]


RAW = _table(_sums(0, 12) + _noise(12))
GUIDE = _table(_sums(40, 46), prefix="g")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> ResolvedModel:
    return resolve_model(str(tiny_model))


@pytest.fixture(scope="module")
def prepared(model: ResolvedModel, tmp_path_factory: pytest.TempPathFactory) -> GradientScorer:
    folder = tmp_path_factory.mktemp("influence")
    return _prepare(model, folder)


@pytest.fixture
def scorer(prepared: GradientScorer, tmp_path: Path) -> GradientScorer:
    """The same warm-up with a memory of its own."""
    return replace(prepared, config=replace(prepared.config, memo=tmp_path / "rows.sqlite"))


def _inputs(
    model: ResolvedModel, folder: Path, *, guide: pa.Table = GUIDE, spec: SelectByGradient = SPEC
) -> InfluenceInputs:
    return InfluenceInputs(
        spec=spec,
        model=model,
        recipe=RECIPE,
        raw=RAW,
        guide=guide,
        storage=Storage.at(folder),
        memo=folder / "rows.sqlite",
    )


def _prepare(
    model: ResolvedModel, folder: Path, *, guide: pa.Table = GUIDE, spec: SelectByGradient = SPEC
) -> GradientScorer:
    return prepare_here(_inputs(model, folder, guide=guide, spec=spec))


def test_a_scorer_is_found_only_where_its_warm_up_and_its_guide_are_finished(
    model: ResolvedModel, prepared: GradientScorer, tmp_path: Path
) -> None:
    folder = Path(prepared.config.folder.location).parent
    assert find_influence(_inputs(model, folder)) == prepared
    assert find_influence(_inputs(model, tmp_path)) is None
    assert find_influence(_inputs(model, folder, guide=_table(_noise(5), prefix="m"))) is None


def test_a_scorer_is_plain_data_and_keeps_to_the_protocol(scorer: GradientScorer) -> None:
    assert pickle.loads(pickle.dumps(scorer)) == scorer
    assert isinstance(scorer, InfluenceScorer)


def test_rows_like_the_guide_rows_score_above_noise(scorer: GradientScorer) -> None:
    values = scorer.score(RAW).values
    assert np.median(values[:12]) > np.median(values[12:])
    assert np.abs(values).max() <= sum(scorer.learning_rates)


def test_a_row_s_score_depends_on_its_content_alone(scorer: GradientScorer, tmp_path: Path) -> None:
    whole = scorer.score(RAW).values
    for size in (1, 5, 7):
        config = replace(scorer.config, memo=tmp_path / f"{size}.sqlite")
        fresh = replace(scorer, config=config)
        parts = [fresh.score(RAW.slice(start, size)).values for start in reversed(range(0, RAW.num_rows, size))]
        found = np.concatenate(parts[::-1])
        assert np.abs(found - whole).max() < 2e-5 * sum(scorer.learning_rates)
        assert ranking(RAW["id"].combine_chunks(), found) == ranking(RAW["id"].combine_chunks(), whole)


def test_incomplete_rows_have_no_score_and_blank_ones_neither(scorer: GradientScorer) -> None:
    table = _table([("What?", None), (None, "It is 3."), ("What is 1 and 2?", "It is 3."), ("What?", "  ")])
    scores = scorer.score(table)
    assert np.isnan(scores.values).tolist() == [True, True, False, True]
    assert scorer.score(table).num_computed == 0


def test_an_empty_table_has_no_scores(scorer: GradientScorer) -> None:
    scores = scorer.score(RECORD_SCHEMA.empty_table())
    assert (scores.values.shape, scores.num_computed) == ((0,), 0)


def test_only_rows_that_were_never_seen_are_computed(scorer: GradientScorer) -> None:
    first = scorer.score(RAW)
    assert first.num_computed == RAW.num_rows
    renamed = _table(_sums(3, 12) + _sums(20, 22) + _sums(20, 22), prefix="other")
    second = scorer.score(renamed)
    assert second.num_computed == 2
    assert second.values[:9].tolist() == first.values[3:12].tolist()
    assert second.values[9:11].tolist() == second.values[11:].tolist()


def test_without_a_memory_every_row_is_computed_each_time_and_scores_the_same(scorer: GradientScorer) -> None:
    forgetful = replace(scorer, config=replace(scorer.config, memo=None))
    rows = RAW.slice(0, 4)
    first, second = forgetful.score(rows), forgetful.score(rows)
    assert (first.num_computed, second.num_computed) == (4, 4)
    assert first.values.tolist() == second.values.tolist()


def test_a_finished_warm_up_is_found_again(model: ResolvedModel, prepared: GradientScorer) -> None:
    folder = Path(prepared.config.folder.location)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert _prepare(model, folder.parent) == prepared
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("damage", ["guide", "checkpoint", "manifest", "lost"])
def test_what_is_damaged_of_a_warm_up_is_found_and_made_again(
    model: ResolvedModel, prepared: GradientScorer, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(Path(prepared.config.folder.location).parent, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / Path(prepared.config.folder.location).name
    inputs = _inputs(model, tmp_path)
    before = find_influence(inputs)
    assert before is not None
    names = {"guide": before.guide_file, "manifest": "warmup.json"}
    file = folder / names.get(damage, "checkpoint-0.safetensors")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    if damage == "lost":
        file.unlink()
    assert find_influence(inputs) is None
    assert prepare_here(inputs) == before == find_influence(inputs)
    aside = [name for name in Storage.at(tmp_path).names() if name.startswith("damaged-")]
    assert len(aside) == (0 if damage == "guide" else 1)


SIDE_INPUTS: dict[str, dict[str, object]] = {
    "a raw row less": {"raw": RAW.slice(1)},
    "a changed raw row": {"raw": pa.concat_tables([_table([("What is 0 and 1?", "It is 2.")]), RAW.slice(1)])},
    "the learning rate": {"recipe": RECIPE.model_copy(update={"learning_rate": 1e-3})},
    "the maximum length": {"recipe": RECIPE.model_copy(update={"max_length": 32})},
    "the adapters": {"recipe": RECIPE.model_copy(update={"lora": LoraRecipe(rank=8)})},
    "where it computes": {"num_gpus": 1.0},
    "the seed": {"spec": SPEC.model_copy(update={"seed": 1})},
    "the warm-up's share": {"spec": SPEC.model_copy(update={"warmup_frac": 0.5})},
    "the checkpoints": {"spec": SPEC.model_copy(update={"num_checkpoints": 3})},
    "the projection": {"spec": SPEC.model_copy(update={"projection_dim": 512})},
    "the kind of projection": {"spec": SPEC.model_copy(update={"projection": "rademacher"})},
    "the groups of guide rows": {"spec": SPEC.model_copy(update={"guide_column": "origin"})},
    "the moments": {"spec": SPEC.model_copy(update={"momentum": not SPEC.momentum})},
}


@pytest.mark.parametrize("what", [*SIDE_INPUTS, "the model"])
def test_each_side_input_changed_alone_finds_no_warm_up(
    model: ResolvedModel, prepared: GradientScorer, what: str
) -> None:
    inputs = _inputs(model, Path(prepared.config.folder.location).parent)
    assert find_influence(inputs) == prepared
    changed = SIDE_INPUTS.get(what, {"model": replace(model, revision="another")})
    assert find_influence(replace(inputs, **changed)) is None  # type: ignore[arg-type]


def test_a_warm_up_is_found_whatever_share_is_kept(model: ResolvedModel, prepared: GradientScorer) -> None:
    folder = Path(prepared.config.folder.location).parent
    assert find_influence(_inputs(model, folder, spec=SPEC.model_copy(update={"keep_frac": 0.25}))) == prepared


def test_other_guide_rows_change_the_score_but_not_the_sketches(model: ResolvedModel, prepared: GradientScorer) -> None:
    other = _prepare(model, Path(prepared.config.folder.location).parent, guide=_table(_noise(4), prefix="n"))
    assert other.sketch_revision == prepared.sketch_revision
    assert other.revision != prepared.revision
    prepared.score(RAW)
    again = other.score(RAW)
    assert again.num_computed == 0
    assert np.median(again.values[12:]) > np.median(again.values[:12])


def test_a_row_counts_by_its_best_guide_group(model: ResolvedModel, prepared: GradientScorer) -> None:
    folder = Path(prepared.config.folder.location).parent
    mixed = pa.concat_tables([GUIDE, _table(_noise(6), prefix="n")])
    grouped = mixed.append_column("domain", pa.array(["sums"] * 6 + ["noise"] * 6))
    spec = SPEC.model_copy(update={"guide_column": "domain"})
    by_group = _prepare(model, folder, guide=grouped, spec=spec)
    alone = [_prepare(model, folder, guide=grouped.slice(start, 6), spec=spec) for start in (0, 6)]
    best = np.maximum(*(one.score(RAW).values for one in alone))
    assert by_group.score(RAW).values == pytest.approx(best, abs=1e-6)


def test_guide_rows_that_cannot_serve_are_an_error_of_the_user(model: ResolvedModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"splits\.guide"):
        _prepare(model, tmp_path, guide=_table([("What?", None)]))
    with pytest.raises(InputError, match="domain"):
        _prepare(model, tmp_path, spec=SPEC.model_copy(update={"guide_column": "domain"}))


def test_the_process_s_model_is_left_without_adapters(scorer: GradientScorer) -> None:
    scorer.score(RAW.slice(0, 3))
    model = LOADED.tuned(scorer.config.model, scorer.config.recipe).as_it_is().model
    assert not any("lora" in name for name, _ in model.named_modules())


def test_a_run_has_one_way_to_score() -> None:
    halves = [SPEC, SPEC.model_copy(update={"keep_frac": 0.25}), Deduplicate()]
    assert influence_spec(halves) == SPEC
    assert influence_spec([Deduplicate()]) is None
    with pytest.raises(InputError, match="keep_frac"):
        influence_spec([SPEC, SPEC.model_copy(update={"seed": 1})])


@dataclass(frozen=True)
class Everything:
    """A projection that projects nothing: exact gradients."""

    dim: int

    def add(self, out: torch.Tensor, values: torch.Tensor, *, offset: int) -> None:
        out[:, offset : offset + values.shape[1]] += values


def _sketches(prepared: GradientScorer, projection: Projection) -> Iterator[np.ndarray]:
    config = prepared.config
    worker = GradientWorker(
        TunedModel(config.model.path, config.recipe),
        recipe=config.recipe,
        checkpoints=load_checkpoints(config.folder),
        projection=projection,
        momentum=False,
        chunk_rows=256,
    )
    yield worker.sketch(RAW, kind="training")
    yield worker.sketch(GUIDE, kind="guide")


def test_sketched_cosines_of_real_gradients_are_within_two_hundredths(prepared: GradientScorer) -> None:
    num_coordinates = sum(one.numel() for one in load_checkpoints(prepared.config.folder)[0].weights.values())
    exact = list(_sketches(prepared, Everything(dim=num_coordinates)))
    sketched = list(_sketches(prepared, CountSketch(dim=8192, seed=0)))
    cosines = [np.einsum("ncd,gcd->ngc", *pair) for pair in (exact, sketched)]
    assert np.sqrt(np.mean((cosines[0] - cosines[1]) ** 2)) <= 0.02
    assert np.ptp(cosines[0]) > 0.2


@pytest.mark.slow
@pytest.mark.ray
def test_a_kept_process_and_one_two_and_four_workers_keep_the_same_rows(
    model: ResolvedModel, local_ray: None, tmp_path: Path
) -> None:
    prepared = prepare_influence(_inputs(model, tmp_path))
    kept = []
    pools = [PoolConfig(max_workers=number, num_cpus_per_worker=1, part_rows=1) for number in (1, 2, 4)]
    for number, pool in enumerate([PoolConfig(), *pools]):
        config = replace(prepared.config, memo=tmp_path / f"{number}.sqlite")
        source = StoredDataset.write(Storage.at(tmp_path / "in"), [RAW.slice(at, 6) for at in range(0, 24, 6)])
        done = run_recipe(
            source,
            [SPEC],
            resources=Resources(influence=replace(prepared, config=config)),
            out=Storage.at(tmp_path / f"out-{number}"),
            pool=pool,
        )
        kept.append(done)
    assert [one.num_rows for one in kept] == [12, 12, 12, 12]
    assert len({one.content_hash for one in kept}) == 1
    assert dict(kept[0].manifest.counts) == {
        "dropped:low_influence": 12,
        "gradients:executed": 24,
        "gradients:requested": 24,
    }
