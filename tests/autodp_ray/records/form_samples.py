"""Seeded raw rows in every form that people bring, and what cleaning may change in them.

`Sample.rows` are raw rows; in some of them the plain texts are dirty, and `Sample.cleaned` says what each row is
when only those texts were cleaned.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

Row = dict[str, Any]
Make = Callable[[Random, Callable[[str], str]], Row]
"""A raw row; every plain text in it goes through the function, which may make it dirty."""

_NOUNS = ("river", "window", "garden", "engine", "ladder", "market", "planet", "violin", "harbor", "candle", "basket")
_VERBS = ("explain", "compare", "describe", "repair", "measure", "collect", "arrange", "improve", "translate")
_PLACES = ("in Oslo", "near the sea", "for a school", "at home", "before winter", "with two friends")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Raw rows of one form."""

    rows: list[Row]
    cleaned: list[Row]
    settings: dict[str, Any] = field(default_factory=dict)


def sentence(rng: Random) -> str:
    """A sentence that no other row has."""
    noun, other = rng.sample(_NOUNS, 2)
    number = rng.randint(10, 99_999)
    return f"Please {rng.choice(_VERBS)} the {noun} and the {other} {rng.choice(_PLACES)}, number {number}."


def sample(make: Make, *, num_rows: int = 120, seed: int = 0, **settings: object) -> Sample:
    """Rows of one form, every fourth one dirty."""
    rows, cleaned = [], []
    for at in range(num_rows):
        is_dirty = at % 4 == 3
        rows.append(make(Random(f"{seed}/{at}"), _dirty if is_dirty else _same))
        cleaned.append(make(Random(f"{seed}/{at}"), _same))
    return Sample(rows=rows, cleaned=cleaned, settings=settings)


def _same(text: str) -> str:
    return text


def _dirty(text: str) -> str:
    return f"<p>{text}</p>"


def _maybe(rng: Random, **keys: object) -> Row:
    return {key: value for key, value in keys.items() if rng.random() < 0.6}


def alpaca(rng: Random, text: Callable[[str], str]) -> Row:
    rest = {"input": rng.choice(["", text(sentence(rng))]), "output": text(sentence(rng))}
    history = [[text(sentence(rng)), text(sentence(rng))] for _ in range(rng.randint(0, 2))]
    return {
        "instruction": text(sentence(rng)),
        **rest,
        **_maybe(rng, system="You are a guide.", history=history),
        "score": rng.random(),
    }


def alpaca_with_inputs(rng: Random, text: Callable[[str], str]) -> Row:
    lines = "\n".join(sentence(rng) for _ in range(rng.randint(1, 3)))
    return {"instruction": text(sentence(rng)), "input": text(lines), "output": text(sentence(rng))}


def sharegpt(rng: Random, text: Callable[[str], str]) -> Row:
    pairs = [
        turn
        for _ in range(rng.randint(1, 3))
        for turn in ({"from": "human", "value": text(sentence(rng))}, {"from": "gpt", "value": text(sentence(rng))})
    ]
    return {"id": f"row-{rng.random()}", "conversations": pairs, **_maybe(rng, source="forum")}


def _weather(rng: Random) -> tuple[Row, str]:
    place = f"https://weather.example/{rng.randint(1, 999)}"
    arguments = {"url": place, "to": "desk@example.org", "days": rng.randint(1, 9)}
    return arguments, json.dumps({"degrees": rng.randint(-20, 40), "wind": rng.choice(_NOUNS)})


_TOOLS = [
    {"name": "weather", "parameters": {"type": "object", "properties": {"days": {"type": "integer"}}}},
    {"name": "search", "description": "Looks <b>things</b> up.", "strict": True},
]


def sharegpt_tools(rng: Random, text: Callable[[str], str]) -> Row:
    arguments, result = _weather(rng)
    call = {"name": "weather", "arguments": arguments}
    value = json.dumps(call if rng.random() < 0.7 else [call, call], ensure_ascii=False)
    if rng.random() < 0.1:
        value = "weather(Oslo) as no JSON"
    turns = [{"from": "human", "value": text(sentence(rng))}, {"from": "function_call", "value": value}]
    end = rng.choice(["answer", "answer", "answer", "call", "result", "plain", "again"])
    if end != "call":
        turns.append({"from": "observation", "value": result})
    if end in ("answer", "plain", "again"):
        turns.append({"from": "gpt", "value": text(sentence(rng))})
    if end == "plain":
        turns += [{"from": "human", "value": text(sentence(rng))}, {"from": "gpt", "value": text(sentence(rng))}]
    if end == "again":
        turns.append({"from": "gpt", "value": text(sentence(rng))})
    system = {"system": "Use the tools."} if rng.random() < 0.5 else {}
    return {"conversations": turns, **system, "tools": json.dumps(rng.sample(_TOOLS, rng.randint(1, 2)))}


