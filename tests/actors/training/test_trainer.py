"""Fine-tuning and the loss evaluator in one process, on a tiny random model."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import peft
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerState

from actors.models.source import resolve_model
from actors.storage.storage import Storage
from actors.training.chat_rows import ChatEncoder, Example
from actors.training.checkpoints import Checkpoints
from actors.training.group_worker import attempt
from actors.training.job import Advance, ItemLosses, TrainJob, TrainOutcome, read_rows, row_free_message
from actors.training.micro_batches import micro_batches
from actors.training.packed_batch import bins_of, pack
from actors.training.recipe import LoraRecipe, TrainingRecipe
from actors.training.split_model import SplitModel, packs, split
from actors.training.trainer import FineTuner, run_job
from operators.contract.errors import DivergedError, InputError, RunError
from operators.rows.record import RECORD_SCHEMA

WORDS = ["what", "is", "the", "dose", "ask", "a", "doctor", "rain", "in", "spain", "fox", "lazy"]
RECIPE = TrainingRecipe(
    lora=LoraRecipe(rank=4, num_top_layers=1), learning_rate=1e-2, batch_size=4, budget="steps", steps=6, max_length=64
)


def table(num_rows: int, *, prefix: str = "r") -> pa.Table:
    def text(at: int, size: int) -> str:
        return " ".join(WORDS[(at * step + step) % len(WORDS)] for step in range(1, size))

    rows = [
        {"id": f"{prefix}{at}", "history": [], "question": text(at, 3 + at % 5), "answer": text(at + 1, 3 + at % 7)}
        for at in range(num_rows)
    ]
    return pa.Table.from_pylist([{**row, "origin": "source"} for row in rows], schema=RECORD_SCHEMA)


def job(model: Path, recipe: TrainingRecipe = RECIPE, *, num_rows: int = 10, seed: int = 1) -> TrainJob:
    return TrainJob(
        model=resolve_model(str(model)),
        recipe=recipe,
        seed=seed,
        train=table(num_rows),
        evaluation={"held_out": table(7, prefix="h")},
    )


@pytest.fixture(scope="module")
def tuner() -> FineTuner:
    """One worker's life: tests share its loaded model, as trainings do."""
    return FineTuner()


@pytest.fixture(scope="module")
def reference(tiny_model: Path) -> TrainOutcome:
    """`job(tiny_model)` in a process's first training."""
    return run_job(job(tiny_model))


def losses(outcome: TrainOutcome) -> ItemLosses:
    return outcome.evaluation["held_out"]


def without_clock(outcome: TrainOutcome) -> TrainOutcome:
    return replace(outcome, seconds={})


