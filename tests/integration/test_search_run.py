"""A whole run on real Ray Data and Ray Train: found, confirmed or not, applied, accounted for; killed and resumed."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from actors.cluster.metrics import METRICS
from autodp_ray.result import RunResult
from tests.integration.conftest import MakeSandbox, Sandbox
from tests.integration.scripted_endpoint import Endpoint, Fault, Request, is_agent, rewrite, scripted_endpoint, sensible
from tests.integration.watching import Watched, kill_when, watch

pytestmark = pytest.mark.ray

OWN = ("seconds", "llm_calls_executed", "run_dir", "config_path", "dataset")
"""What two equal runs in different folders do not share."""
WORK = ("team_runs_executed", "trainings_executed", "llm_calls_requested", "cache_hits")
"""What a run that finds all in the cache spares; the rest of its result is that of the run that filled it."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with scripted_endpoint(sensible) as served:
        yield served


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched()


@pytest.fixture(scope="module")
def finished(make_sandbox: MakeSandbox, endpoint: Endpoint, watched: Watched) -> Sandbox:
    """One unbroken run in `run`, watched while it ran."""
    sandbox = make_sandbox(endpoint.base_url)
    watch(sandbox, "run", "config.yaml", "--run-dir", "run", seen=watched)
    return sandbox


def comparable(result: Mapping[str, object], *, without: Sequence[str] = OWN) -> dict[str, object]:
    return {name: value for name, value in result.items() if name not in without}


def test_a_run_ends_with_a_result_that_obeys_the_contract(finished: Sandbox) -> None:
    result = RunResult.from_json(json.dumps(finished.result("run")))
    assert result.status == "done"
    assert result.claim in ("confirmed", "unconfirmed", "none")
    assert result.stop_reason == "agent_best"
    assert result.agent_choice == "cleaning"
    assert [[one.strategy for one in each.strategies] for each in result.rounds] == [
        ["cleaning", "generation"],
        ["cleaning>optimization"],
    ]
    scores = {one.strategy: one.score for each in result.rounds for one in each.strategies}
    assert result.best_measured == max(scores, key=lambda name: scores[name] or float("-inf"))
    assert result.team_runs_requested == 4
    assert result.team_runs_executed == 3
    assert result.rows.quarantined == 1
    assert (finished.folder / "run" / "report.html").is_file()


def test_every_training_takes_the_same_number_of_steps(finished: Sandbox) -> None:
    trainings = [event["payload"] for event in finished.events("run") if event["name"] == "training"]
    assert {training["record"]["num_steps"] for training in trainings} == {3}  # type: ignore[index]


