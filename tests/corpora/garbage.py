"""A seeded maker of texts that cleaning must drop: symbol soups, and loops of many kinds."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Maker = Callable[[Random], str]

_ASCII_SYMBOLS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_SHIFT_ROW = "!@#$%^&*()_+"
_ODD_SYMBOLS = "§±¶•ªº¬¦¨´¸¤†‡◊√∂∆≈≠∞∫◆◇■□▪▫●○▲△▼▽★☆※〓▓▒░█�"
_OCR_DEBRIS = "|!lI1.,;:'`~-_^*¦¬\\/°•«»=\"<>"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ENGLISH = (
    "The clinic opens at eight in the morning.",
    "Drink plenty of water and rest for two days.",
    "I do not know the answer to this question.",
    "Please see your doctor if the pain gets worse.",
    "A balanced diet keeps the heart healthy.",
    "The results of the test were normal.",
    "He went to the market and bought some bread.",
    "It is important to take the medicine as prescribed.",
)
_OTHER = (
    "请您多休息，多喝水，按时服药。",
    "如有不适请及时就医。",
    "这个问题我不太清楚。",
    "पर्याप्त पानी पिएँ और आराम करें।",
    "போதுமான தண்ணீர் குடியுங்கள்.",
    "Пейте больше воды и отдыхайте.",
    "اشرب الكثير من الماء واسترح جيدا.",
    "水分を十分に取って休んでください。",
    "พักผ่อนให้เพียงพอและดื่มน้ำมากๆ",
    "충분히 쉬고 물을 많이 마시세요.",
)
_MISREAD = ("Пейте больше воды", "请您多喝水", "μεγάλη ποσότητα", "اشرب الماء", "पानी पिएँ", "水分を取る")


def soups(rng: Random, count: int) -> list[tuple[str, str]]:
    """(kind, text) of texts of symbols: the kinds in turn."""
    return _in_turn(_SOUPS, rng, count)


def loops(rng: Random, count: int) -> list[tuple[str, str]]:
    """(kind, text) of texts that say the same again and again: the kinds in turn."""
    return _in_turn(_LOOPS, rng, count)


def any_soup(rng: Random) -> str:
    return _SOUPS[rng.choice(sorted(_SOUPS))](rng)


def any_loop(rng: Random) -> str:
    return _LOOPS[rng.choice(sorted(_LOOPS))](rng)


def _in_turn(makers: dict[str, Maker], rng: Random, count: int) -> list[tuple[str, str]]:
    kinds = sorted(makers)
    return [(kind, makers[kind](rng)) for kind in (kinds[at % len(kinds)] for at in range(count))]


def _drawn(rng: Random, pool: str, low: int, high: int) -> str:
    return "".join(rng.choice(pool) for _ in range(rng.randint(low, high)))


def _spaced_soup(rng: Random) -> str:
    return " ".join(_drawn(rng, _ASCII_SYMBOLS, 1, 7) for _ in range(rng.randint(4, 30)))


def _soup_with_letters(rng: Random) -> str:
    return _drawn(rng, _ASCII_SYMBOLS * 2 + _LETTERS, 20, 200)


def _soup_lines(rng: Random) -> str:
    return "\n".join(_drawn(rng, _ASCII_SYMBOLS + " ", 5, 40) for _ in range(rng.randint(2, 8)))


def _words_in_soup(rng: Random) -> str:
    words = rng.choice(_ENGLISH).split()[: rng.randint(1, 4)]
    return " ".join(part for word in words for part in (word, _drawn(rng, _ASCII_SYMBOLS, 6, 14)))


def _runs(rng: Random) -> str:
    return "".join(rng.choice(_SHIFT_ROW) * rng.randint(2, 9) for _ in range(rng.randint(4, 12)))


def _marks_after_word(rng: Random) -> str:
    return rng.choice(("what", "help", "no", "怎么办", "なに")) + rng.choice("!?@#$%^&") * rng.randint(15, 60)


def _ocr_debris(rng: Random) -> str:
    pieces = [_drawn(rng, _OCR_DEBRIS, 1, 5) for _ in range(rng.randint(10, 40))]
    for _ in range(rng.randint(1, 4)):
        pieces.insert(rng.randrange(len(pieces)), _drawn(rng, _LETTERS, 1, 4))
    return " ".join(pieces)


def _misread(rng: Random) -> str:
    text = " ".join(rng.choices(_MISREAD, k=rng.randint(1, 3)))
    return "".join(bytes([byte]).decode("cp1252", errors="ignore") or chr(byte) for byte in text.encode())


_SOUPS: dict[str, Maker] = {
    "soup": lambda rng: _drawn(rng, _ASCII_SYMBOLS, 8, 120),
    "spaced_soup": _spaced_soup,
    "soup_with_letters": _soup_with_letters,
    "soup_lines": _soup_lines,
    "words_in_soup": _words_in_soup,
    "swearing": lambda rng: " ".join(_drawn(rng, "#$%^&*", 4, 12) for _ in range(rng.randint(1, 12))),
    "runs": _runs,
    "marks_after_word": _marks_after_word,
    "odd_symbols": lambda rng: _drawn(rng, _ODD_SYMBOLS, 8, 80),
    "ocr_debris": _ocr_debris,
    "misread": _misread,
    "replacement": lambda rng: rng.choice(_ENGLISH).split()[0] + " " + "�" * rng.randint(8, 50),
    "lone_rulers": lambda rng: rng.choice("-=_*#~.") * rng.randint(8, 90),
}


def _sentence(rng: Random) -> str:
    return rng.choice(_ENGLISH)


def _paragraph(rng: Random) -> str:
    return " ".join(rng.sample(_ENGLISH, rng.randint(3, 6)))


def _tail_loop(rng: Random) -> str:
    tail = " ".join(_sentence(rng).rstrip(".").split()[-rng.randint(1, 5) :])
    return " ".join([_sentence(rng), *[tail] * rng.randint(10, 40)])


def _long_unit(rng: Random) -> str:
    unit = _drawn(rng, _LETTERS, 1, 12)
    return unit * (rng.randint(60, 500) // len(unit) + 6)


def _counted(rng: Random) -> str:
    sentence, first = _sentence(rng), rng.randint(0, 3)
    return rng.choice((" ", "\n")).join(f"{first + at}. {sentence}" for at in range(rng.randint(6, 30)))


def _shuffled(rng: Random) -> str:
    chosen = rng.sample(_ENGLISH, 3)
    return " ".join(rng.choice(chosen) for _ in range(rng.randint(18, 40)))


def _with_new_start(rng: Random) -> str:
    return f"{_paragraph(rng)} " + f"{_sentence(rng)} " * rng.randint(8, 30)


def _cut_off(rng: Random) -> str:
    text = f"{_paragraph(rng)} " * rng.randint(3, 6)
    return text[: len(text) - rng.randint(1, 60)]


def _wrapped(rng: Random) -> str:
    words = (_paragraph(rng) + " ").split() * rng.randint(4, 8)
    width = rng.randint(9, 14)
    return "\n".join(" ".join(words[at : at + width]) for at in range(0, len(words), width))


def _other_script(rng: Random) -> str:
    return rng.choice(("", " ", "\n")).join([rng.choice(_OTHER)] * rng.randint(3, 20))


_LOOPS: dict[str, Maker] = {
    "word": lambda rng: " ".join([rng.choice(("the", "ha", "and", "вода", "पानी"))] * rng.randint(8, 200)),
    "phrase": lambda rng: " ".join(_sentence(rng).split()[: rng.randint(2, 5)] * rng.randint(5, 60)),
    "sentence": lambda rng: " ".join([_sentence(rng)] * rng.randint(3, 40)),
    "sentence_lines": lambda rng: "\n".join([_sentence(rng)] * rng.randint(3, 40)),
    "sentence_bullets": lambda rng: "\n".join([f"- {_sentence(rng)}"] * rng.randint(4, 20)),
    "paragraph": lambda rng: "\n\n".join([_paragraph(rng)] * rng.randint(3, 8)),
    "tail": _tail_loop,
    "letter": lambda rng: rng.choice(_LETTERS + "0哈啊") * rng.randint(60, 600),
    "long_unit": _long_unit,
    "chinese": lambda rng: rng.choice(("头痛", "多喝水", "我不知道，", "好的。", "请及时就医，")) * rng.randint(5, 60),
    "counted": _counted,
    "shuffled": _shuffled,
    "with_new_start": _with_new_start,
    "cut_off": _cut_off,
    "wrapped": _wrapped,
    "other_script": _other_script,
    "pictures": lambda rng: _drawn(rng, "😂🤣", 2, 3) * rng.randint(20, 90),
    "dialogue": lambda rng: f"A: {_sentence(rng)}\nB: {_sentence(rng)}\n" * rng.randint(4, 12),
}
