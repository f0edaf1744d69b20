"""The config: shipped files parse, what is wrong is one clear line, overrides and seeds reach their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodp_ray.config.run_config import Config, build_config, dataset_settings, load_config
from autodp_ray.damage.corruption import CorruptionConfig
from autodp_ray.strategy import PAPER_TEAMS
from operators.contract.errors import InputError
from operators.deduplicate import Deduplicate
from operators.registry import CLEANING_RECIPE
from operators.token_count import TokenCount
from tests.autodp_ray.run_fakes import config_values, make_config

SHIPPED = sorted((Path(__file__).parents[3] / "configs").rglob("*.y*ml"))


def fault(*overrides: str, **sections: object) -> str:
    """What is said of a config with these overrides; one line in any case."""
    with pytest.raises(InputError) as caught:
        build_config(config_values("data.jsonl", **sections), overrides, source="run.yaml")
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_there_are_shipped_configs() -> None:
    assert "quickstart.yaml" in {path.name for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_config_parses_and_survives_a_round_trip(path: Path) -> None:
    config = load_config(str(path))
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_defaults_are_the_papers_where_it_gives_one() -> None:
    config = build_config(config_values("data.jsonl", sampling={}))
    assert (config.search.num_strategies, config.search.max_rounds) == (4, 5)
    assert config.models.agent.temperature == 0.6
    assert (config.training.learning_rate, config.training.batch_size, config.training.epochs) == (1e-5, 64, 3)
    assert (config.models.agent.temperature, config.sampling.rate) == (0.6, 0.2)
    assert config.teams.recipe("cleaning") == CLEANING_RECIPE


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("serch.max_rounds=3", "unknown key serch; did you mean search?"),
        ("sed=3", "unknown key sed; did you mean seed?"),
        ("search.max_round=3", "unknown key search.max_round; did you mean max_rounds?"),
        ("training.lora.rnk=4", "unknown key training.lora.rnk; did you mean rank?"),
        ("models.agent.modle=x", "unknown key models.agent.modle; did you mean model?"),
        ("dataset.columns.qestion=q", "unknown key dataset.columns.qestion; did you mean question?"),
        ("dataset.corruption.ratte=0.1", "unknown key dataset.corruption.ratte; did you mean rate?"),
        (
            "teams.cleaning=[{name: strip_markup}, {name: token_count, max_tokns: 3}]",
            "unknown key teams.cleaning.1.max_tokns; did you mean max_tokens?",
        ),
        ("privacy.qqqq=1", "unknown key privacy.qqqq; known keys are allow_rows_to"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_known_one(override: str, said: str) -> None:
    assert fault(override) == f"run.yaml: {said}"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.num_strategies=7", "search.num_strategies: must be less than or equal to 6, not 7"),
        ("search.max_rounds=0", "search.max_rounds: must be greater than or equal to 1, not 0"),
        ("search.max_rounds=many", "search.max_rounds: must be a whole number, not 'many'"),
        ("sampling.rate=1.2", "sampling.rate: must be less than or equal to 1, not 1.2"),
        ("sampling.rate=0", "sampling.rate: must be greater than 0, not 0"),
        ("evaluation.baseline_seeds=2", "evaluation.baseline_seeds: must be greater than or equal to 3, not 2"),
        ("splits.validation=0", "splits.validation: must be greater than or equal to 2, not 0"),
        ("budget.seconds=-1", "budget.seconds: must be greater than 0, not -1"),
        ("dataset.corruption.rate=2", "dataset.corruption.rate: must be less than or equal to 1, not 2"),
        ("dataset.corruption=all", "dataset.corruption: must be 'none' or a section of settings, not 'all'"),
        (
            "dataset.content_columns=all",
            "dataset.content_columns: must be 'auto', not 'all'; dataset.content_columns: must be a list, not 'all'",
        ),
        ("dataset.domain=cooking", "dataset.domain: must be 'general', 'medical' or 'law', not 'cooking'"),
        ("search=5", "search: must be a section of settings, not 5"),
        ("search.teams=cleaning", "search.teams: must be a list, not 'cleaning'"),
        ("search.teams=[]", "search.teams: must not be empty"),
        ("search.teams=[cleaning, cleaning]", "search.teams: a team is listed twice: cleaning, cleaning"),
        ("models.tuned.model=''", "models.tuned.model: must not be empty"),
        ("models.tuned=null", "models.tuned: must be a section of settings, not null"),
        (
            "teams.cleaning=[{name: token_cuont}]",
            "teams.cleaning.0: unknown name 'token_cuont'; did you mean token_count?",
        ),
        (
            "teams.cleaning=[{max_tokens: 3}]",
            "teams.cleaning.0: needs a name, as in {name: strip_markup}, not a section",
        ),
        (
            "training.budget=steps",
            "training: budget: steps needs a number of steps; give steps, or choose budget: epochs",
        ),
        ("search.policy={optimism: 2}", "search.policy: needs a name, as in {name: agent}, not a section"),
        ("training.steps=yes", "training.steps: must be a number, not true or false"),
        ("sampling.rate=on", "sampling.rate: must be a number, not true or false"),
        (
            "teams.cleaning=[{name: token_count, max_tokens: true}]",
            "teams.cleaning.0.max_tokens: must be a number, not true or false",
        ),
        (
            "dataset.format=jsnl",
            "dataset.format: must be 'auto', 'jsonl', 'json', 'parquet', 'arrow' or 'csv', not 'jsnl'",
        ),
        (
            "dataset.form=alpacca",
            "dataset.form: must be 'auto', 'alpaca', 'sharegpt', 'chat', 'prompt_completion' or 'columns', "
            "not 'alpacca'",
        ),
        ("seed=lucky", "seed: must be a whole number, not 'lucky'"),
        (
            "privacy.allow_rows_to=['https://api.example.org/v1']",
            "privacy.allow_rows_to: give hosts alone, such as api.example.org, not 'https://api.example.org/v1'",
        ),
    ],
)
def test_a_wrong_value_is_answered_with_the_key_the_rule_and_the_value(override: str, said: str) -> None:
    assert fault(override).removeprefix("run.yaml: ") == said


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ticket #", "Ticket #"),
        (" Ask ", "Ask"),
        ("'Ask '", "Ask "),
        ('"No"', "No"),
        ("问题 #1", "问题 #1"),
        ("''", ""),
    ],
)
def test_a_text_on_the_command_line_is_taken_as_it_stands(text: str, name: str) -> None:
    assert dataset_settings("a.csv", [f"dataset.columns.question={text}"]).columns.question == name


def test_what_yaml_reads_as_no_text_is_to_be_quoted() -> None:
    for text, value in (("No", "False"), ("1", "1"), ("Body: text", "a section")):
        with pytest.raises(InputError, match=f"question: must be a string, not {value}; put a text .* in quotes"):
            dataset_settings("a.csv", [f"dataset.columns.question={text}"])


def test_a_long_wrong_value_is_shown_in_part() -> None:
    assert len(fault(f"search.max_rounds={'x' * 5000}")) < 200


def test_every_fault_is_named_once() -> None:
    said = fault("search.max_rounds=0", "sampling.rate=2", "stroage=x")
    assert [said.count(key) for key in ("search.max_rounds", "sampling.rate", "unknown key stroage")] == [1, 1, 1]


def test_missing_sections_are_named() -> None:
    with pytest.raises(InputError, match=r"^the config: dataset is missing; models is missing$"):
        build_config({})


@pytest.mark.parametrize("team", PAPER_TEAMS)
def test_a_team_that_is_searched_needs_operators(team: str) -> None:
    said = fault(f"search.teams=[{team}]", f"teams.{team}=[]")
    assert said == f"run.yaml: search.teams lists {team}, but teams.{team} has no operators"


def test_a_team_that_is_switched_off_needs_none() -> None:
    config = build_config(config_values("d"), ["search.teams=[cleaning]", "teams.optimization=[]"])
    assert config.search.teams == ("cleaning",)
    assert config.teams.recipe("optimization") == ()


def test_overrides_are_yaml_values_at_their_place() -> None:
    overrides = [
        "search.max_rounds=2",
        "training.learning_rate=1e-3",
        "search.teams=[cleaning, generation]",
        "teams.cleaning=[{name: token_count, max_tokens: 99}, {name: deduplicate}]",
        "dataset.corruption={rate: 0.25}",
        "budget.tokens=null",
        "storage=s3://bucket/a=b",
    ]
    config = build_config(config_values("d"), overrides)
    assert config.search.max_rounds == 2
    assert config.training.learning_rate == 1e-3
    assert config.search.teams == ("cleaning", "generation")
    assert config.teams.cleaning == (TokenCount(max_tokens=99), Deduplicate())
    assert config.dataset.corruption == CorruptionConfig(rate=0.25)
    assert config.budget.tokens is None
    assert config.storage == "s3://bucket/a=b"


def test_a_later_override_wins_and_the_given_values_stay_as_they_are() -> None:
    values = config_values("d", search={"max_rounds": 3})
    config = build_config(values, ["search.max_rounds=4", "search.max_rounds=5"])
    assert config.search.max_rounds == 5
    assert values["search"] == {"max_rounds": 3}


def test_an_override_reaches_one_of_two_sections_that_share_a_yaml_anchor(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("dataset: {path: d}\nmodels:\n  agent: &one {model: m}\n  operators: *one\n  tuned: {model: m}\n")
    config = load_config(str(path), ["models.agent.max_tokens=7"])
    assert (config.models.agent.max_tokens, config.models.operators.max_tokens) == (7, 1024)


def test_an_override_opens_a_section_where_a_word_stood() -> None:
    values = config_values("d", dataset={"path": "d", "corruption": "none"})
    assert build_config(values, ["dataset.corruption.rate=0.3"]).dataset.corruption == CorruptionConfig(rate=0.3)


@pytest.mark.parametrize("text", ["search.max_rounds", "=3", "search..max_rounds=3", ""])
def test_an_override_that_is_no_assignment_says_how_one_looks(text: str) -> None:
    with pytest.raises(InputError, match=r"--set takes KEY=VALUE such as search\.max_rounds=3"):
        build_config(config_values("d"), [text])


def test_an_override_that_is_no_yaml_or_goes_into_a_list_is_refused() -> None:
    assert fault("search.max_rounds=[1") == "--set search.max_rounds: '[1' is no valid YAML value"
    said = fault("teams.cleaning.0.max_tokens=3", teams={"cleaning": [{"name": "token_count"}]})
    assert said.startswith("--set teams.cleaning.0.max_tokens: cleaning is a list; give all of it")


def seeds(config: Config) -> dict[str, int]:
    corruption = config.dataset.corruption
    assert isinstance(corruption, CorruptionConfig)
    return {
        "splits": config.splits.seed,
        "sampling": config.sampling.seed,
        "search": config.search.seed,
        "evaluation": config.evaluation.seed,
        "corruption": corruption.seed,
        "screener.train": config.screener.train.seed,
        "screener.train.corruption": config.screener.train.corruption.seed,
        **{f"{team} {one.name}": one.seed for team in PAPER_TEAMS for one in config.teams.recipe(team)},
    }


def test_one_seed_reaches_every_section_that_has_one_and_an_own_seed_stays() -> None:
    dataset = {"path": "d", "corruption": {"rate": 0.1}}
    plain = build_config(config_values("d", dataset=dataset))
    assert set(seeds(plain).values()) == {0}
    spread = build_config(config_values("d", dataset=dataset, seed=7))
    assert set(seeds(spread).values()) == {7}
    own = build_config(config_values("d", dataset=dataset, seed=7), ["search.seed=3"])
    assert seeds(own) == seeds(spread) | {"search": 3}
    assert seeds(build_config(config_values("d", dataset=dataset), ["seed=9"])) == dict.fromkeys(seeds(plain), 9)


def test_an_operator_may_name_a_seed_of_its_own() -> None:
    recipe = [{"name": "token_count", "seed": 2}, {"name": "deduplicate"}]
    config = build_config(config_values("d", teams={"cleaning": recipe}, seed=7))
    assert [one.seed for one in config.teams.recipe("cleaning")] == [2, 7]


def test_a_seed_of_zero_changes_no_fingerprint() -> None:
    plain, zero = build_config(config_values("d")), build_config(config_values("d", seed=0))
    assert zero == plain
    for team in PAPER_TEAMS:
        assert [one.fingerprint() for one in zero.teams.recipe(team)] == [
            one.fingerprint() for one in plain.teams.recipe(team)
        ]


def test_a_section_that_is_left_empty_keeps_its_defaults() -> None:
    config = build_config(config_values("d", search=None, budget=None, seed=4))
    assert config.search == build_config(config_values("d", seed=4)).search


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no file"),
        ("", "holds no settings"),
        ("- a\n- b\n", "holds no settings"),
        ("dataset: {path: [", "is no valid YAML"),
    ],
)
def test_a_file_that_holds_no_config_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "run.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        load_config(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_no_config(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xff\xfe\x00dataset")
    with pytest.raises(InputError, match="is no valid YAML"):
        load_config(str(path))


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp32")])
def test_no_training_of_a_run_is_left_to_guess_its_precision(
    monkeypatch: pytest.MonkeyPatch, native: bool, precision: str
) -> None:
    monkeypatch.setattr("actors.training.recipe.multiplies_bf16", lambda: native)
    wanted = ["training.precision=auto", "tune.precision=auto", "screener.train.recipe.precision=auto"]
    config = build_config(config_values("d"), wanted)
    assert config.tune is not None
    found = {config.training.precision, config.tune.precision, config.screener.train.recipe.precision}
    assert found == {precision}


@pytest.mark.parametrize("evaluator", ["judge", "reference"])
def test_models_that_are_split_over_workers_cannot_answer(evaluator: str) -> None:
    training = {"method": "full", "deepspeed": "zero3"}
    with pytest.raises(InputError, match=r"a worker needs the whole model: set training\.deepspeed to zero2 or null"):
        make_config("d", training=training, evaluation={"evaluator": evaluator})
    assert make_config("d", training=training).evaluation.evaluator.name == "loss"
