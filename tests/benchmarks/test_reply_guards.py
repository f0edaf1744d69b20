"""The guards on replies hold their figures on the checked-in set."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.gates import judge, load_bars
from benchmarks.reply_guards import corpus, run


def test_the_set_is_large_enough_and_each_reply_stands_in_it_once() -> None:
    rows = list(corpus())
    kinds = Counter("honest" if row["kind"] == "honest" else "fault" for row in rows)
    assert min(kinds.values()) >= 300
    assert {row["language"] for row in rows} == {"en", "zh"}
    assert len({(row["question"], row["original"], row["reply"]) for row in rows}) == len(rows)


@pytest.mark.parametrize("split", ["tune", "held_out"])
def test_faults_are_caught_and_honest_replies_pass(split: str) -> None:
    figures = run()[split]
    assert isinstance(figures, dict)
    for kind, by_language in figures["recall"].items():
        for language, recall in by_language.items():
            assert recall >= 0.9, (kind, language)
    assert max(figures["false_alarms"].values()) <= 0.01


def test_the_gates_of_the_benchmark_hold() -> None:
    gates = judge(load_bars()["reply_guards"], run(), smoke=False)
    assert [gate.name for gate in gates if not gate.ok] == []
