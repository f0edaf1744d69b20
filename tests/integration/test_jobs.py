"""Jobs of `ray job submit` on one cluster, beside each other and a run that somebody watches.

They share the strategy cache and the chat model's application. None takes either from the others. One that is stopped
goes on when it is submitted again, on the same cluster or, with the storage moved, on another one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
from ray import serve

from tests.integration.conftest import MakeSandbox, Sandbox
from tests.integration.several_nodes import OTHER_HEAD, Nodes, several_nodes

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]

STRATEGIES = "cleaning,cleaning>generation,cleaning>selection,optimization"
ENDS_WITHIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster and a sandbox whose folder all of its nodes see."""

    nodes: Nodes
    sandbox: Sandbox

    def submit(self, *arguments: str, job: str | None = None) -> subprocess.Popen[str]:
        """`ray job submit`, which shows the job's log and ends with it; `job` is a name for it."""
        names = ("PYTHONPATH", "HF_HUB_OFFLINE")
        variables = {name: self.sandbox.environment()[name] for name in names} | {"AUTODP_SHARED_STORAGE": "1"}
        named = [] if job is None else ["--submission-id", job]
        options = [*named, "--runtime-env-json", json.dumps({"env_vars": variables}), "--"]
        return self._started([*self._job("submit"), *options, *self.sandbox.command(*arguments)])

    def stop(self, job: str) -> None:
        """`ray job stop`, which waits until the job has stopped."""
        said, _ = self._started([*self._job("stop"), job]).communicate(timeout=ENDS_WITHIN_S)
        assert f"Job '{job}' was stopped" in said, said

    def _job(self, name: str) -> list[str]:
        return [str(Path(sys.executable).with_name("ray")), "job", name, "--address", self.nodes.job_server]

    def _environment(self) -> dict[str, str]:
        return self.sandbox.environment() | {"RAY_ADDRESS": self.nodes.address, "AUTODP_SHARED_STORAGE": "1"}

    def interactive(self, *arguments: str) -> subprocess.Popen[str]:
        """The same on a node of the cluster."""
        return self._started(self.sandbox.command(*arguments))

    def _started(self, command: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.sandbox.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, name: str) -> tuple[str, ...]:
        """The arguments of a run of that name; a job has no folder of its own, so all paths are absolute."""
        folder = self.sandbox.folder
        places = ("--run-dir", f"{folder}/{name}", "--set", f"storage={folder}/shared")
        return ("run", str(self.sandbox.config), *places, "--strategies", STRATEGIES)

    def executed(self, runs: Sequence[str], event: str) -> Counter[str]:
        """Keys of what the runs did themselves."""
        events = [each for run in runs for each in self.sandbox.events(run) if each["name"] == event]
        return Counter(str(each["key"]) for each in events if each["payload"]["executed"])  # type: ignore[index]


def end_well(running: subprocess.Popen[str]) -> None:
    said, _ = running.communicate(timeout=ENDS_WITHIN_S)
    assert running.returncode == 0, said[-4000:]


def stopped(site: Site, run: str, *, job: str, event: str, count: int) -> list[dict[str, object]]:
    """The journal of a run that is submitted, and stopped as soon as it holds so many events of that name."""
    submitted = site.submit(*site.run(run), job=job)
    deadline = time.monotonic() + ENDS_WITHIN_S
    while len(list((site.sandbox.folder / run / "journal").glob(f"[0-9]*-{event}.json"))) < count:
        assert submitted.poll() is None, submitted.communicate()[0][-4000:]
        assert time.monotonic() < deadline, f"there is no {event} number {count}"
        time.sleep(0.05)
    site.stop(job)
    submitted.communicate(timeout=ENDS_WITHIN_S)
    assert site.sandbox.result(run)["status"] in ("interrupted", "running")
    return site.sandbox.events(run)


def resumed(site: Site, run: str) -> list[dict[str, object]]:
    """The journal of a run that is submitted again and ends well; no step is in it twice."""
    end_well(site.submit("run", "--resume", f"{site.sandbox.folder}/{run}"))
    events = site.sandbox.events(run)
    assert max(Counter((event["name"], event["key"]) for event in events).values()) == 1
    return events


def found(site: Site, run: str) -> dict[str, object]:
    """What a run has found, whoever did the work."""
    names = ("status", "team_runs_requested", "trainings_requested", "best_measured", "best_score", "test_ci95")
    result = site.sandbox.result(run)
    return {name: result[name] for name in names}


@pytest.fixture(scope="module")
def make_chatting(make_sandbox: MakeSandbox, tiny_model: Path) -> Callable[[], Sandbox]:
    """Makes sandboxes whose chat model is a replica on the cluster."""
    chat = {"model": str(tiny_model), "max_model_len": 512, "retry_for_s": ENDS_WITHIN_S}
    models = {"agent": chat, "operators": chat, "tuned": {"model": str(tiny_model)}}
    return lambda: make_sandbox("", models=models)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with several_nodes(takes_jobs=True) as cluster:
        yield cluster


RUNS = ("one", "two", "watched")


@pytest.fixture(scope="module")
def together(make_chatting: Callable[[], Sandbox], nodes: Nodes) -> Site:
    """Three runs of one config at the same moment, two of them jobs."""
    site = Site(nodes, make_chatting())
    one, two, watched = (site.run(name) for name in RUNS)
    for running in [site.submit(*one), site.submit(*two), site.interactive(*watched)]:
        end_well(running)
    return site


def left_behind() -> set[str]:
    """Applications on Serve, and actors of ours that watch over them."""
    named = {actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)}
    return set(serve.status().applications) | {
        name for name in named if name.startswith(("autodp-serve", "autodp-guard"))
    }


def test_two_jobs_and_a_run_beside_them_share_all_work_and_leave_nothing(together: Site) -> None:
    first, *others = (found(together, run) for run in RUNS)
    assert others == [first, first]
    assert max(together.executed(RUNS, "team_run").values()) == 1
    assert max(together.executed(RUNS, "training").values()) == 1
    assert together.nodes.ask(left_behind) == set()


def test_a_job_that_is_stopped_goes_on_when_it_is_submitted_again_and_repeats_nothing(
    together: Site, make_chatting: Callable[[], Sandbox]
) -> None:
    site = Site(together.nodes, make_chatting())
    before = stopped(site, "run", job="stopped", event="training", count=2)
    after = resumed(site, "run")
    assert after[: len(before)] == before
    assert found(site, "run") == found(together, "one")
    assert site.nodes.ask(left_behind) == set()


def test_a_run_whose_storage_is_moved_goes_on_with_its_cache_as_a_job_of_another_head(
    together: Site, make_chatting: Callable[[], Sandbox], tmp_path: Path
) -> None:
    site = Site(together.nodes, make_chatting())
    before = stopped(site, "run", job="moved", event="team_run", count=1)
    old = site.sandbox.folder
    moved = Sandbox(folder=old.rename(tmp_path / "moved"), config=tmp_path / "moved" / "config.yaml")
    with several_nodes(takes_jobs=True, head=OTHER_HEAD) as others:
        site = Site(others, moved)
        after = resumed(site, "run")
        assert others.ask(left_behind) == set()
    assert after[: len(before)] == before
    assert found(site, "run") == found(together, "one")
    assert not old.exists()
