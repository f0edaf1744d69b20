"""Rows with near-copies planted among them, English or Chinese, and how well a tool finds these.

Row `at` is a function of the seed and `at` alone, so tasks on many machines make one dataset without seeing each
other's rows. Of ten rows two are copies of any earlier row with up to three small edits of the answer that leave its
meaning: a filler word more, an article or particle less, two letters that changed places. One shares half of its
sentences with an earlier row and is no copy. A row has about `ROW_BYTES` bytes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

from autodp_ray.damage import corruption_forms as forms
from benchmarks.text_rows import CHINESE_DOMAINS, DOMAINS, Pair, corpus_pairs

Language = Literal["english", "chinese"]

ROW_BYTES = 830
"""With the keys of its JSON a row has about 860."""
COPIES, HALVES = (4, 9), (7,)
"""Which of ten rows are copies, and which share half of their sentences."""
MAX_SENTENCES = 40
SENTENCE_CHARS = {"english": (20, 160), "chinese": (6, 40)}
"""Fewest and most; of long ones two rows could by chance have nearly all in common."""
EDITS = (1, 3)
MARKUP_EVERY, LOOP_EVERY = 6, 30
INSTRUCTION_WORDS, OWN_WORDS = 90, 25

_FILLERS = {
    "english": ("really", "actually", "perhaps", "simply", "indeed"),
    "chinese": ("其实", "确实", "当然", "的确"),
}
_LOST = {"english": ("the", "a", "an"), "chinese": ("的", "了", "着")}
_LONG_WORD = 8
_CHINESE_MARKS = "。！？；，,"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRow:
    """A row and the number of the row that it is a copy of; its own where it is none."""

    question: str
    answer: str
    group: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How the rows that a tool dropped compare with the copies that were planted."""

    precision: float
    recall: float
    f1: float


def labelled_row(at: int, *, language: Language, seed: int = 0) -> LabelledRow:
    """Row number `at` of the endless dataset of that seed."""
    if at % 10 not in COPIES:
        return LabelledRow(question=_question(at, language, seed), answer=_answer(at, language, seed), group=at)
    rng = _rng("copy", at, seed)
    of = _earlier(at, rng)
    answer = _answer(of, language, seed)
    for _ in range(rng.randint(*EDITS)):
        answer = _edited(answer, language, rng)
    return LabelledRow(question=_question(of, language, seed), answer=answer, group=of)


def damaged_row(at: int, *, language: Language, seed: int = 0) -> LabelledRow:
    """The same row; a sixth of them are scraped pages, and a thirtieth end in a loop."""
    row, rng = labelled_row(at, language=language, seed=seed), _rng("damage", at, seed)
    if at % MARKUP_EVERY == MARKUP_EVERY - 1:
        return LabelledRow(question=row.question, answer=forms.add_markup(row.answer, rng), group=row.group)
    if at % LOOP_EVERY == 0:
        return LabelledRow(question=row.question, answer=forms.loop_text(row.answer, rng), group=row.group)
    return row


