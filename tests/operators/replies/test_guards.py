"""Each fault of a reply has its name, and a fault of the original is no fault of the reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.replies.guards import ReplyContext, ReplyLimits, Verdict, asks_something, instruction_ngrams, judge_reply
from operators.replies.language import is_other_language

LIMITS = ReplyLimits()
QUESTION = "How much paracetamol may an adult take in one day?"
ANSWER = "An adult may take up to 4 g of paracetamol in 24 hours, in single doses of at most 1 g, six hours apart."
ZH_QUESTION = "成人一天最多可以服用多少对乙酰氨基酚？"
ZH_ANSWER = "成人二十四小时内服用对乙酰氨基酚不应超过四克，单次不超过一克，两次服药至少间隔六小时。"


def rewrite_context(
    original: str,
    *,
    sibling: str = "",
    withheld: str = "",
    asks: bool = False,
    instruction: frozenset[tuple[str, ...]] = frozenset(),
) -> ReplyContext:
    return ReplyContext(
        limits=LIMITS,
        original=original,
        row_text=f"{original}\n{sibling}",
        siblings=(sibling,),
        withheld=withheld,
        asks=asks,
        instruction=instruction,
    )


def judge_answer(text: str) -> Verdict:
    return judge_reply(text, rewrite_context(ANSWER, sibling=QUESTION))


def judge_zh_answer(text: str) -> Verdict:
    return judge_reply(text, rewrite_context(ZH_ANSWER, sibling=ZH_QUESTION))


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        "Adults: at most 1 g of paracetamol every six hours, up to 4 g in 24 hours.",
        "Take no more than 4 g of paracetamol in a day. Keep single doses to 1 g, and wait six hours between doses.",
        "I would not exceed 4 g of paracetamol in 24 hours; the answer depends on the liver too.",
    ],
)
def test_a_sound_rewrite_is_accepted(text: str) -> None:
    assert judge_answer(text) is Verdict.ACCEPTED


@pytest.mark.parametrize(
    "text",
    [ZH_ANSWER, "成人每次服用对乙酰氨基酚不超过一克，间隔至少六小时，全天不超过四克。"],
)
def test_a_sound_chinese_rewrite_is_accepted(text: str) -> None:
    assert judge_zh_answer(text) is Verdict.ACCEPTED


@pytest.mark.parametrize("text", ["", "  \n", "...", "？？", '""'])
def test_a_reply_without_words_is_empty(text: str) -> None:
    assert judge_answer(text) is Verdict.EMPTY


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot provide medical advice about paracetamol.",
        "I cannot rewrite this answer about paracetamol.",
        "I am not able to assist with doses of paracetamol in 24 hours.",
        "As an AI language model, I do not take paracetamol.",
        "I apologize, but as a model I take no doses.",
        "I must decline to write about doses.",
    ],
)
def test_a_refusal_is_rejected(text: str) -> None:
    assert judge_answer(text) is Verdict.REFUSED


@pytest.mark.parametrize(
    "text",
    [
        "抱歉，我无法提供对乙酰氨基酚的服用建议。",
        "对不起，作为人工智能助手我不能回答该问题。",
        "作为一个AI语言模型，我没有用药经验。",
        "很抱歉，我不能改写这段答案。",
        "我无法回答关于服药的问题。",
    ],
)
def test_a_chinese_refusal_is_rejected(text: str) -> None:
    assert judge_zh_answer(text) is Verdict.REFUSED


def test_a_row_that_is_about_refusing_may_stay_so() -> None:
    original = "As an AI language model, I don't have feelings."
    text = "As an AI language model, I have no feelings."
    assert judge_reply(text, rewrite_context(original)) is Verdict.ACCEPTED


@pytest.mark.parametrize(
    "text",
    [
        f"Your answer is: {ANSWER}",
        f"The answer is: {ANSWER}",
        f"Answer: {ANSWER}",
        f"**Rewritten answer:** {ANSWER}",
        f"Here is a concise version of the paracetamol answer: {ANSWER}",
        f"Sure! Here's the text: {ANSWER}",
        f"{ANSWER}\n\nQuestion: {QUESTION}",
        f"{ANSWER} This is the revised version.",
        f"{ANSWER}\n(Note: I shortened the answer.)",
        f"{ANSWER}<|im_end|>",
        "Take [insert dose] of paracetamol.",
        f"{ANSWER}\n\nRewrite this question: {QUESTION}",
    ],
)
def test_a_leaked_label_is_rejected(text: str) -> None:
    assert judge_answer(text) is Verdict.LABEL_LEAK


@pytest.mark.parametrize(
    "text",
    [
        f"改写后的答案：{ZH_ANSWER}",
        f"答案：{ZH_ANSWER}",
        f"优化后的回答是：{ZH_ANSWER}",
        f"好的，以下是对该回答的整理：{ZH_ANSWER}",
        f"{ZH_ANSWER}\n问题：{ZH_QUESTION}",
        f"{ZH_ANSWER}这是润色后的版本。",
    ],
)
def test_a_leaked_chinese_label_is_rejected(text: str) -> None:
    assert judge_zh_answer(text) is Verdict.LABEL_LEAK


def test_a_label_that_the_original_has_is_no_leak() -> None:
    original = "Question: what is 2 + 2?\nA) 3\nB) 4"
    assert judge_reply("Question: what is 2 + 2?\nA) 3 B) 4", rewrite_context(original)) is Verdict.ACCEPTED


def test_repeating_the_instruction_is_an_echo() -> None:
    instruction = instruction_ngrams("Keep the meaning, the language, and every name, number and unit.")
    context = rewrite_context(ANSWER, sibling=QUESTION, instruction=instruction)
    text = "Take 4 g of paracetamol and keep the meaning, the language and every name."
    assert judge_reply(text, context) is Verdict.PROMPT_ECHO


def test_repeating_the_chinese_instruction_is_an_echo() -> None:
    instruction = instruction_ngrams("保持原意和原有语言，保留所有名称、数字和单位，去掉标记符号。")
    context = rewrite_context(ZH_ANSWER, sibling=ZH_QUESTION, instruction=instruction)
    assert judge_reply("成人服用四克，保持原意和原有语言，保留所有名称。", context) is Verdict.PROMPT_ECHO


def test_repeating_the_question_as_the_answer_is_a_copy() -> None:
    assert judge_answer(QUESTION.lower()) is Verdict.COPIED


def test_repeating_a_shot_is_a_copy_unless_it_is_short() -> None:
    context = ReplyContext(limits=LIMITS, shown=("Yes.", "Paris is the capital of the French Republic."))
    assert judge_reply("Paris is the capital of the French Republic", context) is Verdict.COPIED
    assert judge_reply("yes", context) is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("original", "text", "verdict"),
    [
        ("In which city was Beethoven born?", "Beethoven was born in which city?", Verdict.ACCEPTED),
        ("In which city was Beethoven born?", "Was Beethoven born in Bonn?", Verdict.ANSWERED),
        ("In which city was Beethoven born?", "Beethoven was born in some city.", Verdict.NOT_A_QUESTION),
        ("tell me where beethoven was born", "Tell me where Beethoven was born.", Verdict.ACCEPTED),
    ],
)
def test_a_question_stays_one_and_keeps_its_answer_to_itself(original: str, text: str, verdict: Verdict) -> None:
    context = rewrite_context(original, sibling="Bonn", withheld="Bonn", asks=asks_something(original))
    assert judge_reply(text, context) is verdict


def test_a_question_that_runs_into_its_answer_is_answered() -> None:
    answer = "Actually I eat only electricity."
    context = rewrite_context("Why can you not eat?", sibling=answer, withheld=answer)
    assert judge_reply("Why can you not eat? I eat only electricity.", context) is Verdict.ANSWERED


@pytest.mark.parametrize("text", ["Take 4 g of paracetamol. " * 6, "dose " * 12, "paracetamol 4 g " * 9])
def test_a_loop_is_repetitive(text: str) -> None:
    assert judge_answer(text) is Verdict.REPETITIVE


def test_a_loop_that_the_original_has_too_is_no_fault_of_the_reply() -> None:
    original = "Take 4 g of paracetamol. " * 4
    assert judge_reply(original, rewrite_context(original)) is Verdict.ACCEPTED


def test_a_chinese_loop_is_repetitive() -> None:
    assert judge_zh_answer("成人不超过四克。" * 8) is Verdict.REPETITIVE


def test_another_language_is_rejected() -> None:
    assert judge_answer("成人一天最多可以服用四克对乙酰氨基酚。") is Verdict.WRONG_LANGUAGE
    assert judge_zh_answer(ANSWER) is Verdict.WRONG_LANGUAGE


@pytest.mark.parametrize("end", "।۔؟։။።།។")
def test_a_sentence_ends_as_its_script_ends_it(end: str) -> None:
    words = "पानी हर दिन कम से कम दो लीटर पीना चाहिए"
    assert judge_reply(f"{words}{end}", rewrite_context(f"{words}?")) is Verdict.ACCEPTED
    assert judge_reply(words, rewrite_context(f"{words}{end}")) is Verdict.TRUNCATED


@pytest.mark.parametrize(
    "text",
    [
        "ສະບາຍດີ ທ່ານສະບາຍດີບໍ່",
        "នេះជាអត្ថបទខ្លីមួយអំពីទឹក",
        "ഇത് വെള്ളത്തെക്കുറിച്ചുള്ള ഒരു ചെറിയ കുറിപ്പാണ്",
        "ಇದು ನೀರಿನ ಬಗ್ಗೆ ಒಂದು ಸಣ್ಣ ಬರಹ",
        "આ પાણી વિશેની ટૂંકી નોંધ છે",
        "ਇਹ ਪਾਣੀ ਬਾਰੇ ਇੱਕ ਛੋਟਾ ਲੇਖ ਹੈ",
        "ဤသည်မှာ ရေအကြောင်း စာတိုဖြစ်သည်",
        "ይህ ስለ ውሃ አጭር ጽሑፍ ነው",
    ],
)
def test_a_language_of_any_script_is_told_from_english(text: str) -> None:
    english = "This is a short note about water, and what it is good for."
    assert is_other_language(english, like=text)
    assert is_other_language(text, like=english)
    assert not is_other_language(text, like=text)


def test_exploding_and_collapsing_rewrites_are_rejected() -> None:
    long = " ".join(f"Dose {number} of paracetamol takes {number * 7} minutes to work." for number in range(9))
    assert judge_answer(long) is Verdict.TOO_LONG
    assert judge_answer("4 g paracetamol") is Verdict.TOO_SHORT


def test_a_short_text_may_grow_by_the_slack() -> None:
    text = "Beethoven was born in Bonn, a city on the Rhine."
    assert judge_reply(text, rewrite_context("Bonn", sibling="Where was Beethoven born?")) is Verdict.ACCEPTED


def test_dropping_repeated_sentences_and_tags_is_no_collapse() -> None:
    original = "<p>Drink enough water every day.</p> " * 12
    assert judge_reply("Drink enough water every day.", rewrite_context(original)) is Verdict.ACCEPTED


def test_a_rewrite_about_something_else_is_off_topic() -> None:
    assert judge_answer("Dragons guard golden treasure beneath snowy mountain peaks.") is Verdict.OFF_TOPIC


def test_a_filled_field_has_no_original_to_measure_against() -> None:
    context = ReplyContext(limits=LIMITS, row_text=QUESTION, siblings=(QUESTION,))
    assert judge_reply("Four grams.", context) is Verdict.ACCEPTED


@given(st.lists(st.sampled_from([*QUESTION.split(), *ZH_QUESTION, "\n", ".", "Answer:"]), min_size=1).map(" ".join))
def test_judging_is_total_and_never_depends_on_earlier_calls(text: str) -> None:
    assert judge_answer(text) is judge_answer(text)
