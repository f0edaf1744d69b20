"""A screener on a real Ray: trained by Ray Train, applied by Ray Data, served and asked over HTTP, then gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from ray import serve

from actors.screening.manifest import MANIFEST, ScreenerManifest
from actors.screening.screener import RowScreener, local_screener
from actors.storage.storage import Storage
from autodp_ray.cluster.opened_screener import opened_screener
from autodp_ray.cluster.ray import Cluster
from autodp_ray.config.run_config import Config
from autodp_ray.config.screener_config import ScreenerConfig
from autodp_ray.progress import Silent
from autodp_ray.screening.apply import COUNTS, VERDICTS, prepare_screening, screen_dataset
from autodp_ray.screening.card import TrainedScreener
from autodp_ray.screening.train import plan_screener, train_screener
from operators.contract.errors import EndpointError, InputError
from tests.autodp_ray.preparation.stored_rows import apart_from
from tests.autodp_ray.run_fakes import make_config, write_jsonl
from tests.screener_rows import clean_rows, with_answer

pytestmark = pytest.mark.ray

NUM_RUN_ROWS = 60


@pytest.fixture(scope="module")
def cluster(local_ray: None) -> Cluster:
    return Cluster(is_own=False, num_nodes=1, num_cpus=4, num_gpus=0, hosts=frozenset({"127.0.0.1"}))


@pytest.fixture(scope="module")
def config(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("screener")
    table = clean_rows(260)
    pairs = zip(table["question"].to_pylist(), table["answer"].to_pylist(), strict=True)
    rows = [{"instruction": question, "output": answer} for question, answer in pairs]
    path = write_jsonl(folder / "data.jsonl", [{**rows[0], "output": ""}, *rows])
    return make_config(
        path,
        dataset={"path": str(path), "limit": NUM_RUN_ROWS, "language": "en"},
        screener={"train": {"model": str(tiny_encoder), "num_cpus": 0.5}},
        storage=str(folder / "storage"),
    )


@pytest.fixture(scope="module")
def trained(config: Config, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> TrainedScreener:
    output = tmp_path_factory.mktemp("trained") / "screener"
    return train_screener(plan_screener(config, output=str(output)), cluster=cluster, progress=Silent())


def test_the_folder_holds_what_was_trained_and_its_card(trained: TrainedScreener, config: Config) -> None:
    folder = Path(trained.output)
    names = ["README.md", "figures.json", "head.safetensors", "screener.json", "training_rows.npz"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert local_screener(str(folder)).revision == trained.revision
    card = (folder / "README.md").read_text()
    assert all(kind in card for kind in trained.figures.kinds)
    assert "visitor" not in card, "a card holds no row text"
    for kind in ("markup", "repetition", "mojibake", "missing_answer"):
        assert (trained.figures.kinds[kind].auc or 0) >= 0.9, kind
    with pytest.raises(InputError, match="is not empty"):
        plan_screener(config, output=str(folder))


@pytest.mark.slow
def test_a_causal_lm_is_trained_on_label_texts_by_the_projects_trainer(
    config: Config, cluster: Cluster, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = {"learning_rate": 1e-2, "batch_size": 8, "budget": "steps", "steps": 4, "num_cpus_per_worker": 0.5}
    train = {"backbone": "causal_lm", "model": str(tiny_model), "max_length": 320, "num_cpus": 0.5, "recipe": recipe}
    section = ScreenerConfig.model_validate({"train": train})
    plan = plan_screener(config.model_copy(update={"screener": section}), output=str(tmp_path / "lm"))
    trained = train_screener(plan, cluster=cluster, progress=Silent())
    assert (tmp_path / "lm" / "adapter").is_dir()
    screener = local_screener(trained.output)
    found = screener.probabilities(clean_rows(4))
    assert ((found > 0) & (found < 1)).all()
    assert trained.figures.kinds["missing_answer"].found == trained.figures.kinds["missing_answer"].rows


def test_it_was_trained_apart_from_the_runs_rows(trained: TrainedScreener) -> None:
    assert trained.rows_copied_from_the_run == NUM_RUN_ROWS
    apart_from(trained.output, clean_rows(NUM_RUN_ROWS - 1), threshold=0.8)
    with pytest.raises(InputError, match="was trained on copies"):
        apart_from(trained.output, clean_rows(260), threshold=0.8)


def test_a_whole_dataset_gets_a_verdict_per_row_and_is_judged_once(
    trained: TrainedScreener, config: Config, cluster: Cluster, tmp_path: Path
) -> None:
    outputs = [tmp_path / "first", tmp_path / "second"]
    first, second = (
        screen_dataset(
            prepare_screening(config, screener=trained.output, source=None, output=str(output)),
            cluster=cluster,
            progress=Silent(),
        )
        for output in outputs
    )
    verdicts = pq.read_table(outputs[0] / VERDICTS)
    assert verdicts.num_rows == first.rows == NUM_RUN_ROWS
    assert verdicts["needs_work"].to_pylist()[0], "its answer is missing"
    assert sum(verdicts["needs_work"].to_pylist()) == first.needs_work == first.rows - first.clean
    assert verdicts.equals(pq.read_table(outputs[1] / VERDICTS))
    assert first.counts["screened:executed"] == NUM_RUN_ROWS - 1
    assert (second.counts["screened:requested"], second.counts.get("screened:executed", 0)) == (NUM_RUN_ROWS, 0)
    assert json.loads((outputs[0] / COUNTS).read_text())["screener_revision"] == trained.revision


def test_served_verdicts_equal_local_ones_and_a_screener_that_is_gone_is_a_fault(
    trained: TrainedScreener, tmp_path: Path, local_ray: None
) -> None:
    section = ScreenerConfig.model_validate(
        {
            "folder": trained.output,
            "reach": "served",
            "app_name": "screener-test",
            "num_cpus": 0.5,
            "calls": {"timeout_s": 30, "max_retries": 1, "rows_per_request": 16},
        }
    )
    rows = pa.concat_tables([clean_rows(80), with_answer(clean_rows(5), None)])
    with opened_screener(section, Storage.at(tmp_path / "cache")) as screener:
        assert screener is not None
        assert screener.revision == trained.revision
        served = screener.probabilities(rows)
        asked = ray.remote(num_cpus=0)(RowScreener.needs_work).remote(screener, rows)
        assert (ray.get(asked) == (served >= trained.figures.threshold)).all()
        other = shutil.copytree(trained.output, tmp_path / "other")
        manifest = ScreenerManifest.model_validate_json((other / MANIFEST).read_text())
        changed = manifest.model_copy(update={"threshold": manifest.threshold / 2})
        (other / MANIFEST).write_text(changed.model_dump_json())
        another = section.model_copy(update={"folder": str(other)})
        with pytest.raises(InputError, match="'screener-test' serves another screener"), opened_screener(another, None):
            pass
        judge = screener.judge
        assert judge.probabilities(rows.slice(0, 1)), "it serves on for whoever had it first"
    assert "screener-test" not in serve.status().applications
    assert np.allclose(served, local_screener(trained.output).probabilities(rows), atol=2e-4)
    with pytest.raises(EndpointError, match="did not answer in 2 attempts"):
        judge.probabilities(rows.slice(0, 1))
