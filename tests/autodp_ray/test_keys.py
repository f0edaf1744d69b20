"""Cache keys: every side input changes the key, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pytest

from actors.llm.client import ChatClient
from actors.llm.engines.base import ServedLLM
from actors.llm.server import start_llm
from actors.llm.spec import read_spec
from actors.models.source import resolve_model
from actors.training.recipe import LoraRecipe, TrainingRecipe
from autodp_ray import keys
from autodp_ray.keys import dataset_key, score_key
from operators.contract.operator import Needs, Operator, RowOperator
from operators.contract.resources import InfluenceScores, Resources
from operators.deduplicate import Deduplicate
from operators.generate_missing import GenerateAnswer
from operators.optimize import OptimizePair
from operators.registry import CLEANING_RECIPE, GENERATION_RECIPE, OPTIMIZATION_RECIPE
from operators.select_by_gradient import SelectByGradient
from operators.strip_markup import StripMarkup
from operators.token_count import TokenCount
from tests.autodp_ray.run_fakes import FixedCompleter, WordTokenizer

Recipes = list[tuple[Operator, ...]]
EVERYTHING: Recipes = [(StripMarkup(), TokenCount()), (OptimizePair(),)]
RESOURCES = Resources(completer=FixedCompleter("llm-1"), tokenizer=WordTokenizer("words-1"))


def key(
    content_hash: str = "hash", recipes: Recipes = EVERYTHING, resources: Resources = RESOURCES, run_id: str = "run"
) -> str:
    return dataset_key(content_hash, recipes, resources, run_id=run_id)


class Weighs(RowOperator):
    """Reads what only selection reads."""

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(embedder=True, influence=True)
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()
    name: Literal["weighs"] = "weighs"


class FixedEmbedder:
    def __init__(self, revision: str) -> None:
        self._revision = revision

    @property
    def revision(self) -> str:
        return self._revision

    def embed(self, texts: Sequence[str]) -> pa.FixedSizeListArray:
        raise AssertionError("nothing is embedded in these tests")


class FixedInfluence:
    def __init__(self, revision: str) -> None:
        self._revision = revision

    @property
    def revision(self) -> str:
        return self._revision

    def score(self, table: pa.Table) -> InfluenceScores:
        raise AssertionError("nothing is scored in these tests")


WEIGHING = replace(RESOURCES, embedder=FixedEmbedder("minilm-1"), influence=FixedInfluence("guide-1"))

CHANGED = {
    "the input": key(content_hash="other"),
    "a parameter": key(recipes=[(StripMarkup(), TokenCount(max_tokens=7)), (OptimizePair(),)]),
    "a seed": key(recipes=[(StripMarkup(), TokenCount()), (OptimizePair(seed=1),)]),
    "a lost operator": key(recipes=[(StripMarkup(),), (OptimizePair(),)]),
    "the order of operators": key(recipes=[(TokenCount(), StripMarkup()), (OptimizePair(),)]),
    "the order of teams": key(recipes=EVERYTHING[::-1]),
    "a team more": key(recipes=[*EVERYTHING, (Deduplicate(),)]),
    "the border of two teams": key(recipes=[(StripMarkup(),), (TokenCount(), OptimizePair())]),
    "the language model": key(resources=replace(RESOURCES, completer=FixedCompleter("llm-2"))),
    "the tokenizer": key(resources=replace(RESOURCES, tokenizer=WordTokenizer("words-2"))),
    "the prompts' language": key(resources=replace(RESOURCES, language="zh")),
    "the prompts' domain": key(resources=replace(RESOURCES, domain="law")),
    "a model without a revision": key(resources=replace(RESOURCES, completer=FixedCompleter(""))),
}


@pytest.mark.parametrize(
    "other",
    [
        replace(WEIGHING, embedder=FixedEmbedder("minilm-2")),
        replace(WEIGHING, influence=FixedInfluence("guide-2")),
    ],
)
def test_embedder_and_influence_change_the_keys_of_operators_that_read_them(other: Resources) -> None:
    assert key(recipes=[(Weighs(),)], resources=other) != key(recipes=[(Weighs(),)], resources=WEIGHING)
    assert key(resources=other) == key(resources=WEIGHING)


@pytest.mark.parametrize("what", CHANGED)
def test_every_side_input_changes_the_key_of_a_dataset(what: str) -> None:
    assert CHANGED[what] != key()
    assert list(CHANGED.values()).count(CHANGED[what]) == 1


def test_the_cache_format_changes_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, training = key(), score()
    monkeypatch.setattr(keys, "CACHE_FORMAT", keys.CACHE_FORMAT + 1)
    assert key() != dataset
    assert score() != training


def test_a_key_is_a_digest_that_the_next_process_makes_again() -> None:
    assert key() == key()
    assert len(key()) == 64
    golden = "367a8549e6ebcad7d60205b2cbe9630e308d2b5eea37e63c2179572922a0ef91"
    assert dataset_key("h", [], Resources(), run_id="x") == golden, "keys changed: raise CACHE_FORMAT"


def test_the_run_changes_no_key_of_a_model_with_a_revision() -> None:
    assert key(run_id="another") == key()


def test_a_model_without_a_revision_is_found_again_by_its_own_run_alone() -> None:
    unknown = replace(RESOURCES, completer=FixedCompleter(""))
    assert key(resources=unknown) == key(resources=unknown)
    assert key(resources=unknown, run_id="another") != key(resources=unknown)


def test_side_inputs_that_no_operator_reads_change_no_key() -> None:
    recipes: Recipes = [(StripMarkup(), Deduplicate())]
    plain = key(recipes=recipes, resources=Resources())
    lent = Resources(completer=FixedCompleter(""), tokenizer=WordTokenizer(), language="zh", domain="law")
    assert key(recipes=recipes, resources=lent) == plain


def test_few_shot_rows_come_from_the_input_and_are_no_side_input() -> None:
    assert key(resources=replace(RESOURCES, shots=pa.table({"id": ["r"]}))) == key()


def test_the_default_recipes_read_what_their_needs_say() -> None:
    cleaning = keys.side_inputs(CLEANING_RECIPE, RESOURCES, run_id="r")
    assert set(cleaning) == {"tokenizer", "content_columns"}
    named = keys.side_inputs(CLEANING_RECIPE, replace(RESOURCES, content_columns=("context",)), run_id="r")
    assert named["content_columns"] != cleaning["content_columns"]
    for recipe in (OPTIMIZATION_RECIPE, GENERATION_RECIPE, (GenerateAnswer(),)):
        assert {"completer", "language", "domain"} <= set(keys.side_inputs(recipe, RESOURCES, run_id="r"))


class FixedScreener:
    def __init__(self, revision: str) -> None:
        self.revision = revision

    def needs_work(self, table: pa.Table) -> np.ndarray:
        raise AssertionError("nothing is screened in these tests")


SCREENED = replace(RESOURCES, screener=FixedScreener("screener-1"))


@pytest.mark.parametrize("recipe", [CLEANING_RECIPE, OPTIMIZATION_RECIPE, GENERATION_RECIPE, (Deduplicate(),)])
def test_target_selection_and_the_screeners_revision_change_the_key_of_every_team(recipe: tuple[Operator, ...]) -> None:
    other = replace(RESOURCES, screener=FixedScreener("screener-2"))
    assert len({key(recipes=[recipe], resources=one) for one in (RESOURCES, SCREENED, other)}) == 3
    assert key(recipes=[recipe], resources=replace(SCREENED, screener=FixedScreener("screener-1"))) == key(
        recipes=[recipe], resources=SCREENED
    )


def test_target_selection_in_an_earlier_team_is_a_side_input_too() -> None:
    found = set(keys.side_inputs(CLEANING_RECIPE, SCREENED, run_id="r"))
    assert found == {"tokenizer", "content_columns", "pts", "screener"}
    assert key(resources=SCREENED) != key()


def test_a_screener_without_a_revision_is_found_again_by_its_own_run_alone() -> None:
    unknown = replace(RESOURCES, screener=FixedScreener(""))
    assert key(resources=unknown) == key(resources=unknown)
    assert key(resources=unknown, run_id="another") != key(resources=unknown)


def score(**changed: object) -> str:
    arguments: dict[str, object] = {
        "content_hash": "data",
        "evaluation_hash": "validation",
        "recipe_fingerprint": TrainingRecipe().fingerprint(),
        "model_revision": "tiny@1",
        "evaluator": "loss",
        "seed": 0,
    }
    return score_key(**(arguments | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed", [{"engine": "vllm"}, {"dtype": "bfloat16"}, {"max_model_len": 2048}, {"weights": "other"}]
)
def test_weights_engine_dtype_and_context_of_a_served_model_change_the_key(changed: dict[str, object]) -> None:
    def served(*, weights: object = "w", **fields: object) -> str:
        spec = read_spec({"model": "pkg:any", "dtype": "float32", **fields})
        assert isinstance(spec, ServedLLM)
        completer = FixedCompleter(spec.served_revision(str(weights)))
        return key(resources=replace(RESOURCES, completer=completer))

    assert served() == served()
    assert served(**changed) != served()


def test_the_model_of_an_endpoint_changes_the_key_where_both_declare_the_same_revision() -> None:
    def asked(model: str, revision: str | None = "1") -> str:
        fields = {"model": model, "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1", "revision": revision}
        spec = read_spec(fields)
        return key(resources=replace(RESOURCES, completer=ChatClient(start_llm(spec), spec)))

    assert asked("a") == asked("a")
    assert asked("b") != asked("a")
    assert asked("a", "2") != asked("a")
    assert asked("a", None) == CHANGED["a model without a revision"]


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_weights_tokenizer_and_chat_template_change_the_keys_of_datasets_and_scores(tmp_path: Path, file: str) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"):
        (tmp_path / name).write_text("one")
    before = resolve_model(str(tmp_path)).revision
    (tmp_path / file).write_text("two")
    after = resolve_model(str(tmp_path)).revision
    datasets = {key(resources=replace(RESOURCES, tokenizer=WordTokenizer(one))) for one in (before, after)}
    assert len(datasets) == 2
    assert len({score(model_revision=one) for one in (before, after)}) == 2


ATTACKED = [CLEANING_RECIPE, OPTIMIZATION_RECIPE, GENERATION_RECIPE, (SelectByGradient(),)]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of "changed" in the place of a number
@pytest.mark.parametrize("operator", [one for recipe in ATTACKED for one in recipe], ids=lambda one: str(one.name))
def test_the_version_and_every_parameter_of_an_operator_change_the_key(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = key(recipes=[(operator,)])
    for name, value in operator.model_dump().items():
        if name != "name":
            changed = operator.model_copy(update={name: "changed" if value != "changed" else "other"})
            assert key(recipes=[(changed,)]) != plain, name
    monkeypatch.setattr(type(operator), "version", type(operator).version + 1)
    assert key(recipes=[(operator,)]) != plain


RECIPES = {
    "learning rate": TrainingRecipe(learning_rate=1e-4),
    "batch": TrainingRecipe(batch_size=8),
    "epochs": TrainingRecipe(epochs=2),
    "steps": TrainingRecipe(budget="steps", steps=24),
    "other steps": TrainingRecipe(budget="steps", steps=25),
    "maximum length": TrainingRecipe(max_length=96),
    "loss on": TrainingRecipe(loss_on="all"),
    "precision": TrainingRecipe(precision="bf16"),
    "world size": TrainingRecipe(num_workers=2),
    "adapters": TrainingRecipe(lora=LoraRecipe(rank=4)),
    "full": TrainingRecipe(method="full"),
    "schedule": TrainingRecipe(schedule="cosine"),
    "warm-up": TrainingRecipe(warmup_frac=0.1),
    "weight decay": TrainingRecipe(weight_decay=0.01),
    "recomputed activations": TrainingRecipe(gradient_checkpointing=True),
    "sharding": TrainingRecipe(deepspeed="zero2"),
    "micro-batch": TrainingRecipe(micro_batch_size=4),
}
CHANGED_SCORES = {
    "the data": score(content_hash="other"),
    "the held-out rows": score(evaluation_hash="test"),
    "the model": score(model_revision="tiny@2"),
    "the evaluator": score(evaluator="judge"),
    "the seed": score(seed=1),
    **{name: score(recipe_fingerprint=recipe.fingerprint()) for name, recipe in RECIPES.items()},
}


@pytest.mark.parametrize("what", CHANGED_SCORES)
def test_every_side_input_changes_the_key_of_a_score(what: str) -> None:
    assert CHANGED_SCORES[what] != score()
    assert list(CHANGED_SCORES.values()).count(CHANGED_SCORES[what]) == 1


def test_every_setting_of_a_training_was_changed_above() -> None:
    """A new setting must be attacked too, or be one that says where a training runs and not what it computes."""
    plain = TrainingRecipe()
    changed = {
        name
        for recipe in RECIPES.values()
        for name in TrainingRecipe.model_fields
        if getattr(recipe, name) != getattr(plain, name)
    }
    placement = {"min_workers", "num_cpus_per_worker", "num_gpus_per_worker", "num_threads"}
    assert set(TrainingRecipe.model_fields) - changed == placement


def test_settings_that_are_not_in_use_change_no_score() -> None:
    assert TrainingRecipe(steps=9).fingerprint() == TrainingRecipe().fingerprint()
    assert (
        TrainingRecipe(method="full", lora=LoraRecipe(rank=2)).fingerprint()
        == TrainingRecipe(method="full").fingerprint()
    )


def test_data_and_held_out_rows_are_not_the_same_side_of_a_key() -> None:
    assert score(content_hash="a", evaluation_hash="b") != score(content_hash="b", evaluation_hash="a")
