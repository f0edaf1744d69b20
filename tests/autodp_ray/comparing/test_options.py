"""What a comparison is asked for: words, files and numbers, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodp_ray.comparing.options import CompareOptions, command_of, comparison_plan
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import make_config


def options(**given: object) -> CompareOptions:
    return CompareOptions(config_path="c.yaml", **given)  # type: ignore[arg-type]


def test_the_agent_is_held_against_the_others_and_keeps_the_configs_settings() -> None:
    config = make_config("x", search={"policy": {"name": "agent", "trust_stop": True}, "max_rounds": 3})
    plan = comparison_plan(config, options(policies="agent,all,mcts"))
    assert [arm.label for arm in plan.arms] == ["all", "mcts", "agent"]
    assert plan.ours.config.search.policy == config.search.policy
    assert plan.trainings == 3 * 4
    assert comparison_plan(config, options(policies="random,all")).ours.label == "all"


def test_every_default_policy_is_there() -> None:
    assert len(comparison_plan(make_config("x"), options()).arms) == 7


def test_a_judge_is_a_word_or_a_file_with_a_models_settings(tmp_path: Path) -> None:
    (tmp_path / "gpt.yaml").write_text("{model: other, engine: endpoint, base_url: 'http://127.0.0.1:8/v1'}")
    plan = comparison_plan(make_config("x"), options(judges=f"loss,reference,{tmp_path}/gpt.yaml"))
    assert [judge.label for judge in plan.judges] == ["loss", "reference", "gpt"]
    judge = plan.judges[-1].config
    assert judge.evaluation.evaluator.name == "judge"
    assert judge.models.judge is not None
    assert judge.models.judge.model == "other"
    assert judge.models.operators == plan.config.models.operators


def test_agents_are_swept_for_ours() -> None:
    plan = comparison_plan(make_config("x"), options(policies="random,agent", agents="org/A,org/B"))
    assert [(arm.label, arm.agent, arm.config.models.agent.model) for arm in (*plan.arms, *plan.swept)] == [
        ("random", "A", "org/A"),
        ("agent", "A", "org/A"),
        ("agent by B", "B", "org/B"),
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"policies": "best"}, "'best' is no policy"),
        ({"policies": "given"}, "'given' is no policy"),
        ({"policies": "none"}, "names no policy"),
        ({"judges": "gpt"}, "'gpt' is no evaluator"),
        ({"num_strategies": "2,9"}, "numbers from 1 to 6"),
        ({"seeds": 0}, "at least 1"),
        ({"final_seeds": 1}, "--final-seeds 2"),
        ({"judges": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_allowed(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        comparison_plan(make_config("x"), options(**given))


@pytest.mark.parametrize(
    "sections", [{"budget": {"seconds": 5}}, {"budget": {"tokens": 5}}, {"cache": {"prefixes": False}}]
)
def test_searches_on_unequal_terms_are_refused(sections: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"budget\.trainings|cache\.prefixes"):
        comparison_plan(make_config("x", **sections), options())


def test_the_command_can_be_given_again() -> None:
    asked = options(seeds=3, judges="loss,judge.yaml", overrides=("budget.trainings=4",))
    assert command_of(asked) == ("autodp compare c.yaml --seeds 3 --judges loss,judge.yaml --set budget.trainings=4")


def test_models_and_judges_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "judge.yaml").write_text(
            f"{{model: {folder}, engine: endpoint, base_url: 'http://127.0.0.1:8/v1'}}"
        )
    files = [f"{tmp_path}/{folder}/judge.yaml" for folder in ("one", "two")]
    plan = comparison_plan(make_config("x"), options(judges=",".join(files)))
    assert [judge.label for judge in plan.judges] == files
    plan = comparison_plan(make_config("x"), options(judges=f"judge,{files[0]}"))
    assert [judge.label for judge in plan.judges] == ["judge", files[0]]
    plan = comparison_plan(make_config("x"), options(policies="agent", agents="org/A,fork/A"))
    assert [arm.config.models.agent.model for arm in (*plan.arms, *plan.swept)] == ["org/A", "fork/A"]


@pytest.mark.parametrize(("policies", "agents"), [("random,surrogate", "org/A"), ("mcts,random", "org/A,org/B")])
def test_agents_that_nobody_would_ask_are_refused(policies: str, agents: str) -> None:
    with pytest.raises(InputError, match=r"--agents: .* asks no chat model"):
        comparison_plan(make_config("x"), options(policies=policies, agents=agents))
    assert len(comparison_plan(make_config("x"), options(policies="mcts,random", agents="org/A")).arms) == 2