def firefly(rng: Random, text: Callable[[str], str]) -> Row:
    pairs = [{"human": text(sentence(rng)), "assistant": text(sentence(rng))} for _ in range(rng.randint(1, 3))]
    return {"conversation_id": rng.randint(1, 10**6), "conversation": pairs, **_maybe(rng, system="Be brief.")}


def xtuner(rng: Random, text: Callable[[str], str]) -> Row:
    pairs: list[Row] = [
        {"input": text(sentence(rng)), "output": text(sentence(rng)), **_maybe(rng, output_with_loss=False)}
        for _ in range(rng.randint(1, 3))
    ]
    prompt = rng.choice([{}, {"system": ""}, {"system": "Be brief."}])
    return {"conversation": [{**prompt, **pairs[0]}, *pairs[1:]]}


def list_pairs(rng: Random, text: Callable[[str], str]) -> Row:
    return {"conversations": [[text(sentence(rng)), text(sentence(rng))] for _ in range(rng.randint(1, 3))]}


def chat(rng: Random, text: Callable[[str], str]) -> Row:
    prompt = [{"role": rng.choice(["system", "developer"]), "content": "Be brief."}] if rng.random() < 0.5 else []
    pairs = [
        turn
        for _ in range(rng.randint(1, 3))
        for turn in (
            {"role": "user", "content": text(sentence(rng))},
            {"role": "assistant", "content": text(sentence(rng))},
        )
    ]
    return {"messages": [*prompt, *pairs], "meta": {"page": rng.randint(0, 9)}}


def chat_tools(rng: Random, text: Callable[[str], str], *, mixed: bool = True) -> Row:
    arguments, result = _weather(rng)
    number = f"call_{rng.randint(1, 10**6)}"
    as_text = rng.random() < (0.7 if mixed else 1.0)
    function = {"name": "weather", "arguments": json.dumps(arguments) if as_text else arguments}
    call: Row = {"role": "assistant", "tool_calls": [{"id": number, "type": "function", "function": function}]}
    if rng.random() < 0.7:
        call = {"role": "assistant", "content": rng.choice([None, ""]), "tool_calls": call["tool_calls"]}
    turns = [{"role": "user", "content": text(sentence(rng)), **_maybe(rng, name="kim")}, call]
    end = rng.choice(["answer", "answer", "answer", "call", "result", "plain"])
    if end != "call":
        turns.append({"role": "tool", "tool_call_id": number, "content": result})
    if end in ("answer", "plain"):
        turns.append({"role": "assistant", "content": text(sentence(rng)), **_maybe(rng, reasoning_content="Hm.")})
    if end == "plain":
        turns.append({"role": "user", "content": text(sentence(rng))})
        turns.append({"role": "assistant", "content": text(sentence(rng))})
    return {"messages": turns, "tools": rng.sample(_TOOLS, rng.randint(1, 2)), **_maybe(rng, parallel_tool_calls=False)}


def swift_tools(rng: Random, text: Callable[[str], str]) -> Row:
    arguments, result = _weather(rng)
    call = {"role": "tool_call", "content": json.dumps({"name": "weather", "arguments": arguments})}
    answered = [
        {"role": "user", "content": text(sentence(rng))},
        *[call] * rng.randint(1, 2),
        {"role": rng.choice(["tool_response", "tool"]), "content": result},
        {"role": "assistant", "content": text(sentence(rng)), **_maybe(rng, loss=True)},
    ]
    return {"tools": json.dumps(_TOOLS), "messages": [{"role": "system", "content": "Use the tools."}, *answered]}


def law(rng: Random, text: Callable[[str], str]) -> Row:
    return {
        "id": f"judgement-{rng.random()}",
        "input": text(sentence(rng)),
        "output": text(sentence(rng)),
        "reference": [sentence(rng)],
    }


