"""Prompts render in both languages and every domain, and row text stays text."""

from __future__ import annotations

import re

import pytest

from operators.llm.prompting import LANGUAGES, Decoding, Prompt, pair_json, recent_turns, template_texts

NAMES = (
    "optimize_pair",
    "optimize_question",
    "optimize_answer",
    "generate_question",
    "generate_answer",
    "generate_pair",
)
SHOWS = {
    "optimize_pair": ("Q1", "A1"),
    "optimize_question": ("Q1", "A1"),
    "optimize_answer": ("Q1", "A1"),
    "generate_question": ("A1",),
    "generate_answer": ("Q1",),
    "generate_pair": (),
}


def render(
    name: str, *, language: str = "en", domain: str = "general", question: str = "Q1", answer: str = "A1"
) -> str:
    prompt = Prompt(name=name, language=language, domain=domain)
    fields = {"question": question, "answer": answer, "pair": pair_json(question, answer), "given": answer}
    return "\n".join(content for _, content in prompt.messages(fields))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_every_prompt_shows_the_fields_that_it_is_about(name: str, language: str) -> None:
    text = render(name, language=language)
    assert all(shown in text for shown in SHOWS[name])
    assert "{{" not in text
    assert "{%" not in text


@pytest.mark.parametrize("name", NAMES)
def test_each_language_speaks_its_own(name: str) -> None:
    assert not re.search(r"[\u4e00-\u9fff]", render(name, language="en"))
    assert re.search(r"[\u4e00-\u9fff]{6}", render(name, language="zh"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_the_domain_changes_the_prompt(name: str, language: str) -> None:
    texts = {render(name, language=language, domain=domain) for domain in ("general", "medical", "law", "astronomy")}
    assert len(texts) == 4
    assert "astronomy" in render(name, language=language, domain="astronomy")


@pytest.mark.parametrize("name", [name for name in NAMES if SHOWS[name]])
@pytest.mark.parametrize("hostile", ["{{ 7 * 7 }}", "{% block system %}x{% endblock %}", "{% raw %}", "{# note #}"])
def test_row_text_is_never_compiled(name: str, hostile: str) -> None:
    text = render(name, question=hostile, answer=hostile)
    assert hostile in text
    assert "49" not in text


def test_the_system_message_does_not_depend_on_the_row() -> None:
    prompt = Prompt(name="optimize_pair", language="en", domain="law")
    messages = [prompt.messages({"pair": pair_json(text, text)}) for text in ("one", "two")]
    assert messages[0][0] == messages[1][0] == ("system", prompt.system())


def test_examples_become_turns_before_the_row() -> None:
    prompt = Prompt(name="generate_answer", language="en", domain="general")
    messages = prompt.messages({"question": "last"}, examples=[({"question": "first"}, "reply")])
    assert [role for role, _ in messages] == ["system", "user", "assistant", "user"]
    assert [content for _, content in messages[1:]] == ["first", "reply", "last"]


def test_earlier_turns_of_a_conversation_are_shown() -> None:
    prompt = Prompt(name="generate_answer", language="en", domain="general")
    text = prompt.user({"question": "And then?", "history": ({"role": "user", "content": "It began."},)})
    assert text.index("It began.") < text.index("And then?")


def test_only_the_last_turns_that_fit_are_kept() -> None:
    turns = [{"role": "user", "content": "a" * size} for size in (50, 10, 20)]
    assert recent_turns(turns, max_chars=35) == tuple(turns[1:])
    assert recent_turns(turns, max_chars=5) == ()


@pytest.mark.parametrize("name", NAMES)
def test_template_texts_hold_all_that_can_be_rendered(name: str) -> None:
    sources = "\n".join(template_texts(name))
    assert len(template_texts(name)) == 6
    for language in LANGUAGES:
        for domain in ("general", "medical", "law"):
            system = Prompt(name=name, language=language, domain=domain).system()
            assert all(sentence in sources for sentence in re.split(r"(?<=[.。])\s*", system))


def test_a_chinese_pair_is_shown_as_it_is_written() -> None:
    assert "你好" in pair_json("你好", "<b>")
    assert "<b>" in pair_json("你好", "<b>")


def test_the_token_budget_grows_with_the_text_up_to_the_cap() -> None:
    decoding = Decoding(max_tokens=300, reasoning_tokens=50)
    assert decoding.budget("short", growth=3.0) < decoding.budget("short" * 10, growth=3.0) < 350
    assert decoding.budget("long" * 1000, growth=3.0) == 350
