"""Errors become problems of one line, and a diagnosis says the same to people and machines."""

from __future__ import annotations

import json

from autodp_ray.doctor.check import Check, Diagnosis, attempt, ok, problem, warning
from operators.contract.errors import InputError, RunError


def test_an_error_of_ours_is_a_problem_with_its_message_in_one_line() -> None:
    def step() -> Check:
        raise InputError("no such\nfolder")

    assert attempt("storage", step) == problem("storage", "no such folder")
    assert problem("cluster", RunError("gone")).text == "gone"


def test_an_error_that_nobody_foresaw_is_a_problem_that_quotes_nothing() -> None:
    def step() -> Check:
        raise KeyError("canary-row")

    found = attempt("dataset", step)
    assert found.status == "problem"
    assert "KeyError" in found.text
    assert "canary" not in found.text


def test_warnings_are_no_problem() -> None:
    assert Diagnosis(checks=(ok("a", "x"), warning("b", "y"))).ok
    assert not Diagnosis(checks=(ok("a", "x"), problem("b", "y"))).ok


def test_people_read_a_line_for_each_check_and_the_sum() -> None:
    found = Diagnosis(checks=(ok("a", "x"), warning("b", "y"), problem("c", "z")))
    assert found.text().splitlines() == [
        "ok       a: x",
        "warning  b: y",
        "problem  c: z",
        "problems: 1, warnings: 1",
    ]


def test_machines_read_one_object() -> None:
    body = json.loads(Diagnosis(checks=(problem("c", "z"),)).to_json())
    assert body == {"ok": False, "checks": [{"name": "c", "status": "problem", "text": "z"}]}
