"""Cleaning removes what scrapers plant and leaves what it must: the bars of the benchmark, on fewer pages."""

from __future__ import annotations

import pytest

from benchmarks.cleaning_fidelity import false_alarms, recall
from benchmarks.gates import load_bars
from benchmarks.scraped_pages import KINDS, scraped_pages
from operators.strip_markup import strip_text
from operators.testing.fakes import FakeTokenizer

NUM_PAGES = 220
BARS = {gate.figure: gate for gate in load_bars()["cleaning_fidelity"]}


def test_planted_markup_is_removed_from_scraped_pages_and_their_sentences_stay() -> None:
    found = recall(scraped_pages(NUM_PAGES, seed=1))
    assert found["removed"] >= BARS["scraped.removed"].at_least
    assert found["sentences_kept"] >= BARS["scraped.sentences_kept"].at_least


def test_texts_that_cleaning_must_leave_are_neither_changed_nor_dropped() -> None:
    assert false_alarms(FakeTokenizer())["changed_or_dropped"] <= BARS["kept.changed_or_dropped"].at_most


@pytest.mark.parametrize("page", scraped_pages(2 * len(KINDS), seed=2), ids=lambda page: f"{page.kind}-{page.language}")
def test_a_cleaned_page_is_clean(page) -> None:
    cleaned = strip_text(page.text)
    assert strip_text(cleaned) == cleaned
    assert any(piece in page.text for piece in page.planted)
