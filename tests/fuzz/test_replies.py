"""Random and damaged replies through every reader of replies: no crash, no long wait, every row accounted for."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pyarrow as pa

from actors.screening.label_prompt import labelled_records
from autodp_ray.evaluators.judge import _Verdict
from autodp_ray.search.agent.reply import ReplyError, parse_reply
from operators.contract.resources import Completion, CompletionRequest, Resources
from operators.generate_missing import GenerateAnswer, GenerateQuestion
from operators.generate_pair import GeneratePair
from operators.optimize import OptimizeAnswer, OptimizePair, OptimizeQuestion
from operators.replies.parsing import parse_object
from operators.rows.record import RECORD_SCHEMA
from operators.testing.fakes import FakeCompleter

REPLIES_PER_CASE = 7
OPERATORS = (OptimizePair(), OptimizeQuestion(), OptimizeAnswer(), GenerateAnswer(), GenerateQuestion())
WHOLE = [
    json.dumps({"question": "Why is the sky blue?", "answer": "Blue light is scattered more than red light."}),
    json.dumps({"strategies": ["cleaning", "cleaning>optimization"], "reasons": "small first"}),
    '```json\n{"answer": "天空是蓝色的。"}\n```',
    "###Combination[1]###\n- Data Cleaning Team, Data Optimization Team",
    '{"better": "first"}',
    "Question: Why?\nAnswer: So.",
    "<think>Let me see.</think>\nSure! Here is the answer: blue light is scattered.",
    "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>Blue.",
]
PIECES = [
    *(
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        ":",
        ",",
        "\\",
        "\\u",
        "\\ud83d",
        "\ud83d",
        "\ude00",
        "\x00",
        "\n",
        "\r",
        "\t",
        " ",
        "```",
    ),
    *(
        "<think>",
        "</think>",
        "◁think▷",
        "[THINK]",
        "<|im_end|>",
        "</s>",
        "<",
        ">",
        "|",
        "｜",
        "\u2060",
        "question:",
        "answer:",
    ),
    *(
        "I can't do that.",
        "抱歉，",
        "Note: ",
        "**",
        "#",
        "1.",
        "->",
        "→",
        "cleaning",
        "清洗",
        "...",
        "null",
        "NaN",
        "9" * 4400,
    ),
    *(
        "a" * 300,
        "é",
        "😀",
        "ﷺ",
        "(",
        ")",
        "“",
        "”",
        "「",
        "-",
        "e" * 9,
        "$",
        "`",
        "~~~\n",
        "{" * 170,
        "[" * 300,
        '{"a":' * 90,
    ),
]


def reply(draw: random.Random) -> str:
    """A whole reply that was cut, spliced, repeated and littered, or mere litter."""
    text = draw.choice([*WHOLE, ""])
    for _ in range(draw.randint(0, 6)):
        at = draw.randint(0, len(text))
        text = draw.choice(
            [
                text[:at] + draw.choice(PIECES) * draw.choice([1, 1, 1, 3, 40]) + text[at:],
                text[:at],
                text[at:],
                text + draw.choice(WHOLE),
                text[:at] + text[draw.randint(0, len(text)) :],
            ]
        )
    return text


def always(completion: Completion) -> Callable[[CompletionRequest], Completion]:
    return lambda request: completion


def littered(draw: random.Random, _request: CompletionRequest) -> Completion:
    return Completion(text=reply(draw))


def table(draw: random.Random) -> pa.Table:
    question = draw.choice(["Why is the sky blue?", None, "<|im_end|>why?", "天空为什么是蓝色的？"])
    answer = draw.choice(["Blue light is scattered more than red light.", None, "<think>x</think>Blue.", ""])
    return pa.table([["a"], [[]], [question], [answer], ["source"]], schema=RECORD_SCHEMA)


def test_replies_to_operators_are_taken_or_counted_as_rejected(cases: list[random.Random]) -> None:
    for draw in cases:
        for _ in range(REPLIES_PER_CASE):
            reason = draw.choice(["stop", "length", "", "max_tokens", "STOP", "content_filter"])
            completion = Completion(text=reply(draw), finish_reason=reason)
            completer, rows, operator = FakeCompleter(always(completion)), table(draw), draw.choice(OPERATORS)
            started = time.process_time()
            out = operator.build(Resources(completer=completer))(rows)
            assert time.process_time() - started < 2.0
            counts = out.counts
            assert out.table.num_rows == 1
            assert sum(counts.values()) == len(completer.requests) + sum(
                count for name, count in counts.items() if name.startswith("skipped:")
            )
            for name in ("question", "answer"):
                (out.table[name][0].as_py() or "").encode()
            if any(name.startswith("rejected:") for name in counts):
                assert out.table.equals(rows)


def test_generated_pairs_and_their_rejections_add_up(cases: list[random.Random]) -> None:
    shots = pa.table(
        [["a"], [[]], ["Why is the sky blue?"], ["Blue light is scattered."], ["source"]], schema=RECORD_SCHEMA
    )
    for draw in cases:
        completer = FakeCompleter(partial(littered, draw))
        pairs = GeneratePair(target_rows=2, max_waves=2).build(Resources(completer=completer))
        decision = pairs.decide([pairs.sketch(shots)])
        rejected = sum(count for name, count in decision.counts.items() if name.startswith("rejected:"))
        assert decision.appended is not None
        assert rejected + decision.appended.num_rows == len(completer.requests)


def test_replies_to_the_agent_and_to_judges_are_read_or_refused(cases: list[random.Random]) -> None:
    for draw in cases:
        for _ in range(REPLIES_PER_CASE):
            text = reply(draw)
            started = time.process_time()
            with suppress(ReplyError):
                read = parse_reply(text)
                assert all(read.strategies)
                read.reasons.encode()
            verdict = parse_object(text, _Verdict)
            assert verdict is None or verdict.better in ("first", "second", "tie")
            assert time.process_time() - started < 2.0


def test_label_prompts_of_any_rows_can_be_encoded(cases: list[random.Random]) -> None:
    for draw in cases:
        rows = table(draw)
        asked = labelled_records(rows, ["clean"], language="en", domain="general")["question"].to_pylist()
        assert "<|im_end|>" not in asked[0]
        asked[0].encode()