def dolly(rng: Random, text: Callable[[str], str]) -> Row:
    context = rng.choice(["", text(sentence(rng))])
    return {
        "instruction": text(sentence(rng)),
        "context": context,
        "response": text(sentence(rng)),
        "category": "closed_qa",
    }


def named(rng: Random, text: Callable[[str], str]) -> Row:
    rest = _maybe(rng, material=text(sentence(rng)), note=sentence(rng))
    return {"frage": text(sentence(rng)), **rest, "antwort": text(sentence(rng))}


def orca(rng: Random, text: Callable[[str], str]) -> Row:
    prompt = rng.choice(["", "You are a teacher.", "Think step by step."])
    return {
        "id": f"niv.{rng.random()}",
        "system_prompt": prompt,
        "question": text(sentence(rng)),
        "response": text(sentence(rng)),
    }


def text_parts(rng: Random, text: Callable[[str], str]) -> Row:
    def parts(num: int) -> list[Row]:
        return [{"type": "text", "text": text(sentence(rng))} for _ in range(num)]

    answer: object = parts(1) if rng.random() < 0.5 else text(sentence(rng))
    question = {"role": "user", "content": parts(rng.randint(1, 3))}
    return {"messages": [question, {"role": "assistant", "content": answer}]}


def chat_tools_of_one_type(rng: Random, text: Callable[[str], str]) -> Row:
    return chat_tools(rng, text, mixed=False)


def preference(rng: Random, text: Callable[[str], str]) -> Row:
    return {"prompt": text(sentence(rng)), "chosen": text(sentence(rng)), "rejected": "<p>No.</p>"}


def preference_turns(rng: Random, text: Callable[[str], str]) -> Row:
    question = sentence(rng)
    return {
        "chosen": [
            {"role": "user", "content": text(question)},
            {"role": "assistant", "content": text(sentence(rng))},
        ],
        "rejected": [{"role": "user", "content": question}, {"role": "assistant", "content": "<p>No.</p>"}],
        "margin": rng.random(),
    }


def prompt_completion(rng: Random, text: Callable[[str], str]) -> Row:
    turns: list[Row] = chat(rng, text)["messages"]
    num = rng.choice([1, 1, 2]) if len(turns) > 3 else 1
    return {"prompt": turns[:-num], "completion": turns[-num:]}


def prompt_completion_tools(rng: Random, text: Callable[[str], str]) -> Row:
    row = chat_tools(rng, text, mixed=False)
    turns: list[Row] = row["messages"]
    num = rng.randint(0, len(turns) - 1)
    return {"prompt": turns[: len(turns) - num], "completion": turns[len(turns) - num :], "tools": row["tools"]}


def prompt_and_text(rng: Random, text: Callable[[str], str]) -> Row:
    turns: list[Row] = chat(rng, text)["messages"]
    return {"prompt": turns[:-1], "completion": turns[-1]["content"]}


def preference_of_turns(rng: Random, text: Callable[[str], str]) -> Row:
    chosen, rejected = text(sentence(rng)), "<p>No.</p>"
    return {
        "conversations": [{"from": "human", "value": text(sentence(rng))}],
        "chosen": {"from": "gpt", "value": chosen},
        "rejected": {"from": "gpt", "value": rejected},
    }


def samples() -> Iterator[tuple[str, Sample]]:
    """All forms by name."""
    for make in (alpaca, alpaca_with_inputs, law, dolly, orca):
        yield make.__name__, sample(make)
    for make in (sharegpt, sharegpt_tools, firefly, xtuner, list_pairs, chat, chat_tools, swift_tools):
        yield make.__name__, sample(make)
    columns = {"question": "frage", "answer": "antwort", "context": "material"}
    yield "chat_tools_of_one_type", sample(chat_tools_of_one_type)
    yield "named", sample(named, columns=columns)
    yield "text_parts", sample(text_parts)
    yield "preference", sample(preference, preference="chosen")
    for make in (prompt_completion, prompt_completion_tools, prompt_and_text):
        yield make.__name__, sample(make)
    yield "preference_of_turns", sample(preference_of_turns, preference="chosen")
    yield "preference_turns", sample(preference_turns, preference="chosen")