def boilerplate_rows(rows: int, *, language: Language, seed: int = 0) -> list[Pair]:
    """Rows under one long instruction with few words of their own, drawn at random: no copies."""
    rng = _rng("boilerplate", 0, seed)
    words = _words(language)
    separator = " " if language == "english" else ""
    instruction = separator.join(rng.choices(words, k=INSTRUCTION_WORDS))
    found = []
    for _ in range(rows):
        own = rng.sample(words, k=OWN_WORDS)
        question, answer = own[: OWN_WORDS // 2], own[OWN_WORDS // 2 :]
        found.append((f"{instruction}\n{separator.join(question)}", separator.join(answer)))
    return found


def scores(kept: Iterable[int], groups: Sequence[int]) -> Scores:
    """One row of each group is to be kept, whichever; `kept` are row numbers, `groups` the label of every row."""
    sizes = Counter(groups)
    num_kept = Counter(groups[row] for row in kept)
    dropped = {group: size - num_kept[group] for group, size in sizes.items()}
    num_right = sum(min(dropped[group], size - 1) for group, size in sizes.items())
    num_dropped, num_due = sum(dropped.values()), len(groups) - len(sizes)
    return Scores(
        precision=num_right / num_dropped if num_dropped else 1.0,
        recall=num_right / num_due if num_due else 1.0,
        f1=2 * num_right / (num_dropped + num_due) if num_dropped + num_due else 1.0,
    )


def write_rows(path: Path, pairs: Iterable[Pair]) -> int:
    """The pairs as JSON lines; the bytes written."""
    with path.open("w", encoding="utf-8") as file:
        for question, answer in pairs:
            file.write(json.dumps({"question": question, "answer": answer}, ensure_ascii=False) + "\n")
    return path.stat().st_size


def _question(at: int, language: Language, seed: int) -> str:
    return _rng("question", at, seed).choice(_corpus(language)[0])


def _answer(at: int, language: Language, seed: int) -> str:
    return (" " if language == "english" else "").join(_sentences(at, language, seed))


def _sentences(at: int, language: Language, seed: int) -> list[str]:
    rng = _rng("answer", at, seed)
    answers = _corpus(language)[1]
    found: list[str] = []
    if at % 10 in HALVES:
        shared = _sentences(_earlier(at, rng), language, seed)
        found = shared[: len(shared) // 2]
    size = sum(len(one.encode()) for one in found)
    for one in rng.sample(answers, k=MAX_SENTENCES):
        if size >= ROW_BYTES:
            break
        found.append(one)
        size += len(one.encode()) + 1
    return found


def _earlier(at: int, rng: Random) -> int:
    """A row before `at` that is neither a copy nor shares its sentences."""
    return 10 * rng.randrange(at // 10 + 1) + rng.randrange(min(*COPIES, *HALVES))


def _edited(text: str, language: Language, rng: Random) -> str:
    separator = " " if language == "english" else ""
    pieces = text.split(" ") if language == "english" else list(text)
    edit = rng.choice(("filler", "lost", "letters"))
    lost = [at for at, piece in enumerate(pieces) if piece in _LOST[language]]
    swaps = [(at, place) for at, piece in enumerate(pieces) for place in _swaps(piece)]
    if edit == "lost" and lost:
        del pieces[rng.choice(lost)]
    elif edit == "letters" and swaps:
        at, place = rng.choice(swaps)
        word = pieces[at]
        pieces[at] = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    else:
        starts = [at for at, before in enumerate(["", *pieces[:-1]]) if separator or before in _CHINESE_MARKS]
        pieces.insert(rng.choice(starts), rng.choice(_FILLERS[language]))
    return separator.join(pieces)


def _swaps(word: str) -> list[int]:
    """Where two different letters inside a long lower-case word stand beside each other."""
    if len(word) < _LONG_WORD or not word.isascii() or not word.isalpha() or not word.islower():
        return []
    return [place for place in range(1, len(word) - 2) if word[place] != word[place + 1]]


@cache
def _corpus(language: Language) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Questions; and answers of some length without code, each a sentence."""
    pairs = corpus_pairs(DOMAINS if language == "english" else CHINESE_DOMAINS, language=language)
    least, most = SENTENCE_CHARS[language]
    answers = dict.fromkeys(" ".join(answer.split()) for _, answer in pairs if "`" not in answer)
    sentences = [answer for answer in answers if least <= len(answer) <= most]
    end = "." if language == "english" else "。"
    ended = tuple(one if one[-1] in ".!?。！？" else one + end for one in sentences)
    return tuple(question for question, _ in pairs), ended


@cache
def _words(language: Language) -> tuple[str, ...]:
    """Distinct words of the corpus; of Chinese, clauses of two to four characters."""
    answers = _corpus(language)[1]
    if language == "english":
        found = [word for answer in answers for word in re.findall(r"\b[a-z]{4,}\b", answer)]
    else:
        found = re.findall("[\u4e00-\u9fff]{2,4}", " ".join(answers))
    return tuple(dict.fromkeys(found))


def _rng(use: str, at: int, seed: int) -> Random:
    return Random(f"{use} {seed} {at}")
