"""What an explanation says of planted damage: the operator that mends it is named, and no other.

Damage and operators are the real ones; a training's loss is the share of damaged rows that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError

from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import ProgressFn
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import Cluster
from autodp_ray.config.run_config import EvaluationConfig
from autodp_ray.damage.corruption import CorruptionConfig, CorruptionKind, corrupt
from autodp_ray.explaining import explain
from autodp_ray.explaining.explain import Explainer
from autodp_ray.explaining.variants import variants_of
from autodp_ray.journal import Journal
from autodp_ray.progress import Silent
from autodp_ray.reporting.explanation import Contribution, Explanation
from autodp_ray.result import ConfirmationScores, RunResult
from autodp_ray.runs.open_run import OpenRun, RunOptions, open_run
from autodp_ray.strategies.strategy_evaluation import StrategyEvaluator
from autodp_ray.strategy import Strategy
from benchmarks.in_process import apply_here
from operators.contract.errors import RunError
from operators.contract.operator import Operator
from operators.contract.resources import Resources
from operators.rows.record import RECORD_SCHEMA
from tests.autodp_ray.run_fakes import (
    FakeRecipe,
    FakeTraining,
    config_values,
    make_config,
    make_processor,
    make_scorer,
    pair,
    stored,
)

NUM_ROWS = 60
CLEANING = Strategy(("cleaning",))


class InProcess(FakeRecipe):
    """Runs the real operators in this process."""

    def __call__(
        self,
        dataset: StoredDataset,
        recipe: Sequence[Operator],
        *,
        resources: Resources,
        out: Storage,
        pool: PoolConfig,
        on_progress: ProgressFn | None = None,
    ) -> StoredDataset:
        if failing := next((self.failing[one.name] for one in recipe if one.name in self.failing), None):
            raise failing
        self.ran.append(recipe[0].name)
        return StoredDataset.write(out, [apply_here(recipe, dataset.read(), resources)])


def clean_rows() -> pa.Table:
    rows = [
        {"id": f"r{at}", "history": [], "question": one["instruction"], "answer": one["output"], "origin": "source"}
        for at, one in enumerate(pair(number) for number in range(NUM_ROWS))
    ]
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


def contents(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(table["question"].to_pylist(), table["answer"].to_pylist(), strict=True))


def share_of_bad_rows(table: pa.Table) -> float:
    """Rows that differ from every clean one, and copies that are too many."""
    clean = set(contents(clean_rows()))
    good = len(clean & set(contents(table)))
    return float(table.num_rows - good) / float(table.num_rows)


class Planted:
    """Rows with one kind of damage, and an explainer of what is trained on them."""

    def __init__(self, root: Storage, kind: CorruptionKind) -> None:
        damaged = corrupt(clean_rows(), CorruptionConfig(rate=0.5, kinds={kind: 1.0}))
        sample = StoredDataset.write(root.folder("sample"), [damaged.table])
        self.recipe = InProcess()
        self.training = FakeTraining(lambda table, seed: 2.0 + share_of_bad_rows(table) + 0.001 * (seed % 3))
        self.variants = variants_of(CLEANING, make_config("data.jsonl"))
        journal = Journal(root.folder("run"))
        test = stored(root.folder("test"), [f"t{number}" for number in range(20)])
        self.explainer = Explainer(
            evaluator=StrategyEvaluator(
                sample=sample,
                validation=test,
                processor=make_processor(root, self.recipe, teams=self.variants.config.teams, journal=journal),
                scorer=make_scorer(root, self.training, journal=journal),
                config=EvaluationConfig(bootstrap_samples=300, confirm_baseline_seeds=5),
                progress=Silent(),
            ),
            test=test,
            num_seeds=3,
            num_baseline_seeds=5,
            progress=Silent(),
        )

    def explain(self) -> Explanation:
        return self.explainer.explain(CLEANING, self.variants.variants)


@pytest.mark.parametrize(
    ("kind", "operator"),
    [("markup", "strip_markup"), ("repetition", "ngram_repetition"), ("exact_copy", "deduplicate")],
)
def test_the_operator_that_mends_the_planted_damage_is_named_and_no_other(
    tmp_path: Path, kind: CorruptionKind, operator: str
) -> None:
    found = Planted(Storage.at(tmp_path), kind).explain()
    helping = {one.part.name for one in found.contributions if one.verdict == "helps"}
    assert helping == {operator, "cleaning"}
    assert found.contributions[0].contribution == pytest.approx(found.gain, abs=0.05)
    assert found.gain > 0.2


def test_what_changes_no_row_contributes_nothing_and_is_not_trained(tmp_path: Path) -> None:
    planted = Planted(Storage.at(tmp_path), "markup")
    found = planted.explain()
    idle = [one for one in found.contributions if one.changes_nothing]
    assert {"deduplicate", "ngram_repetition"} <= {one.part.name for one in idle}
    assert all((one.contribution, one.ci95) == (0.0, (0.0, 0.0)) for one in idle)
    of_whole, of_baseline = range(1000, 1003), range(1000, 1005)  # without strip_markup all rows are as they were
    assert sorted(job.seed for job in planted.training.jobs) == sorted([*of_whole, *of_baseline])


def test_the_gain_is_that_of_the_confirmation(tmp_path: Path) -> None:
    planted = Planted(Storage.at(tmp_path), "markup")
    confirmed = planted.explainer.evaluator.confirm(CLEANING, planted.explainer.test)
    found = planted.explain()
    assert (found.gain, found.ci95) == (confirmed.interval.estimate, confirmed.interval.ci95)


def test_a_variant_that_fails_is_said_and_ends_no_other(tmp_path: Path) -> None:
    planted = Planted(Storage.at(tmp_path), "repetition")
    whole = planted.explain()
    again = Planted(Storage.at(tmp_path / "again"), "repetition")
    again.explainer.evaluator.trained([CLEANING], again.explainer.test, seeds=[1000, 1001, 1002])
    again.recipe.failing["ngram_repetition"] = RunError("the disk is full")
    found = again.explain()
    failed = {one.part.name for one in found.contributions if one.error is not None}
    assert failed == {"strip_markup", "special_char_ratio", "token_count", "deduplicate"}
    assert {one.part.name for one in found.contributions if one.verdict == "helps"} == {"ngram_repetition", "cleaning"}
    assert found.gain == whole.gain


@pytest.mark.parametrize(("asked", "num_seeds"), [(None, 6), (4, 4)])
def test_variants_are_trained_as_often_as_what_confirmed_the_strategy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int | None, num_seeds: int
) -> None:
    """Where seeds were added until the claim was decided, more often than at the first look."""
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(config_values("data.jsonl", evaluation={"confirm_seeds_at_most": 12})))
    run = open_run(RunOptions(config_path=str(config), run_dir=str(tmp_path / "run")))
    by_seed = dict.fromkeys(range(6), 0.5)
    confirmation = ConfirmationScores(num_items=8, candidate=by_seed, baseline=by_seed, detectable_gain=0.1)
    run.folder.write_result(RunResult(status="done", tested="cleaning", confirmation=confirmation))

    def made(run: OpenRun, strategy: Strategy, *, num_seeds: int, **given: object) -> Explanation:
        return Explanation(
            strategy="cleaning", gain=0.0, ci95=(0, 0), num_seeds=num_seeds, num_rows=8, contributions=()
        )

    @contextmanager
    def connect() -> Iterator[Cluster]:
        raise AssertionError("nothing is trained here")
        yield

    monkeypatch.setattr(explain, "_made", made)
    found = explain.explain_run(run, num_seeds=asked, connect=connect, progress=Silent())
    assert found.num_seeds == num_seeds


def test_an_explanation_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = Planted(Storage.at(tmp_path), "exact_copy").explain()
    assert Explanation.from_json(found.to_json()) == found
    assert "deduplicate (cleaning)" in found.text()


@pytest.mark.parametrize(
    "found",
    [{}, {"contribution": 0.1}, {"ci95": (0.0, 0.2)}, {"contribution": 0.1, "ci95": (0.0, 0.2), "error": "no room"}],
)
def test_a_contribution_has_its_interval_or_says_why_it_is_not_there(found: dict[str, object]) -> None:
    part = {"kind": "team", "name": "cleaning"}
    with pytest.raises(ValidationError, match="either a contribution"):
        Contribution.model_validate({"part": part, **found})