def plain_nll(model: Path, rows: pa.Table, *, adapter: Path | None = None) -> list[float]:
    """The answers' losses by the library's own loss, one row at a time."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    whole = AutoModelForCausalLM.from_pretrained(model)
    if adapter is not None:
        whole = peft.PeftModel.from_pretrained(whole, adapter)
    sums = []
    for example in ChatEncoder(tokenizer, max_length=RECIPE.max_length).encode(rows).examples:
        tokens = torch.tensor([example.tokens])
        labels = tokens.clone()
        labels[:, : example.num_prompt] = -100
        with torch.no_grad():
            sums.append(float(whole(input_ids=tokens, labels=labels).loss) * example.num_answer)
    return sums


def test_training_lowers_the_loss_on_held_out_rows_of_the_same_kind(tiny_model: Path, tuner: FineTuner) -> None:
    untrained = tuner.run(replace(job(tiny_model), train=None))
    trained = tuner.run(job(tiny_model, RECIPE.model_copy(update={"steps": 30})))
    assert losses(trained).mean_nll() < losses(untrained).mean_nll() - 0.3
    assert trained.train_losses[-1] < trained.train_losses[0]


def test_every_step_is_said_and_then_the_rows_that_are_scored_and_answered(tiny_model: Path, tuner: FineTuner) -> None:
    said: list[Advance] = []
    outcome = tuner.run(replace(job(tiny_model), max_answer_tokens=2), said.append)
    steps = [advance for advance in said if advance.unit == "steps"]
    assert steps == [Advance(done=at + 1, total=outcome.num_steps, unit="steps") for at in range(outcome.num_steps)]
    num_held_out = len(outcome.evaluation["held_out"].ids)
    rest = said[len(steps) :]
    assert {(advance.unit, advance.total) for advance in rest} == {("rows", num_held_out)}
    assert sum(advance.done == num_held_out for advance in rest) == 2


def test_an_untrained_evaluation_equals_the_librarys_own_loss(tiny_model: Path) -> None:
    outcome = run_job(replace(job(tiny_model), train=None))
    expected = plain_nll(tiny_model, table(7, prefix="h"))
    assert losses(outcome).ids == tuple(f"h{at}" for at in range(7))
    assert losses(outcome).nll_sums == pytest.approx(expected, rel=1e-4)
    assert (outcome.num_steps, outcome.num_rows) == (0, 0)


def test_an_exported_adapter_scores_like_the_model_in_the_worker(tiny_model: Path, tmp_path: Path) -> None:
    outcome = run_job(replace(job(tiny_model), export_folder=str(tmp_path)))
    expected = plain_nll(tiny_model, table(7, prefix="h"), adapter=tmp_path)
    assert losses(outcome).nll_sums == pytest.approx(expected, rel=1e-4)


def test_equal_rows_and_seed_give_equal_results_whatever_ran_before(
    tiny_model: Path, tuner: FineTuner, reference: TrainOutcome
) -> None:
    other = tuner.run(job(tiny_model, num_rows=5, seed=2))
    again = tuner.run(job(tiny_model))
    assert without_clock(again) == without_clock(tuner.run(job(tiny_model))) == without_clock(reference)
    assert without_clock(other) != without_clock(reference)


def test_the_order_of_the_table_does_not_matter(tiny_model: Path, tuner: FineTuner, reference: TrainOutcome) -> None:
    turned = replace(job(tiny_model), train=table(10).take(list(range(9, -1, -1))))
    assert without_clock(tuner.run(turned)) == without_clock(reference)


def test_remembered_lower_layers_train_like_the_whole_model(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, reference: TrainOutcome
) -> None:
    monkeypatch.setattr("actors.training.tuned_model.MEMO_BYTES", 0)
    whole = run_job(job(tiny_model))
    assert reference.train_losses == pytest.approx(whole.train_losses, abs=1e-5)
    assert losses(reference).nll_sums == pytest.approx(losses(whole).nll_sums, rel=1e-5)


def test_a_training_that_remembers_nothing_computes_every_row_again_and_trains_the_same(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, reference: TrainOutcome
) -> None:
    computed: list[array[int]] = []
    compute = SplitModel._compute

    def counted(model: SplitModel, tokens: array[int]) -> torch.Tensor:
        computed.append(tokens)
        return compute(model, tokens)

    monkeypatch.setattr(SplitModel, "_compute", counted)
    tuner, counts = FineTuner(), []
    for remembers in (True, True, False):
        outcome = tuner.run(replace(job(tiny_model), remembers=remembers))
        assert without_clock(outcome) == without_clock(reference)
        counts.append(len(computed))
        computed.clear()
    assert counts[0] == counts[2] >= 10
    assert counts[1] == 0


def test_micro_batches_change_nothing_but_the_last_bits(
    tiny_model: Path, tuner: FineTuner, reference: TrainOutcome
) -> None:
    small = tuner.run(job(tiny_model, RECIPE.model_copy(update={"micro_batch_size": 1})))
    assert small.num_steps == reference.num_steps == 6
    assert small.train_losses == pytest.approx(reference.train_losses, rel=1e-4)
    assert losses(small).nll_sums == pytest.approx(losses(reference).nll_sums, rel=1e-3)


def test_full_fine_tuning_trains_and_leaves_no_trace_for_the_next_training(tiny_model: Path) -> None:
    full = RECIPE.model_copy(update={"method": "full", "learning_rate": 1e-3})
    tuner = FineTuner()
    first = tuner.run(job(tiny_model, full))
    assert first.train_losses[-1] < first.train_losses[0]
    assert without_clock(tuner.run(job(tiny_model, full))) == without_clock(first)
    untrained = tuner.run(replace(job(tiny_model, full), train=None))
    assert losses(untrained).nll_sums == pytest.approx(plain_nll(tiny_model, table(7, prefix="h")), rel=1e-4)


def test_full_fine_tuning_after_an_untrained_evaluation_starts_from_the_model_as_it_is(tiny_model: Path) -> None:
    full = job(tiny_model, RECIPE.model_copy(update={"method": "full"}))
    untrained = replace(full, train=None)
    tuner = FineTuner()
    before = losses(tuner.run(untrained))
    outcomes = [losses(tuner.run(full)) for _ in range(2)]
    assert outcomes[0] == outcomes[1]
    assert losses(tuner.run(untrained)) == before
    assert outcomes[0] != before


def test_an_exported_full_model_loads(tiny_model: Path, tmp_path: Path) -> None:
    full = RECIPE.model_copy(update={"method": "full", "learning_rate": 1e-3})
    outcome = run_job(replace(job(tiny_model, full), export_folder=str(tmp_path)))
    assert plain_nll(tmp_path, table(7, prefix="h")) == pytest.approx(losses(outcome).nll_sums, rel=1e-4)


class _Killed(Exception):
    pass


@pytest.mark.parametrize("place", ["local", pytest.param("s3", marks=pytest.mark.slow)])
def test_a_training_goes_on_from_its_last_checkpoint_and_exports(
    tiny_model: Path, tmp_path: Path, place: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    home: Storage = Storage.at(tmp_path) if place == "local" else request.getfixturevalue("s3_bucket").folder("tuning")
    wanted = replace(job(tiny_model, RECIPE.model_copy(update={"steps": 10})), export_folder=home.uri("export"))
    unbroken = run_job(replace(wanted, checkpoint_folder=home.uri("unbroken")))
    steps: list[int] = []

    def on_step_end(self: Checkpoints, args: object, state: TrainerState, control: object, **given: object) -> None:
        steps.append(state.global_step)
        if steps == [1, 2, 3, 4, 5]:
            raise _Killed

    monkeypatch.setattr(Checkpoints, "on_step_end", on_step_end)
    broken = replace(wanted, checkpoint_folder=home.uri("broken"))
    with pytest.raises(_Killed):
        run_job(broken)
    resumed = run_job(broken)
    assert steps == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10]
    assert resumed.train_losses == pytest.approx(unbroken.train_losses, abs=1e-5)
    assert losses(resumed).nll_sums == pytest.approx(losses(unbroken).nll_sums, rel=1e-5)
    with home.folder("export").readable() as exported:
        assert plain_nll(tiny_model, table(7, prefix="h"), adapter=Path(exported)) == pytest.approx(
            losses(resumed).nll_sums, rel=1e-4
        )


def test_gradient_checkpointing_and_bf16_train(tiny_model: Path) -> None:
    for change in ({"gradient_checkpointing": True}, {"precision": "bf16"}):
        outcome = run_job(job(tiny_model, RECIPE.model_copy(update=change)))
        assert outcome.train_losses[-1] < outcome.train_losses[0]


def test_a_dataset_without_a_complete_row_is_refused_with_the_counts(tiny_model: Path) -> None:
    empty = table(3).set_column(3, RECORD_SCHEMA.field("answer"), pa.nulls(3, pa.string()))
    with pytest.raises(RunError, match=r"no complete row to train on.*'no_answer': 3"):
        run_job(replace(job(tiny_model), train=empty))


def test_a_diverging_training_says_so(tiny_model: Path) -> None:
    wild = RECIPE.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DivergedError, match="learning_rate"):
        run_job(job(tiny_model, wild))
    diverged = attempt(FineTuner(), job(tiny_model, wild))
    unlearnt = attempt(FineTuner(), replace(job(tiny_model), train=RECORD_SCHEMA.empty_table()))
    assert (diverged.outcome, diverged.diverged) == (None, True)
    assert (unlearnt.outcome, unlearnt.diverged) == (None, False)


def test_wrong_lora_settings_name_what_the_model_has(tiny_model: Path) -> None:
    with pytest.raises(InputError, match="the model has 2 decoder layers"):
        run_job(job(tiny_model, RECIPE.model_copy(update={"lora": LoraRecipe(num_top_layers=3)})))
    with pytest.raises(InputError, match="q_proj"):
        run_job(job(tiny_model, RECIPE.model_copy(update={"lora": LoraRecipe(target_modules=("query",))})))


def test_rows_may_lie_in_arrow_files(
    tiny_model: Path, tmp_path: Path, tuner: FineTuner, reference: TrainOutcome
) -> None:
    paths = []
    for part, (start, stop) in enumerate(((0, 4), (4, 10))):
        path = tmp_path / f"{part}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, RECORD_SCHEMA) as writer:
            writer.write_table(table(10).slice(start, stop - start))
        paths.append(str(path))
    assert read_rows(tuple(paths)).equals(table(10))
    assert read_rows(()).num_rows == 0
    from_files = tuner.run(replace(job(tiny_model), train=tuple(paths)))
    assert without_clock(from_files) == without_clock(reference)


def examples(sizes: Sequence[int]) -> list[Example]:
    return [
        Example(row_id=str(at), tokens=array("i", range(1, size + 1)), num_prompt=size - 1)
        for at, size in enumerate(sizes)
    ]


def test_every_rank_gets_as_many_micro_batches_and_every_row_its_visits() -> None:
    rows = examples([3] * 5)
    recipe = RECIPE.model_copy(update={"budget": "epochs", "epochs": 2, "batch_size": 4, "micro_batch_size": 1})
    laid_out = micro_batches(rows, recipe=recipe, seed=0, world_size=2)
    assert len(laid_out) == recipe.num_steps(5) * 4 == 12
    carrying = [one for micro in laid_out for one in micro.examples if one.num_answer]
    assert sorted(one.row_id for one in carrying) == sorted(list("01234") * 2)
    assert [micro.step_tokens for micro in laid_out[::4]] == [4, 4, 2]


def test_a_small_dataset_is_cycled_and_each_cycle_sees_every_row_once() -> None:
    rows = examples([3] * 3)
    recipe = RECIPE.model_copy(update={"steps": 3, "batch_size": 2})
    order = [one.row_id for micro in micro_batches(rows, recipe=recipe, seed=0, world_size=1) for one in micro.examples]
    assert sorted(order[:3]) == sorted(order[3:]) == ["0", "1", "2"]


def test_rows_share_few_sequences_of_like_length() -> None:
    assert bins_of(examples([6, 5, 4, 20, 1]), capacity=10) == [[3], [0, 1, 2, 4]]
    assert bins_of(examples([6, 5, 5, 6]), capacity=20) == [[0, 1], [2, 3]]
    assert bins_of(examples([6, 5, 4]), capacity=20) == [[0, 1, 2]]
    assert bins_of(examples([6, 5]), capacity=0) == [[0], [1]]


def test_packed_labels_are_the_tokens_after_each_kept_position() -> None:
    batch = pack(examples([3, 4]), capacity=10, pad=0)
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3]]
    assert batch.inputs["logits_to_keep"].tolist() == [1, 5]
    assert (batch.labels.tolist(), batch.owners.tolist()) == ([[3, 4]], [[0, 1]])


def test_the_tiny_model_packs_and_splits_and_a_model_that_mixes_rows_is_found_out(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert packs(model)
    assert split(model, num_top_layers=1, max_bytes=1 << 20) is not None
    assert split(model, num_top_layers=2, max_bytes=1 << 20) is None
    forward = model.forward
    model.forward = lambda *, position_ids, **inputs: forward(**inputs)
    assert not packs(model)


def test_what_is_remembered_stays_within_its_bytes(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    row_bytes = 10 * model.config.hidden_size * 4
    parts = split(model, num_top_layers=1, max_bytes=3 * row_bytes)
    assert parts is not None
    rows = [array("i", range(start, start + 10)) for start in range(5)]
    start = parts.num_computed
    states = parts.lower_states(rows)
    assert (len(states), parts.num_computed - start) == (5, 5)
    parts.lower_states(rows[2:])
    assert parts.num_computed - start == 5
    parts.lower_states(rows[:1])
    assert parts.num_computed - start == 6


def test_a_message_that_quotes_a_row_is_left_out() -> None:
    secret = "patient 4711 has a rare disease"
    rows = table(2).set_column(3, RECORD_SCHEMA.field("answer"), pa.array([secret, None], pa.string()))
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is what is under test
        int(secret)
    quoting = row_free_message(raised.value, [rows])
    assert "4711" not in quoting
    assert "ValueError" in quoting
    assert "4711" not in row_free_message(ValueError("no id 4711"), [rows.set_column(2, "question", [["4711"] * 2])])
    assert row_free_message(ValueError("out of memory on rank 0"), [rows]) == "ValueError: out of memory on rank 0"


def test_among_very_many_rows_a_foreign_message_is_left_out_unread() -> None:
    chunk = table(1).set_column(3, RECORD_SCHEMA.field("answer"), pa.array(["a" * (1 << 20)], pa.string()))
    rows = pa.concat_tables([chunk] * 33)  # 33 MiB, of which one lies in memory
    found = row_free_message(ValueError("anything"), [rows])
    assert found == "ValueError (its message is left out: it may quote one of these many rows)"
    assert row_free_message(RunError("the training diverged"), [rows]) == "RunError: the training diverged"
    assert row_free_message(ValueError("anything"), [rows.slice(0, 31)]) == "ValueError: anything"


def test_a_recipes_fingerprint_follows_what_is_in_use() -> None:
    assert RECIPE.fingerprint() == RECIPE.model_copy(update={"epochs": 9}).fingerprint()
    assert RECIPE.fingerprint() != RECIPE.model_copy(update={"steps": 7}).fingerprint()
    full = RECIPE.model_copy(update={"method": "full"})
    assert full.fingerprint() == full.model_copy(update={"lora": LoraRecipe(rank=2)}).fingerprint()
    assert full.fingerprint() != RECIPE.fingerprint()


def test_a_recipe_that_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a number of steps"):
        TrainingRecipe(budget="steps")
    with pytest.raises(ValueError, match="zero3"):
        TrainingRecipe(deepspeed="zero3")
    with pytest.raises(ValueError, match="min_workers and deepspeed exclude each other"):
        TrainingRecipe(deepspeed="zero2", num_workers=4, min_workers=2)


def test_a_mean_over_no_token_is_refused() -> None:
    with pytest.raises(InputError, match="no_answer"):
        ItemLosses(ids=(), nll_sums=(), num_tokens=(), left_out={"no_answer": 3}).mean_nll()
    assert math.isclose(ItemLosses(ids=("a", "b"), nll_sums=(2.0, 4.0), num_tokens=(1, 2)).mean_nll(), 2.0)
