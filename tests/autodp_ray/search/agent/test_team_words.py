"""The agent is told what the configured recipes do, in its language, and nothing else."""

from __future__ import annotations

import pytest

from autodp_ray.search.agent.messages import AgentTask, system_message
from autodp_ray.search.agent.team_words import MAX_TEAM_WORDS, team_words
from operators.contract.operator import RowOperator
from operators.contract.resources import Language
from operators.deduplicate import Deduplicate
from operators.registry import CLEANING_RECIPE, OWN_CLASSES
from operators.strip_markup import StripMarkup
from operators.token_count import TokenCount


@pytest.mark.parametrize(
    ("language", "said", "unsaid"), [("en", "near-duplicate", "symbols"), ("zh", "近似重复", "符号")]
)
def test_the_prompt_tells_what_the_configured_recipe_does(language: Language, said: str, unsaid: str) -> None:
    words = team_words([Deduplicate()], language)
    prompt = system_message(AgentTask(language=language, teams=("cleaning",), team_words=(words,)))[1]
    assert said in prompt
    assert unsaid not in prompt
    assert unsaid in team_words(CLEANING_RECIPE, language)


def test_words_follow_the_settings() -> None:
    assert team_words([TokenCount(max_tokens=512)], "en") == (
        "drops rows that are too short or too long (under 1 or over 512 tokens)."
    )
    assert "links" not in team_words([StripMarkup(links=False)], "en")
    assert "markup" not in team_words([StripMarkup(tags="none")], "en")


@pytest.mark.parametrize("cls", OWN_CLASSES)
def test_every_operator_of_ours_has_words_of_its_own_in_both_languages(cls: type[TokenCount]) -> None:
    assert "summary" in vars(cls)
    assert cls().summary("en").isascii()
    assert not cls().summary("zh").isascii()


def test_what_another_author_says_is_one_line_of_bounded_length() -> None:
    class Talks(TokenCount):
        def summary(self, language: Language) -> str:
            return "says\nmuch\x00 " * 1_000

    words = team_words([Talks()], "en")
    assert words.startswith("says much says much")
    assert words.isprintable()
    assert len(words) == MAX_TEAM_WORDS


def test_an_operator_without_words_is_told_by_its_docstring() -> None:
    class Plain(TokenCount):
        """Drops what is plain. And more."""

        def summary(self, language: Language) -> str:
            return RowOperator.summary(self, language)

    assert team_words([Plain()], "en") == "Drops what is plain."
