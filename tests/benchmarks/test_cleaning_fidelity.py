"""Cleaning removes what scrapers plant and leaves what it must: the bars of the benchmark, on fewer pages."""

from __future__ import annotations

import pytest

from benchmarks.cleaning_fidelity import false_alarms, recall
from benchmarks.gates import Gate, judge, load_bars
from benchmarks.protocol import Figures
from benchmarks.scraped_pages import KINDS, ScrapedPage, scraped_pages
from operators.strip_markup import strip_text
from operators.testing.fakes import FakeTokenizer

NUM_PAGES = 220


def missed(figures: Figures) -> list[Gate]:
    """Those bars of the figures that they do not reach."""
    specs = [spec for spec in load_bars()["cleaning_fidelity"] if spec.figure.partition(".")[0] in figures]
    assert specs
    return [gate for gate in judge(specs, figures, smoke=True) if not gate.ok]


def test_planted_markup_is_removed_from_scraped_pages_and_their_sentences_stay() -> None:
    assert missed({"scraped": recall(scraped_pages(NUM_PAGES, seed=1))}) == []


def test_texts_that_cleaning_must_leave_are_neither_changed_nor_dropped() -> None:
    assert missed({"kept": false_alarms(FakeTokenizer())}) == []


@pytest.mark.parametrize("page", scraped_pages(2 * len(KINDS), seed=2), ids=lambda page: f"{page.kind}-{page.language}")
def test_a_cleaned_page_is_clean(page: ScrapedPage) -> None:
    cleaned = strip_text(page.text)
    assert strip_text(cleaned) == cleaned
    assert any(piece in page.text for piece in page.planted)