def test_applying_accounts_for_every_row_and_writes_the_form_that_came_in(finished: Sandbox) -> None:
    done = finished.run("apply", "run", "--strategy", "cleaning>generation", "--output", "out", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    applied = json.loads(done.stdout)
    dropped = sum(applied["dropped"].values())
    assert applied["rows_in"] == 121
    assert applied["rows_in"] == (
        applied["rows_out"] + dropped + applied["quarantined"] + applied["held_out"] - applied["generated"]
    )
    assert applied["generated"] > 0
    rows = [json.loads(line) for line in Path(applied["files"][0]).read_text().splitlines()]
    assert len(rows) == applied["rows_out"]
    assert all(set(row) == {"instruction", "input", "output"} for row in rows)
    assert not any("<div>" in str(row["output"]) for row in rows)


@pytest.mark.slow
def test_an_explanation_trains_the_strategy_without_each_part_and_the_report_shows_it(finished: Sandbox) -> None:
    tested = finished.result("run")["tested"]
    done = finished.run("explain", "run", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["strategy"] == tested
    parts = {one["part"]["name"]: one for one in found["contributions"]}
    assert {"strip_markup", "special_char_ratio", "cleaning"} <= set(parts)
    assert parts["ngram_repetition"]["changes_nothing"]
    assert not parts["strip_markup"]["changes_nothing"]
    assert "What did it" in (finished.folder / "run" / "report.html").read_text()
    num_events = len(finished.events("run"))
    assert json.loads(finished.run("explain", "run", "--json").stdout) == found
    (finished.folder / "run" / "explain.json").unlink()
    assert json.loads(finished.run("explain", "run", "--json").stdout) == found
    assert len(finished.events("run")) == num_events


def test_the_same_command_again_returns_the_finished_result(finished: Sandbox, endpoint: Endpoint) -> None:
    before = len(endpoint.requests)
    again = finished.run("run", "config.yaml", "--run-dir", "run", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == finished.result("run")
    assert len(endpoint.requests) == before


def resumed(broken: Sandbox, run_dir: str) -> dict[str, object]:
    """The result of a run that goes on after a kill; no step is done twice."""
    before = {(event["name"], event["key"]) for event in broken.events(run_dir)}
    done = broken.run("run", "--resume", run_dir)
    assert done.returncode == 0, done.stderr[-3000:]
    events = Counter((event["name"], event["key"]) for event in broken.events(run_dir))
    assert max(events.values()) == 1, "a finished step was repeated"
    assert before <= set(events)
    return broken.result(run_dir)


def test_a_fresh_run_takes_everything_from_the_cache_though_it_is_killed_and_resumed(finished: Sandbox) -> None:
    kill_when(finished, "again", "training", 4)
    again = resumed(finished, "again")
    assert again["team_runs_executed"] == again["trainings_executed"] == again["llm_calls_executed"] == 0
    without = (*OWN, *WORK)
    assert comparable(again, without=without) == comparable(finished.result("run"), without=without)


@pytest.mark.slow
@pytest.mark.parametrize(("event", "count"), [("training", 1), ("team_run", 2), ("training", 4), ("training", 8)])
def test_a_run_killed_anywhere_resumes_and_ends_as_the_unbroken_one(
    make_sandbox: MakeSandbox, endpoint: Endpoint, finished: Sandbox, event: str, count: int
) -> None:
    broken = make_sandbox(endpoint.base_url)
    kill_when(broken, "run", event, count)
    assert comparable(resumed(broken, "run")) == comparable(finished.result("run"))


@pytest.mark.slow
def test_an_llm_that_fails_in_a_team_run_fails_that_strategy_alone(make_sandbox: MakeSandbox) -> None:
    def failing(request: Request) -> str | Fault:
        if is_agent(request):
            return sensible(request)
        return Fault(status=500) if "number 3" in json.dumps(request["messages"]) else rewrite(request)

    with scripted_endpoint(failing) as served:
        sandbox = make_sandbox(served.base_url)
        done = sandbox.run("run", "config.yaml", "--run-dir", "run", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    result = RunResult.from_json(done.stdout)
    by_name = {one.strategy: one for each in result.rounds for one in each.strategies}
    assert by_name["cleaning"].status == "scored"
    assert by_name["generation"].status == "failed"
    assert by_name["generation"].score is None
    assert "500" in (by_name["generation"].error or "")
    finished = [str(event["payload"]["strategy"]) for event in sandbox.events("run") if event["name"] == "team_run"]  # type: ignore[index]
    assert "generation" not in finished


def test_a_run_listens_on_loopback_only_and_leaves_nothing_behind(finished: Sandbox, watched: Watched) -> None:
    watched.assert_on_loopback_only()
    watched.assert_gone()


def test_prometheus_would_see_every_declared_metric(finished: Sandbox, watched: Watched) -> None:
    seen = {re.sub("_(bucket|sum|count)$", "", sample.partition("{")[0]) for sample in watched.metrics}
    assert seen == {metric.exported for metric in METRICS}
    for told in (
        'operator="deduplicate"',
        'role="operators"',
        'tier="datasets"',
        'tier="completions"',
        'phase="train"',
    ):
        assert any(told in sample for sample in watched.metrics), told


BAD_REPLIES = [
    "Well, that depends on many things, does it not?",
    "我觉得先清洗数据比较好，然后再看看吧。",
    "",
    json.dumps({"reasons": "x", "strategies": ["cleaning>cleaning", "polishing", "magic>generation"]}),
    "<think>" + "let me think about it again and again " * 2500,
    json.dumps({"strategies": [["cleaning"]] * 5, "decision": 7}),
    "\ud83d\ude00{]" * 20_000,
    "###Combination[1]###\n- Data Polishing Team\n",
    json.dumps({"reasons": "stop", "decision": "best", "strategies": [], "best": "selection"}),
]


@pytest.mark.slow  # a whole run; the same is shown with fakes in tests/autodp_ray/search
def test_a_bad_agent_neither_crashes_nor_hangs_a_run(make_sandbox: MakeSandbox) -> None:
    said = itertools.cycle(BAD_REPLIES)

    def bad(request: Request) -> str:
        return next(said) if is_agent(request) else rewrite(request)

    with scripted_endpoint(bad) as served:
        sandbox = make_sandbox(served.base_url, search={"num_strategies": 1, "max_rounds": 2})
        done = sandbox.run("run", "config.yaml", "--run-dir", "run", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    result = RunResult.from_json(done.stdout)
    assert [one.source for each in result.rounds for one in each.strategies] == ["fallback", "fallback"]
    assert result.stop_reason == "max_rounds"


@pytest.mark.slow  # a whole run; the same is shown with fakes in tests/autodp_ray/search
def test_a_policy_that_draws_needs_no_agent_and_a_team_of_rules_no_model(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox("http://127.0.0.1:9/v1", search={"policy": "random", "teams": ["cleaning"]})
    done = sandbox.run("run", "config.yaml", "--run-dir", "run", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    result = RunResult.from_json(done.stdout)
    assert [one.source for each in result.rounds for one in each.strategies] == ["random"]
    assert result.stop_reason == "all_tried"
    proposals = [event for event in sandbox.events("run") if event["name"] == "proposal"]
    assert [event["key"] for event in proposals] == ["1", "2"]


def test_an_endpoint_that_does_not_answer_is_said_at_once(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox("http://127.0.0.1:9/v1")
    done = sandbox.run("run", "config.yaml", "--run-dir", "run")
    assert done.returncode == 2
    assert "http://127.0.0.1:9/v1" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "starting the models" not in done.stderr, "it is asked before any Ray is started"
