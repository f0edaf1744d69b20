"""A reply that breaks off, is broken or thinks aloud never becomes part of a row."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from operators.contract.resources import Completion, Resources
from operators.generate_missing import GenerateAnswer
from operators.llm.prompting import fields_json, pair_json
from operators.optimize import OptimizeAnswer, OptimizePair
from operators.replies.guards import ReplyContext, ReplyLimits, Verdict, judge_reply
from operators.replies.parsing import parse_object, read_fields, unwrap_text
from operators.replies.reasoning import own_reasoning, split_reasoning
from operators.replies.wrappings import take_off
from operators.rows.record import RECORD_SCHEMA
from operators.testing.fakes import FakeCompleter

PAIR = ("question", "answer")
CUT = '{"question":"How is green tea made?","answer":"Boil water, let it cool to eighty degrees, then'


def read(text: str, names: tuple[str, ...] = ("answer",), *, finish_reason: str = "stop", original: str = "") -> object:
    found = read_fields(
        Completion(text=text, finish_reason=finish_reason), names, originals={"answer": original} if original else None
    )
    return found["answer"] if isinstance(found, dict) and len(names) == 1 else found


def table(question: str, answer: str | None) -> pa.Table:
    return pa.table([["a"], [[]], [question], [answer], ["source"]], schema=RECORD_SCHEMA)


def answer_after(
    operator: OptimizeAnswer | GenerateAnswer, reply: str, *, question: str, answer: str | None
) -> pa.Table:
    return operator.build(Resources(completer=FakeCompleter(lambda request: reply)))(table(question, answer)).table


@pytest.mark.parametrize("reason", ["stop", "max_tokens", "MAX_TOKENS", "model_length", "", "end_turn", "length"])
@pytest.mark.parametrize(
    "text",
    [
        CUT,
        CUT + "\n",
        "```json\n" + CUT,
        "Here you go:\n" + CUT,
        "<think>short</think>" + CUT,
        '{"question":"How is green tea made?","answer":"',
        '{"question":"How is green tea made?","answer"',
        '{"question":"How is green tea made?",',
        '{"question":"How is green tea ma',
        "{'question': 'How is green tea made?', 'answer': 'Boil water, let it",
        '{"question":"How is green tea made?","answer":"Say \\"stop\\',
        "<think>The user wants green tea",
    ],
)
def test_a_reply_that_breaks_off_is_truncated_whatever_its_endpoint_says(text: str, reason: str) -> None:
    assert read(text, PAIR, finish_reason=reason) is Verdict.TRUNCATED


def test_a_reply_that_the_endpoint_filtered_is_counted_as_that() -> None:
    assert read("", finish_reason="filtered") is Verdict.FILTERED


@pytest.mark.parametrize(
    "text",
    [
        '{"question": "Why?", "answer": "He said "go" and "stop"."}',
        '{"question": "Why?", "answer": "He said "go" and "stop"."',
        '{"question": "Why?", "answer": "He said \\"go\\" and \\"stop\\"."\n```',
    ],
)
def test_a_reply_whose_strings_are_closed_is_whole(text: str) -> None:
    assert read(text, PAIR) == {"question": "Why?", "answer": 'He said "go" and "stop".'}


@pytest.mark.parametrize(
    "text",
    [
        "{" * 167,
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"answer": ' + "9" * 5000 + "}",
        '{"question": "Why?", "answer": "Because of \\ud83d"}',
        '{"question": "Why?", "answer": "Because of \ud83d"}',
        '{"question": "Why?", "answer": "Ring \\u0007 the bell"}',
        "<think>" * 1000,
        "question:\n" * 1000,
        '{"answer": {"answer": "x"}}',
        "\x00",
    ],
)
@pytest.mark.parametrize("operator", [OptimizePair(), OptimizeAnswer(), GenerateAnswer()])
def test_a_reply_of_no_use_is_a_counted_rejection_of_its_row(
    text: str, operator: OptimizePair | OptimizeAnswer | GenerateAnswer
) -> None:
    rows = table("Why is the sky blue?", None if operator.name == "generate_answer" else "Blue light is scattered.")
    out = operator.build(Resources(completer=FakeCompleter(lambda request: text)))(rows)
    assert out.table.equals(rows)
    assert [name.split(":")[0] for name in out.counts] == ["rejected"]
    assert list(out.counts.values()) == [1]


def test_commands_of_latex_survive_json() -> None:
    assert read(r'{"answer": "\frac{1}{2} \times \theta \alpha\nand \\beta"}') == (
        r"\frac{1}{2} \times \theta \alpha" "\n" r"and \beta"
    )


HOSTILE = [
    *(
        "{",
        "[",
        '{"',
        '{"answer":"',
        '{"question":',
        "<think>",
        "</think>",
        "<",
        "<|",
        "</s>",
        "question:\n",
        "```\n",
        "``",
    ),
    *(
        "\\",
        '"',
        "'",
        "\n",
        " ",
        "a ",
        "我不能",
        "抱歉",
        "(note:",
        "Sure! ",
        "**",
        "# answer\n",
        "<\u2060",
        "[THINK]",
        "<!--",
    ),
    *("<|channel|>", "i can't ", ", ", "? ", "[insert ", "answer: ", "我", "\u200d", "1. ", "$", "https://", "a" * 300),
]


@pytest.mark.heavy
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_anything_is_read_and_judged_in_linear_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    short = ReplyContext(limits=ReplyLimits(), original="The sky is blue.", row_text="Why? The sky is blue.")
    long = ReplyContext(limits=ReplyLimits(max_words=100_000), row_text="Why is the sky blue?", siblings=("Why so?",))
    started = time.process_time()
    read_fields(Completion(text=text), PAIR)
    read_fields(Completion(text=text[:390_000]), PAIR)
    judge_reply(text, short)
    judge_reply(text[:40_000], long)
    assert time.process_time() - started < 2.0


REASONED = [
    "<think>Let me see.</think>{}",
    "<thinking>Let me see.</thinking>\n{}",
    "<THINK>Let me see.</THINK>{}",
    "<thought>Let me see.</thought>{}",
    "<reasoning>Let <b>me</b> see.</reasoning>{}",
    "<reflection>Let me see.</reflection>{}",
    "<seed:think>Let me see.</seed:think>{}",
    "<think type='long'>Let me see.</think >{}",
    "◁think▷Let me see.◁/think▷{}",
    "[THINK]Let me see.[/THINK]{}",
    "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
    "<|begin_of_thought|>Let me see.<|end_of_thought|>{}",
    "<|START_THINKING|>Let me see.<|END_THINKING|>{}",
    "<unused94>thought\nLet me see.<unused95>{}",
    "The template opened it. Let me see.</think>{}",
    "Let me see.</thinking>\n\n{}",
    "<think>Let me <reflection>see</reflection></think>{}",
    "<think>One.</think><think>Two.</think>{}",
    "{}<think>Was that right?",
]


@pytest.mark.parametrize("reply", REASONED)
@pytest.mark.parametrize("text", ["Spiders have eight legs.", fields_json({"answer": "Spiders have eight legs."})])
def test_reasoning_in_any_spelling_never_reaches_the_dataset(reply: str, text: str) -> None:
    assert read(reply.replace("{}", text)) == "Spiders have eight legs."


@pytest.mark.parametrize(
    "tag", ["<think>", "<THINKING>", "◁think▷", "[THINK]", "<|channel|>analysis<|message|>", "<thought>"]
)
def test_a_reply_that_ends_in_its_reasoning_is_truncated(tag: str) -> None:
    assert read(f"{tag}Spiders have eight legs.") is Verdict.TRUNCATED
    assert read(fields_json({"answer": f"{tag}Spiders have eight legs."})) is Verdict.TRUNCATED


def test_a_block_ends_at_the_closing_tag_of_its_own_kind() -> None:
    found = split_reasoning("<think>a <reflection>b</reflection> c")
    assert (found.reply, found.unclosed) == ("", "a <reflection>b</reflection> c")


@pytest.mark.parametrize("text", ["A [thinking] face.", "The `<think>` tag marks reasoning.", "<rethink>", "a < b > c"])
def test_what_only_looks_like_a_tag_stays(text: str) -> None:
    assert unwrap_text(text) == text


OWN = "<think>A spider is no insect.</think>\n"


@pytest.mark.parametrize(
    "reply",
    [
        "Spiders have eight legs.",
        fields_json({"answer": "Spiders have eight legs."}),
        fields_json({"answer": f"{OWN}Spiders have eight legs."}),
        fields_json({"answer": "<think>Other thoughts.</think>Spiders have eight legs."}),
        f"<think>They want JSON.</think>{fields_json({'answer': f'{OWN}Spiders have eight legs.'})}",
    ],
)
def test_a_row_keeps_the_reasoning_that_it_has(reply: str) -> None:
    out = answer_after(
        OptimizeAnswer(), reply, question="How many legs has a spider?", answer=f"{OWN}spider has eight legs."
    )
    assert out["answer"].to_pylist() == [f"{OWN}Spiders have eight legs."]


def test_a_row_that_speaks_of_tags_keeps_them() -> None:
    text = "Models write <think> before their thoughts and </think> after it."
    assert own_reasoning(text) == ("", text)
    assert read(fields_json({"answer": text.replace("it.", "them.")}), original=text) == text.replace("it.", "them.")
    assert read(fields_json({"answer": "Models write tags."}), original=text) is Verdict.LABEL_LEAK


@pytest.mark.parametrize(
    "reply",
    [
        "Spiders have eight legs.</s>",
        "Spiders have eight legs.<|im_end|>",
        "Spiders have eight legs.<end_of_turn>\n",
        "<|im_start|>assistant\nSpiders have eight legs.<|im_end|>\n<|im_start|>",
        "<｜Assistant｜>Spiders have eight legs.<｜end▁of▁sentence｜>",
        "### Answer\nSpiders have eight legs.",
        "**Answer:** Spiders have eight legs.",
        "Answer: Spiders have eight legs.",
        "Rewritten answer:\nSpiders have eight legs.",
        "Here you go:\n\nSpiders have eight legs.",
        "Sure! Here is the rewritten answer: Spiders have eight legs.",
        "Sure!\n\nSpiders have eight legs.",
        "```\nSpiders have eight legs.\n```",
        "```text\nSpiders have eight legs.\n```",
        '"Spiders have eight legs."',
        "“Spiders have eight legs.”",
        "<answer>Spiders have eight legs.</answer>",
        '**Answer:** "Spiders have eight legs."',
        "以下是改写后的答案：Spiders have eight legs.",
        "【答案】Spiders have eight legs.",
    ],
)
def test_a_wrapping_that_is_sure_to_be_one_is_taken_off(reply: str) -> None:
    assert take_off(reply, original="spider has eight legs") == "Spiders have eight legs."


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)\n```",
        "Sure! You can park here.",
        "Here are the steps: rinse, soak, cook.",
        'He said "yes" and left, then "no".',
        "Answers differ: some say yes.",
        "Use </s> to end a sentence.",
    ],
)
def test_what_belongs_to_the_text_stays(text: str) -> None:
    assert take_off(text) == text


def test_what_the_row_has_around_its_text_stays() -> None:
    for text in ('"To be or not to be."', "```\nls -l\n```", "Answer: eight.", "<s>struck</s>", "Sure! Eight."):
        assert take_off(text, original=text) == text


def test_a_pair_in_labelled_lines_is_read_without_search_over_all_of_them() -> None:
    assert read("Question: Why?\nAnswer: So.", PAIR) == {"question": "Why?", "answer": "So."}
    assert read(pair_json("Why?", "So."), PAIR) == {"question": "Why?", "answer": "So."}


def test_a_verdict_that_breaks_off_is_none() -> None:
    from autodp_ray.evaluators.judge import _Verdict

    assert parse_object('{"better": "first"}', _Verdict) == _Verdict(better="first")
    for text in (
        '{"better": "fir',
        "{" * 200,
        '{"better": "first',
        '{"better": ' + "9" * 5000 + "}",
        "<thinking>" + "{",
    ):
        assert parse_object(text, _Verdict) is None
