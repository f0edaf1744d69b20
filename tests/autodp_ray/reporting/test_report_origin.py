"""What a result was computed from, by what and where, in the report; and results that do not say it."""

from __future__ import annotations

import json

from autodp_ray.result import RunResult
from tests.autodp_ray.reporting.test_report import page_of, rich_result, text_of


def test_the_report_says_what_a_result_was_computed_from_and_where() -> None:
    text = " ".join(text_of(page_of(rich_result())).split())
    for shown in (
        "pkg:chatterbot_corpus/english",
        "bdee0e4acd6c17b9992ef5e9b6d42345",
        "splits 0, evaluation 7",
        "AMD EPYC 9554: 2 x 16 CPUs, 1 GPUs H200; 1 x 8 CPUs",
        "0123456789012345678901234567890123456789, with files changed since",
        "lora.rank8",
        "512 items, 2 against 3 trainings",
    ):
        assert shown in text


def test_test_scores_are_shown_seed_by_seed_and_a_missing_one_as_a_dash() -> None:
    rows = page_of(rich_result()).css("table.seeds tbody tr")
    assert [[cell.text() for cell in row.css("td")] for row in rows] == [
        ["1000", "−2.761", "−2.841"],
        ["1001", "−2.772", "−2.853"],
        ["1002", "–", "−2.839"],
    ]


def test_a_result_of_an_earlier_version_is_read_and_shown_without_what_it_lacks() -> None:
    later = {"baseline_by_seed", "validation_items", "confirmation", "dataset", "content_hash", "seeds", "recipe"}
    values = json.loads(rich_result().to_json())
    older = RunResult.from_json(json.dumps({k: v for k, v in values.items() if k not in later | {"hardware"}}))
    page = page_of(older)
    assert page.css_first("table.seeds") is None
    assert "Hardware" not in text_of(page)
    assert older.test_score == rich_result().test_score
