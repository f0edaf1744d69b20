"""Random conversations in random spellings: unchanged rows come back exactly, changed ones read as what was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.reader import read_records
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.spelling.text_boundary import split_off

Row = dict[str, Any]
ROWS_PER_DATASET = 15
ROLES = {
    "user": ("user", "human", "User", "prompter"),
    "assistant": ("assistant", "gpt", "ai", "model"),
    "system": ("system", "developer"),
    "tool": ("tool", "observation", "function", "tool_response"),
    "call": ("function_call", "tool_call"),
}
WORDS = [
    "tea",
    "<b>",
    "1.2",
    "无",
    "北京",
    "e\u0301",
    "\U0001f600",
    "{}",
    "[]",
    "null",
    "a\nb",
    '"q"',
    "\\",
    "https://x.y",
]


def _text(rng: Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 4)))


def _value(rng: Random, depth: int = 0) -> object:
    kind = rng.randint(0, 7 if depth < 2 else 4)
    if kind > 5:
        return [_value(rng, depth + 1) for _ in range(rng.randint(0, 2))]
    if kind == 5:
        return {rng.choice("abc"): _value(rng, depth + 1) for _ in range(rng.randint(0, 2))}
    return (None, True, rng.randint(-(2**60), 2**60), rng.random(), _text(rng))[kind]


def _call(rng: Random) -> Row:
    arguments: object = {rng.choice("xy"): _value(rng, 1)}
    function = {"name": rng.choice(["find", "book"]), "arguments": rng.choice([arguments, json.dumps(arguments)])}
    return rng.choice([function, {"id": "c1", "type": "function", "function": function}, {"function": function}])


def _turn(rng: Random, role: str, keys: tuple[str, str]) -> Row:
    content: object = _text(rng)
    if role == "call":
        content = rng.choice([json.dumps(_call(rng)), json.dumps([_call(rng), _call(rng)]), "no call", None])
    elif rng.random() < 0.15:
        content = [rng.choice([{"type": "text", "text": _text(rng)}, _text(rng)]) for _ in range(rng.randint(0, 3))]
    elif rng.random() < 0.1:
        content = None
    turn: Row = {keys[0]: rng.choice(ROLES[role]), keys[1]: content}
    if role == "assistant" and rng.random() < 0.3:
        turn["tool_calls"] = rng.choice([None, [], [_call(rng)], json.dumps([_call(rng)])])
        if rng.random() < 0.3:
            del turn[keys[1]]
    for key in ("name", "weight", "images", "reasoning_content", "tool_call_id"):
        if rng.random() < 0.08:
            turn[key] = _value(rng)
    return dict(sorted(turn.items())) if rng.random() < 0.2 else turn


PAIR_KEYS = [("human", "assistant"), ("input", "output"), ("user", "assistant"), ("question", "answer"), (0, 1)]


def _pairs(rng: Random) -> list[object]:
    """Questions that stand with their answers, in objects or lists."""
    question, answer = rng.choice(PAIR_KEYS)
    pairs: list[object] = []
    for _ in range(rng.randint(1, 3)):
        texts = [rng.choice([_text(rng), None]), _text(rng)]
        pair: Row = {str(question): texts[0], str(answer): texts[1]}
        if rng.random() < 0.2:
            pair = {"system": rng.choice([_text(rng), "", None]), **pair}
        if rng.random() < 0.2:
            pair["weight"] = _value(rng)
        pairs.append(texts if question == 0 else pair)
    return pairs


def _conversation(rng: Random) -> list[Any]:
    if rng.random() < 0.3:
        return _pairs(rng)
    keys = rng.choice([("role", "content"), ("from", "value")])
    roles = ["system"] * rng.randint(0, 1)
    for _ in range(rng.randint(1, 3)):
        roles += rng.choice(
            [
                ["user", "assistant"],
                ["user", "call", "tool", "assistant"],
                ["user", "assistant", "tool", "assistant"],
                ["user", "call", "call", "tool", "tool", "assistant"],
                ["user", "assistant", "assistant"],
                ["user", "user", "assistant"],
                ["assistant"],
            ]
        )
    roles = roles[: rng.randint(1, len(roles))] if rng.random() < 0.3 else roles
    return [_turn(rng, role, keys) for role in roles]


def _row(rng: Random, form: str) -> Row:
    if form == "flat":
        row: Row = {"instruction": _text(rng), "output": _text(rng)}
        for key in ("input", "system"):
            if rng.random() < 0.7:
                row[key] = rng.choice([_text(rng), "", None])
        if rng.random() < 0.5:
            row["history"] = rng.choice([None, [], [[_text(rng), _text(rng)]], _conversation(rng)])
    elif form == "prompt":
        turns = _conversation(rng)
        num = rng.randint(0, len(turns))
        row = {"prompt": turns[:num], "completion": rng.choice([turns[num:], turns[num:], _text(rng), None])}
        if len(turns) == num + 1 and rng.random() < 0.5:
            row["completion"] = turns[-1]
    else:
        row = {form: _conversation(rng)}
        if rng.random() < 0.3:
            row["system"] = rng.choice([_text(rng), "", None])
    if rng.random() < 0.5:
        row["tools"] = rng.choice([[{"name": "find"}], [{"name": "book", "strict": True}], json.dumps([{"name": "x"}])])
    return row


def _read(path: Path) -> tuple[Layout, pa.Table, list[BadRow]]:
    config = DatasetConfig(path=str(path), ids="make")
    layout = scan_layout(config)
    bad: list[BadRow] = []
    return layout, pa.concat_tables(list(read_records(config, on_quarantine=bad.append, layout=layout))), bad


def _raw(path: str | Path) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def _changed(rng: Random, text: str | None) -> str | None:
    """A text that is still there and no sentinel, changed as cleaning or a rewrite would."""
    if text is None or not text.strip() or rng.random() < 0.5:
        return text
    return rng.choice([f"new {text}", text.replace("<b>", "") + " end", "another text"])


def _datasets(cases: list[Random], forms: list[str], path: Path) -> Iterator[tuple[Random, pa.Table, Layout]]:
    """Datasets of a row for each case, without the rows that no record can be made of."""
    for start in range(0, len(cases), ROWS_PER_DATASET):
        chosen = cases[start : start + ROWS_PER_DATASET]
        form = chosen[0].choice(forms)
        question, answer = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
        first: Row = {form: [question, answer]}
        if form == "flat":
            first = {"instruction": "q", "output": "a"}
        elif form == "prompt":
            first = {"prompt": [question], "completion": chosen[0].choice([[answer], answer, "a"])}
        rows = [json.dumps(row, ensure_ascii=False) for row in (first, *(_row(rng, form) for rng in chosen))]
        path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        layout, table, bad = _read(path)
        lines = {row.line for row in bad}
        path.write_text("".join(f"{row}\n" for at, row in enumerate(rows, 1) if at not in lines), encoding="utf-8")
        yield chosen[0], table, layout


def test_unchanged_rows_come_back_exactly(cases: list[Random], tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    for _, table, layout in _datasets(cases, ["messages", "conversations", "prompt", "flat"], path):
        [written] = write_records([table], str(tmp_path / "out.jsonl"), layout=layout)
        assert [_sorted_keys(line) for line in _raw(written)] == [_sorted_keys(line) for line in _raw(path)]


def _sorted_keys(line: str) -> str:
    """A row whose top-level keys are in one order; those of its turns stay in theirs."""
    return json.dumps(dict(sorted(json.loads(line).items())))


def test_changed_conversations_read_as_they_were_written(cases: list[Random], tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    for rng, table, layout in _datasets(cases, ["messages", "conversations", "prompt"], path):
        rows = table.to_pylist()
        for row in rows:
            for turn in row["history"]:
                turn["content"] = _changed(rng, turn["content"])
            row["question"], row["answer"] = _changed(rng, row["question"]), _changed(rng, row["answer"])
        changed = pa.Table.from_pylist(rows, schema=table.schema)
        [written] = write_records([changed], str(tmp_path / "out.jsonl"), layout=layout)
        _, again, bad = _read(Path(written))
        assert bad == []
        assert _comparable(again) == _comparable(changed)
        for before, after in zip(_raw(path), _raw(written), strict=True):
            assert _keys(json.loads(before)) == _keys(json.loads(after))


def _comparable(table: pa.Table) -> list[dict[str, Any]]:
    """The conversations without what carries nothing: a part of a text that became empty is left out with its line."""
    rows: list[dict[str, Any]] = table.select(["history", "question", "answer"]).to_pylist()
    for row in rows:
        row["history"] = [
            (turn["role"], _without_blank_lines(turn["content"]), turn.get("extra")) for turn in row["history"]
        ]
        row["question"], row["answer"] = map(_without_blank_lines, (row["question"], row["answer"]))
    return rows


def _without_blank_lines(text: str | None) -> str | None:
    return text and "\n".join(line for line in text.split("\n") if line)


def _keys(row: Row) -> list[object]:
    turns = row.get("messages") or row.get("conversations") or row.get("prompt") or []
    return [sorted(row), [len(turn) if isinstance(turn, list) else list(turn) for turn in turns]]


def test_an_input_is_found_again_after_words_were_taken_out(cases: list[Random]) -> None:
    nouns = [f"{chr(97 + at % 26)}word{at}" for at in range(400)]
    for rng in cases:
        words = rng.sample(nouns, 60)
        instruction, rest = words[: rng.randint(2, 20)], words[20 : rng.randint(24, 60)]
        joined = [" ".join(instruction), " ".join(word if rng.random() < 0.8 else f"\n{word}" for word in rest)]
        dirty = " ".join(f"<i>{word}</i>" if rng.random() < 0.3 else word for word in joined[1].split(" "))
        head, tail = split_off("\n".join(joined), dirty, separator="\n") or ("", "")
        assert (head, tail.lstrip("\n")) == (joined[0], joined[1].lstrip("\n"))
