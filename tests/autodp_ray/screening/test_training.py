"""Training a screener: its rows are nobody's copies, its labels are known or asked for, its figures are right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.screening.manifest import TRAINING_ROWS
from autodp_ray.config.run_config import Config
from autodp_ray.preparation import overlap
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.quarantine import ReasonCounts
from autodp_ray.records.reader import read_records
from autodp_ray.screening.annotation import Annotator, even_sample
from autodp_ray.screening.metrics import (
    area_under_curve,
    best_threshold,
    expected_calibration_error,
    fit_calibration,
    measure,
)
from autodp_ray.screening.rows import PARTS, assign_parts, collect_rows, damaged_rows
from autodp_ray.screening.train import plan_screener
from operators.contract.errors import EndpointError, InputError
from operators.contract.resources import Completion, CompletionRequest
from operators.likeness.row_sketches import sketch_rows
from operators.testing.fakes import FakeCompleter
from tests.autodp_ray.preparation.stored_rows import apart_from
from tests.autodp_ray.run_fakes import make_config, write_jsonl
from tests.screener_rows import clean_rows, with_answer


def written(path: Path, table: pa.Table) -> Path:
    rows = zip(table["question"].to_pylist(), table["answer"].to_pylist(), strict=True)
    return write_jsonl(path, [{"instruction": question, "output": answer} for question, answer in rows])


def config_for(path: Path, *, limit: int | None = 60, **train: object) -> Config:
    return make_config(
        path,
        dataset={"path": str(path), "limit": limit, "language": "en"},
        screener={"train": {"min_rows": 40, **train}},
    )


def test_training_rows_are_the_datasets_beyond_the_run_without_copies_of_it(tmp_path: Path) -> None:
    rows = clean_rows(160)
    copies = rows.slice(0, 20)
    path = written(tmp_path / "data.jsonl", pa.concat_tables([rows, copies, rows.slice(100, 10)]))
    collected = collect_rows(config_for(path))
    assert collected.num_read == 190
    assert collected.num_copies == 80  # the run's own 60 rows, and 20 that copy them
    questions = collected.table["question"].to_pylist()
    assert sorted(questions) == sorted(rows["question"].to_pylist()[60:])


def test_a_run_that_reads_all_rows_leaves_none_to_train_on(tmp_path: Path) -> None:
    path = written(tmp_path / "data.jsonl", clean_rows(100))
    with pytest.raises(InputError, match=r"0 of 100 rows are left .* screener\.train\.dataset"):
        collect_rows(config_for(path, limit=None))
    other = written(tmp_path / "other.jsonl", clean_rows(200).slice(100))
    assert collect_rows(config_for(path, limit=None, dataset={"path": str(other)})).table.num_rows == 100


def test_a_screener_trained_on_copies_of_a_runs_rows_is_refused(tmp_path: Path) -> None:
    rows = clean_rows(40)
    (tmp_path / TRAINING_ROWS).write_bytes(overlap.sketches_to_bytes(sketch_rows(rows.slice(0, 20))))
    apart_from(str(tmp_path), rows.slice(20), threshold=0.8)
    slightly_changed = with_answer(rows.slice(19, 2), None)
    apart_from(str(tmp_path), slightly_changed, threshold=0.99)
    with pytest.raises(InputError, match="copies of 3 of the run's 23 rows"):
        apart_from(str(tmp_path), rows.slice(17), threshold=0.8)
    with pytest.raises(InputError, match="does not say what it was trained on"):
        apart_from(str(tmp_path / "nowhere"), rows, threshold=0.8)


def test_sketches_that_another_version_of_the_code_made_are_compared_with_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = clean_rows(20)
    with monkeypatch.context() as patched:
        patched.setattr(overlap, "sketch_mark", lambda **_: "another version")
        (tmp_path / TRAINING_ROWS).write_bytes(overlap.sketches_to_bytes(sketch_rows(rows)))
        apart_from(str(tmp_path), clean_rows(40).slice(20), threshold=0.8)
    with pytest.raises(InputError, match=rf"{TRAINING_ROWS} is of another version.*: train it again"):
        apart_from(str(tmp_path), clean_rows(40).slice(20), threshold=0.8)


def test_parts_are_cut_by_id_and_no_answer_moves_between_them() -> None:
    table = clean_rows(100)
    config = config_for(Path("unused.jsonl")).screener.train
    parts = assign_parts(table["id"].to_pylist(), config)
    assert [int((parts == name).sum()) for name in PARTS] == [60, 20, 20]
    moved = np.random.default_rng(0).permutation(100)
    assert (assign_parts(table.take(moved)["id"].to_pylist(), config) == parts[moved]).all()
    damaged = damaged_rows(table, config.corruption, parts)
    assert damaged.num_rows == 100
    own = dict(zip(table["answer"].to_pylist(), parts, strict=True))
    for row in damaged.to_pylist():
        assert row["needs_work"] == (row["kind"] != "")
        if row["kind"] == "wrong_answer":
            assert own[row["answer"]] == row["part"]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_chance_that_a_positive_scores_higher(rows: list[tuple[int, bool]]) -> None:
    scores, positive = np.array([score for score, _ in rows], float), np.array([label for _, label in rows])
    wins = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    found = area_under_curve(scores, positive)
    assert found is None if not wins else found == pytest.approx(np.mean(wins))


def test_calibration_brings_probabilities_to_the_frequencies() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(4000)
    needs_work = rng.random(4000) < truth
    bent = truth**3 / (truth**3 + (1 - truth) ** 3)  # over-confident: the logit is three times too large
    calibration = fit_calibration(bent, needs_work)
    assert calibration.slope == pytest.approx(1 / 3, abs=0.05)
    calibrated = calibration.probabilities(bent)
    assert expected_calibration_error(calibrated, needs_work) < 0.04 < expected_calibration_error(bent, needs_work)


def test_separable_rows_still_have_a_finite_calibration() -> None:
    needs_work = np.arange(20) >= 10
    calibration = fit_calibration(needs_work.astype(float), needs_work)
    found = calibration.probabilities(needs_work.astype(float))
    assert (found[needs_work] > 0.5).all()
    assert (found[~needs_work] < 0.5).all()


def test_the_threshold_has_the_best_balanced_accuracy() -> None:
    probabilities = np.array([0.1, 0.2, 0.3, 0.35, 0.6, 0.9])
    assert best_threshold(probabilities, np.array([0, 0, 0, 1, 1, 1], bool)) == 0.35


def test_confusion_is_counted_per_kind_against_clean_rows() -> None:
    figures = measure(np.array([0.1, 0.7, 0.9, 0.2]), ["", "", "markup", "repetition"], threshold=0.5)
    assert (figures.clean, figures.clean_flagged) == (2, 1)
    assert (figures.kinds["markup"].found, figures.kinds["markup"].auc) == (1, 1.0)
    assert (figures.kinds["repetition"].found, figures.kinds["repetition"].auc) == (0, 0.5)


def scripted(request: CompletionRequest) -> str:
    """Scores by the number of the row; rows above 30 need work, and every tenth reply cannot be read."""
    assert request.json_schema is not None
    number = int(request.messages[-1][1].partition("region ")[2].partition("?")[0])
    if "score" in json.loads(request.json_schema)["properties"]:
        return "no idea" if number % 10 == 9 else f'<think>hm</think> {{"score": {number % 5 + 1}}}'
    if number % 10 == 8:
        return '{"defect": "unsafe", "verdict": "maybe"}'
    verdict = {"defect": "noise", "verdict": "needs_work"} if number > 30 else {"defect": "none", "verdict": "clean"}
    return json.dumps(verdict)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_llm_scores_rows_an_even_sample_is_annotated_and_unreadable_replies_label_nothing(language: str) -> None:
    completer = FakeCompleter(scripted)
    annotator = Annotator(completer=completer, language=language, domain="medical")  # type: ignore[arg-type]
    table, kinds = annotator.annotate(clean_rows(60), rows_per_score=6, on_progress=lambda _done, _total: None)
    numbers = [int(row_id[1:]) for row_id in table["id"].to_pylist()]
    assert kinds == ["noise" if number > 30 else "" for number in numbers]
    assert all(number % 10 < 8 for number in numbers)
    assert annotator.counts["unreadable:screen_score"] == 6
    num_annotated = len(completer.requests) - 60
    assert num_annotated <= 30
    assert annotator.counts["unreadable:screen_annotate"] == num_annotated - len(kinds)


def test_an_annotating_model_that_cannot_be_reached_labels_nothing() -> None:
    def fail(request: CompletionRequest) -> Completion:
        raise EndpointError("down")

    annotator = Annotator(completer=FakeCompleter(fail), language="en", domain="general")
    with pytest.raises(EndpointError):
        annotator.annotate(clean_rows(5), rows_per_score=2, on_progress=lambda _done, _total: None)


def test_the_sample_is_even_over_scores_and_does_not_depend_on_row_order() -> None:
    ids, scores = [f"r{at}" for at in range(50)], [1] * 30 + [5] * 3 + [None] * 2 + [3] * 15
    chosen = even_sample(ids, scores, rows_per_score=5, seed=0)
    assert [scores[row] for row in chosen].count(1) == 5
    assert [scores[row] for row in chosen].count(5) == 3
    backwards = even_sample(ids[::-1], scores[::-1], rows_per_score=5, seed=0)
    assert {ids[::-1][row] for row in backwards} == {ids[row] for row in chosen}


def test_replies_of_package_conversations_are_rows_of_their_own() -> None:
    def rows(path: str) -> set[tuple[str, str]]:
        tables = read_records(DatasetConfig(path=path), on_quarantine=ReasonCounts())
        return {(row["question"], row["answer"]) for table in tables for row in table.to_pylist()}

    opening, replies = rows("pkg:chatterbot_corpus/english"), rows("pkg:chatterbot_corpus/english#replies")
    assert opening < replies
    with pytest.raises(InputError, match="only 'replies' is known"):
        rows("pkg:chatterbot_corpus/english#all")


def test_a_folder_that_holds_something_else_is_refused_and_a_broken_training_starts_over(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    config = config_for(written(tmp_path / "data.jsonl", clean_rows(160)), model=str(tiny_encoder))
    output = tmp_path / "screener"
    (output / "work").mkdir(parents=True)
    (output / "README.md").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        plan_screener(config, output=str(output))
    assert (output / "README.md").read_text() == "mine"
    (output / "work" / "rows.arrow").write_text("rows")
    with pytest.raises(InputError, match="is not empty"):
        plan_screener(config, output=str(output))
    (output / ".autodp-unfinished").write_text("a training broke off here")
    (output / "notes.txt").write_text("mine")
    plan_screener(config, output=str(output))
    assert sorted(path.name for path in output.iterdir()) == [".autodp-unfinished", "notes.txt"]


def test_a_screener_cannot_learn_what_no_row_shows() -> None:
    with pytest.raises(InputError, match="no screener sees exact_copy in a row"):
        config_for(Path("unused.jsonl"), corruption={"kinds": {"exact_copy": 1.0}})
