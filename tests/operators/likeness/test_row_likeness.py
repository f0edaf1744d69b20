"""Two rows are near-duplicates only where everything that carries content is alike."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pyarrow as pa
import pytest

from tests.operators.row_tables import characters, num_groups, pairs, sentence, table_of, words

RNG = random.Random(11)
SYSTEM = " ".join(sentence(RNG, 12) for _ in range(58))
NOTE = (
    "A 58-year-old man came with chest pain that started two hours ago while he was climbing stairs. He has smoked for "
    "thirty years and takes a tablet against high blood pressure. The electrocardiogram shows ST elevation in the "
    "inferior leads, blood pressure is 100/60 and the heart rate is 52. Troponin is not back yet."
)
PASSAGE = " ".join(sentence(RNG, 14) for _ in range(12))
ANSWER = (
    "Rest the joint, cool it several times a day and drink plenty of water, since that helps the body to wash out uric "
    "acid. A doctor may prescribe a drug against the inflammation, and later one that lowers the level for good."
)
CHINESE = "痛风急性发作时应当休息，多喝水，也冷敷关节，并在医生指导下服药。"
COPIES = {
    "exact": ANSWER,
    "spaced": ANSWER.replace(" ", "  ").replace(". ", ".\n\n"),
    "cased": ANSWER.upper(),
    "changed word": ANSWER.replace("plenty", "lots"),
    "greeting": f"Hello! {ANSWER}",
    "punctuation": ANSWER.replace(",", ";").rstrip("."),
    "lost word": ANSWER.replace("several ", ""),
}


def _system(text: str) -> list[dict[str, str | None]]:
    return [{"role": "system", "content": text, "extra": None}]


def test_tool_calling_rows_under_one_long_system_prompt_are_all_different() -> None:
    rng = random.Random(1)
    rows = [
        {
            "history": [
                *_system(SYSTEM),
                {"role": "user", "content": None, "extra": None},
                {
                    "role": "assistant",
                    "content": "",
                    "extra": json.dumps({"tool_calls": [{"function": {"name": "weather", "arguments": city}}]}),
                },
                {"role": "tool", "content": f"It is {at % 30} degrees.", "extra": None},
            ],
            "question": f"What is the weather in {city.capitalize()} now?",
            "answer": f"It is {at % 30} degrees in {city.capitalize()}.",
        }
        for at, city in enumerate(words(rng, 600))
    ]
    assert len(SYSTEM.split()) >= 691
    assert num_groups(table_of(rows)) == len({(row["question"], row["answer"]) for row in rows}) > 500


@pytest.mark.parametrize("joint", ["\n", " "])
def test_one_instruction_with_many_inputs_is_many_rows(joint: str) -> None:
    rng = random.Random(2)
    instruction = " ".join(sentence(rng, 10) for _ in range(7))
    inputs = list(dict.fromkeys(" ".join(words(rng, rng.randint(3, 12))) for _ in range(600)))
    table = pairs(*((f"{instruction}{joint}{text}", rng.choice(["positive", "negative"])) for text in inputs))
    assert num_groups(table) == len(inputs)


@pytest.mark.parametrize("joint", ["\n", " "])
def test_classifications_under_one_instruction_are_different_rows(joint: str) -> None:
    instruction = "Classify the sentiment of the customer review below as positive, negative or neutral. " * 4
    reviews = "Great shoes|Broke at once|Fine|Never again|Soft and warm|Too small|Loved it|Meh|Late|Fast and kind"
    table = pairs(*((f"{instruction}{joint}{text}", "positive") for text in reviews.split("|")))
    assert num_groups(table) == 10


@pytest.mark.parametrize("question_first", [True, False])
@pytest.mark.parametrize("joint", ["\n", "\n\n", " "])
@pytest.mark.parametrize("text", [NOTE, PASSAGE])
def test_questions_about_one_text_are_different_rows(text: str, joint: str, question_first: bool) -> None:
    asked = [
        "What is the diagnosis?",
        "What is the best treatment?",
        "Which test comes next?",
        "What is the prognosis?",
        "Who is the patient?",
        "When did it start?",
    ]
    whole = [f"{one}{joint}{text}" if question_first else f"{text}{joint}{one}" for one in asked]
    assert num_groups(pairs(*((one, "See the text.") for one in whole))) == 6
    assert num_groups(pairs(*((one, f"{ANSWER}") for one in whole))) == 6


@pytest.mark.parametrize(
    "answers",
    [
        ("5 mg", "50 mg", "500 mg"),
        ("True", "False"),
        ("是", "否"),
        ("可以", "不可以"),
        ("He can.", "He cannot."),
        tuple(f"{ANSWER} The dose is {dose} mg a day." for dose in (5, 50, 500)),
        tuple(f"{ANSWER} The dose is 5 {unit} a day." for unit in ("mg", "g", "ml")),
        tuple(f"{ANSWER} It is{word} safe in pregnancy." for word in ("", " not")),
        tuple(f"{ANSWER} It {word} safe in pregnancy." for word in ("is", "isn't")),
        tuple(f"{ANSWER} The visit is on {day}." for day in ("3 May", "4 May", "4 June", "Monday", "Friday")),
        tuple(f"{ANSWER} Ask {name} about it." for name in ("Anna", "Bernard", "Doctor Weber")),
        tuple(f"{ANSWER} Take it {when} meals." for when in ("before", "after")),
        tuple(f"{ANSWER} Take {what} daily." for what in ("Aspirin", "Ibuprofen", "five mg", "5 mg")),
        tuple(f"{ANSWER} It is sold {how}." for how in ("monthly by Acme", "by Apple weekly", "monthly by Apple")),
        tuple(f"{ANSWER} Ask {whom} about it." for whom in ("Anna", "mother", "all", "c++")),
        (f"{ANSWER} ask Anna about it.", f"{ANSWER} ask Weber about it.", f"{ANSWER} please ask Bernard about it."),
        tuple(f"{ANSWER} It costs {price}." for price in ("1.5 EUR", "15 EUR", "1,500 EUR")),
        tuple(f"{CHINESE}每次服用{dose}毫克，饭后服用。" for dose in (250, 500, 1000)),
        tuple(f"{CHINESE}建议使用 {what} 编程。" for what in ("Python", "c++")),
        tuple(f"{CHINESE}孕妇{word}服用这种药物。" for word in ("可以", "不可以")),
        tuple(f"{CHINESE}一天{often}次，饭{when}服用。" for often, when in ("三后", "两后", "三前")),
    ],
)
def test_answers_that_differ_in_what_matters_are_different_rows(answers: tuple[str, ...]) -> None:
    assert num_groups(pairs(*(("What is right for the patient?", answer) for answer in answers))) == len(answers)
    assert num_groups(pairs(*((f"{NOTE}\nIs it right? {answer}", "Yes.") for answer in answers))) == len(answers)
    assert num_groups(pairs(*((f"{PASSAGE} {answer}", ANSWER) for answer in answers))) == len(answers)


def test_pairs_under_a_system_prompt_of_1500_characters_are_as_many_groups() -> None:
    rng = random.Random(3)
    rows = [
        {"history": _system(SYSTEM[:1500]), "question": sentence(rng, 8), "answer": sentence(rng, 20)}
        for _ in range(400)
    ]
    assert num_groups(table_of(rows)) == 400


@pytest.mark.parametrize("system", ["", SYSTEM])
@pytest.mark.parametrize("question", ["How is gout treated?", f"{NOTE}\nHow is it treated?"])
def test_real_copies_join_also_under_a_long_system_prompt(system: str, question: str) -> None:
    rng = random.Random(4)
    others = [(sentence(rng, 8), sentence(rng, 30)) for _ in range(40)]
    rows = [
        {"history": _system(system) if system else [], "question": asked, "answer": answer}
        for asked, answer in [*others, *((question, answer) for answer in COPIES.values())]
    ]
    assert num_groups(table_of(rows)) == 41


def test_a_word_before_a_sentence_makes_no_name_of_its_beginning() -> None:
    told = f"{ANSWER} It sometimes hurts at night. Shame is common."
    edited = told.replace("sometimes ", "").replace("Shame", "indeed Shame")
    assert num_groups(pairs(("How is gout treated?", told), ("How is gout treated?", edited))) == 1
    replaced = told.replace("sometimes ", "").replace("at night", "at night in Rome")
    assert num_groups(pairs(("How is gout treated?", told), ("How is gout treated?", replaced))) == 2


@pytest.mark.parametrize("kind", sorted(COPIES))
def test_a_long_question_may_be_worded_a_little_longer_or_shorter(kind: str) -> None:
    note = NOTE.replace("tablet against", "small tablet against")
    assert num_groups(pairs((NOTE, ANSWER), (note, COPIES[kind]))) == 1
    assert num_groups(pairs((NOTE, "Yes, at once."), (f"Hello doctor. {NOTE} Thank you.", "yes at once"))) == 1


def test_many_copies_of_one_row_are_one_row() -> None:
    rng = random.Random(5)
    spaced = [" ".join(word + " " * rng.randint(0, 2) for word in ANSWER.split(" ")) for _ in range(1000)]
    table = pairs(*((rng.choice([NOTE, NOTE.lower()]), answer) for answer in spaced))
    assert num_groups(table) == 1


@pytest.mark.parametrize("num_copies", [2, 5, 8, 15, 60])
def test_edited_copies_of_one_row_join_however_many_they_are(num_copies: int) -> None:
    rng = random.Random(6)
    rows = []
    for _ in range(30):
        question, answer = sentence(rng, 8), words(rng, 60)
        for _ in range(num_copies):
            edited = list(answer)
            edited[rng.randrange(60)] = words(rng, 1)[0]
            rows.append((question, " ".join(edited)))
    assert num_groups(pairs(*rows)) == 30


def test_a_template_of_answers_makes_no_copies() -> None:
    rng = random.Random(7)
    head, tail = " ".join(words(rng, 40)), " ".join(words(rng, 30))
    subjects = list(dict.fromkeys(" ".join(words(rng, 2)) for _ in range(200)))
    table = pairs(*(("Write a text about a product.", f"{head} {one} {tail}") for one in subjects))
    assert num_groups(table) == len(subjects)
    assert num_groups(pa.concat_tables([table, table])) == len(subjects)


@pytest.mark.parametrize("characters_of", [2, 4])
def test_a_chinese_template_makes_no_copies(characters_of: int) -> None:
    rng = random.Random(8)
    head, tail = characters(rng, 60), characters(rng, 40)
    subjects = list(dict.fromkeys(characters(rng, characters_of) for _ in range(100)))
    assert num_groups(pairs(*((f"{head}{one}{tail}", "是的。") for one in subjects))) == len(subjects)
    assert num_groups(pairs(*(("请写一段介绍。", f"{head}{one}{tail}") for one in subjects))) == len(subjects)


def test_times_tables_and_word_problems_survive() -> None:
    both = [(left, right) for left in range(20) for right in range(20)]
    table = [(f"What is {left} times {right}?", f"{left} x {right} = {left * right}") for left, right in both]
    problem = (
        "Anna has {} apples and Ben has {} apples. They put all of them into a basket and give some to a friend who "
        "came by. How many apples are there in all?"
    )
    worded = [(problem.format(left, right), f"{left + right}") for left, right in both if left < right]
    assert num_groups(pairs(*table)) == 400
    assert num_groups(pairs(*worded)) == len(worded)


@pytest.mark.parametrize(
    ("column", "kind", "value"),
    [
        ("context", pa.string(), lambda at: f"{PASSAGE} Part {at}."),
        ("context", pa.string(), lambda at: f"Room {words(random.Random(at), 1)[0]}"),
        ("images", pa.list_(pa.string()), lambda at: [f"images/{at:04d}.png"]),
        ("image", pa.string(), lambda at: f"https://pictures.example/{at}.jpg"),
        ("videos", pa.list_(pa.string()), lambda at: [f"{at}.mp4"]),
        ("tools", pa.string(), lambda at: json.dumps([{"name": f"tool_{at}"}])),
        ("case report", pa.string(), lambda at: " ".join(words(random.Random(at), 9))),
        ("knowledge", pa.struct([("text", pa.string())]), lambda at: {"text": f"fact {at}"}),
    ],
)
def test_rows_that_differ_in_a_content_column_alone_all_survive(
    column: str, kind: pa.DataType, value: Callable[[int], object]
) -> None:
    rows = [{"question": "What does it show?", "answer": ANSWER, column: value(at)} for at in range(120)]
    table = table_of(rows, extra={column: kind})
    different = len({str(row[column]) for row in rows})
    assert num_groups(table) == different
    assert num_groups(pa.concat_tables([table, table])) == different


@pytest.mark.parametrize(
    ("column", "kind", "value"),
    [
        ("source", pa.string(), lambda at: f"web{at}"),
        ("source_url", pa.string(), lambda at: f"https://a.example/{at}"),
        ("n", pa.int64(), lambda at: at),
        ("score", pa.float64(), lambda at: at / 7),
        ("seen", pa.timestamp("s"), lambda at: at * 1000),
        ("createdAt", pa.string(), lambda at: f"day {at}"),
        ("doc_id", pa.string(), lambda at: f"doc-{at}"),
        ("nr", pa.string(), lambda at: str(at)),
        ("when", pa.string(), lambda at: f"2024-05-{at % 28 + 1:02d}T10:00:00Z"),
        ("page", pa.string(), lambda at: f"https://b.example/{at}"),
        ("metadata", pa.struct([("file", pa.string())]), lambda at: {"file": f"f{at}"}),
        ("_residue", pa.string(), lambda at: json.dumps({"spelled": {"input": at}, "left_out": []})),
        ("来源", pa.string(), lambda at: f"网站{at}"),
    ],
)
def test_a_column_that_carries_no_content_lets_no_copy_survive(
    column: str, kind: pa.DataType, value: Callable[[int], object]
) -> None:
    rows = [{"question": "What helps?", "answer": ANSWER, column: value(at)} for at in range(50)]
    assert num_groups(table_of(rows, extra={column: kind})) == 1
    if not column.startswith("_"):
        assert num_groups(table_of(rows, extra={column: kind}), content=(column,)) >= 28
    both = [{**row, "context": f"c{at}"} for at, row in enumerate(rows)]
    named = table_of(both, extra={column: kind, "context": pa.string()})
    assert num_groups(named, content=()) == 1


def test_the_input_of_an_instruction_counts_once() -> None:
    rows = [
        {"question": f"Sum up the text.\n{text}", "answer": ANSWER, "input": text}
        for text in (NOTE, NOTE.upper(), NOTE.replace(" ", "  "))
    ]
    assert num_groups(table_of(rows, extra={"input": pa.string()})) == 1


def test_rows_that_differ_in_a_tool_call_alone_all_survive() -> None:
    def row(at: int, call: str = "call_1") -> dict[str, object]:
        calls = [{"id": call, "type": "function", "function": {"name": "find", "arguments": json.dumps({"id": at})}}]
        own = {"role": "assistant", "content": None, "extra": json.dumps({"tool_calls": calls})}
        return {"history": [own], "question": "Find it.", "answer": None}

    rows = [row(at) for at in range(120)]
    assert num_groups(table_of(rows)) == 120
    assert num_groups(table_of([*rows, *(row(at, "call_2") for at in range(120))])) == 120


def test_the_same_last_pair_after_other_turns_or_another_system_prompt_is_another_row() -> None:
    def row(*turns: tuple[str, str]) -> dict[str, object]:
        history = [{"role": role, "content": content, "extra": None} for role, content in turns]
        return {"history": history, "question": "And now?", "answer": ANSWER}

    rows = [
        row(),
        row(("user", NOTE), ("assistant", "Wait.")),
        row(("user", NOTE), ("assistant", "Go.")),
        row(("user", f"{NOTE} He feels dizzy."), ("assistant", "Go.")),
        row(("assistant", NOTE), ("user", "Go.")),
        row(("system", "You are a nurse.")),
        row(("system", "You are a pirate.")),
        row(("system", "You are a nurse."), ("user", NOTE), ("assistant", "Go.")),
    ]
    assert num_groups(table_of(rows)) == 7  # the longer note is a copy of the shorter one
    assert num_groups(table_of([*rows, *rows])) == 7


def test_a_system_prompt_that_most_rows_have_counts_for_nothing() -> None:
    rng = random.Random(9)
    rows = [{"history": _system(SYSTEM), "question": sentence(rng, 6), "answer": sentence(rng, 9)} for _ in range(20)]
    bare = [{**row, "history": []} for row in rows[:5]]
    assert num_groups(table_of([*rows, *bare])) == 20
    assert num_groups(table_of([*rows[:5], *bare])) == 10
