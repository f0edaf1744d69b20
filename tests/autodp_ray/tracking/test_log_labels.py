"""Lines of a JSON log say of which run and strategy they are, whatever thread writes them."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from autodp_ray.cli.output import LogFormat, log_to_stderr
from autodp_ray.progress import JsonEvents
from autodp_ray.tracking.log_labels import lines_of_run, lines_of_strategy

log = logging.getLogger("autodp_ray.test_log_labels")


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """A handler that writes to a test's standard error goes with the test."""
    loggers = [logging.getLogger(name) for name in ("operators", "actors", "autodp_ray")]
    before = [(each, each.handlers, each.level) for each in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers = handlers
        logger.setLevel(level)


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_threads_share_the_run_and_each_has_a_strategy_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(verbose=True, log_format=LogFormat.JSON)
    both_inside = threading.Barrier(2)

    def work(strategy: str) -> None:
        with lines_of_strategy(strategy):
            both_inside.wait(timeout=10)
            log.info("at work on %s", strategy)

    with lines_of_run("r1"):
        threads = [threading.Thread(target=work, args=(name,)) for name in ("cleaning", "generation")]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        log.warning("all done")
    log.info("after the run")
    found = lines(capsys.readouterr().err)
    assert {(one["text"], one.get("run_id"), one.get("strategy")) for one in found} == {
        ("at work on cleaning", "r1", "cleaning"),
        ("at work on generation", "r1", "generation"),
        ("all done", "r1", None),
        ("after the run", None, None),
    }
    assert all(str(one["time"]).endswith("+00:00") for one in found)


def test_events_name_their_run_and_keep_their_own_strategy() -> None:
    stream = io.StringIO()
    with lines_of_run("r1"), lines_of_strategy("cleaning"):
        JsonEvents(stream).phase("processing", strategy="generation")
        JsonEvents(stream).note("half done")
    first, second = lines(stream.getvalue())
    assert (first["run_id"], first["strategy"]) == ("r1", "generation")
    assert (second["run_id"], second["strategy"]) == ("r1", "cleaning")
