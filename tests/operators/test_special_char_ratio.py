"""`special_char_ratio` drops symbol noise and leaves ordinary writing in any script alone."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from operators.contract.resources import Resources
from operators.special_char_ratio import SpecialCharRatio
from tests.operators.row_tables import Records

ORDINARY = [
    "Hi :)",
    "您好，感谢您的咨询（谢谢）！“多喝水”，好吗？",
    "**Bold** and *italic*:\n- one\n- two (see [3], p. 4-5)",
    "5 + 3 = 8, so 8 - 3 = 5.",
    "```\nfor x in items:\n    print(x[0])\n```",
    "Größe, naïve, हिन्दी में।",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_passes(records: Records, text: str) -> None:
    assert SpecialCharRatio().build(Resources())(records([(text, text)])).table.num_rows == 1


@pytest.mark.parametrize(
    "text", ["@@@###$$$%%%^^^ what!!!!!!!!!!", "!!!!!!", "★★★★★☆☆☆", "？？？？？？？？", "a~#~|~b^&*_+=|||"]
)
def test_symbol_noise_is_dropped_under_its_reason(records: Records, text: str) -> None:
    kept = SpecialCharRatio().build(Resources())(records([("Why?", text), (text, None), ("Why?", None)]))
    assert kept.table["id"].to_pylist() == ["r0002"]
    assert kept.counts == {
        "dropped:special_char_ratio_above_max:answer": 1,
        "dropped:special_char_ratio_above_max:question": 1,
    }


@pytest.mark.parametrize(
    "text",
    [
        "| a | b |\n|---|---|\n| x | y |\n| z | w |",
        "\\[ \\int_0^1 x^2\\,dx = \\frac{1}{3} \\]",
        "^(?:\\d{1,3}\\.){3}\\d{1,3}$",
        "src/\n├── a.py\n└── b.py",
        "A -> B -> C -> D",
        "c__t, d__g, b__d",
        "Soup\n==========\nRice .......... 4",
        "🎉🥳🎂",
        "⠓⠑⠇⠇⠕",
        "... --- ... / .... ..",
        "♩ ♪ ♫ ♬",
        "$ € £ ¥",
        " /\\_/\\\n( o.o )\n > ^ <",
        "5 . . | . 7 .\n. 3 . | 9 . .\n. . 1 | . . 4",
        "*/5 * * * *",
        "===",
        ":-)",
    ],
)
def test_symbols_that_lay_out_or_mean_something_pass(records: Records, text: str) -> None:
    assert SpecialCharRatio().build(Resources())(records([(text, text)])).table.num_rows == 1


@pytest.mark.parametrize(
    "text",
    [
        "buy ###***$$$ now %%%^^^&&& !!!",
        "help^^^^^^^^^^^^^^^^^^^^^^^^",
        "Ð¿Ð¸Ð¹ Ð²Ð¾Ð´Ñƒ",
        "it ������������",
        "|l .' ~-_ !I ;: ^' `~ «| =_ \\; l| .,' *~ -' |: ,_ a",
        "------------------------",
        "$#%^ *&^% $#@! ^&*# @!$%",
    ],
)
def test_noise_in_the_guise_of_a_notation_is_dropped(records: Records, text: str) -> None:
    assert SpecialCharRatio().build(Resources())(records([("Why?", text)])).table.num_rows == 0


def test_the_lower_bound_drops_text_without_symbols(records: Records) -> None:
    kept = SpecialCharRatio(min_ratio=0.1, max_ratio=1).build(Resources())(records([("a + b", None), ("a b", None)]))
    assert kept.table["id"].to_pylist() == ["r0000"]
    assert kept.counts == {"dropped:special_char_ratio_below_min:question": 1}


def test_swapped_bounds_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"min_ratio 0\.9 is above max_ratio 0\.1"):
        SpecialCharRatio(min_ratio=0.9, max_ratio=0.1)
