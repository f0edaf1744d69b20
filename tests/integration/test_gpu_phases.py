"""Sixteen simulated GPUs through search, judging and tuning: nothing starves or waits for ever, all is given back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ray]

PATIENT = {
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",
    "HF_HUB_OFFLINE": "1",
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
"""Three nodes start on one machine; a thread of Serve that outlives them finds no other Ray there."""


def slots(lines: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(line["node"], gpu) for line in lines for gpu in line["gpus"]]


def table(lines: list[dict[str, Any]]) -> str:
    """Who held what when, in seconds from the first."""
    began = min(line["since"] for line in lines)
    rows = [f"{'seconds':>15}  {'who':<11} node   GPUs"]
    for line in sorted(lines, key=lambda line: (line["since"], line["who"])):
        until = "" if line["until"] is None else f"{line['until'] - began:.1f}"
        gpus = ",".join(map(str, line["gpus"]))
        rows.append(f"{line['since'] - began:7.1f} {until:>7}  {line['who']:<11} {line['node']} {gpus}")
    return "\n".join(rows)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A line for each worker that held GPUs; printed as a table."""
    folder = tmp_path_factory.mktemp("gpus")
    command = [sys.executable, "-m", "tests.integration.gpu_phases_driver", str(folder)]
    root = Path(__file__).parents[2]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        command,
        cwd=root,
        env=environment | PATIENT | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in (folder / "held.jsonl").read_text().splitlines()]
    ended = {(line["who"], line["pid"], line["since"]): line for line in lines}  # the last of each is the whole one
    print(table(list(ended.values())))
    return list(ended.values())


def of(held: list[dict[str, Any]], who: str) -> list[dict[str, Any]]:
    return [line for line in held if line["who"] == who]


def test_each_phase_holds_what_the_plan_says(held: list[dict[str, Any]]) -> None:
    assert [len(line["gpus"]) for line in of(held, "chat model")] == [4, 4]
    assert [len(line["gpus"]) for line in of(held, "trainers")] == [1] * 4
    assert {len(line["gpus"]) for line in of(held, "gradients")} == {1}
    assert len({line["pid"] for line in of(held, "gradients")}) <= 4


def test_no_gpu_is_held_by_two_at_one_time(held: list[dict[str, Any]]) -> None:
    searching = of(held, "chat model") + of(held, "trainers")
    assert len(set(slots(searching))) == len(slots(searching)) == 12
    trainers = slots(of(held, "trainers"))
    assert not set(trainers) & set(slots(of(held, "gradients")))


def test_gradients_end_while_trainers_and_chat_model_hold_theirs(held: list[dict[str, Any]]) -> None:
    assert len(of(held, "gradients")) == 12, "every part had its turn"
    last = max(line["until"] for line in of(held, "gradients"))
    assert all(line["until"] > last for line in of(held, "trainers"))


def test_the_tuning_has_all_sixteen_once_the_search_has_given_them_back(held: list[dict[str, Any]]) -> None:
    tuning = of(held, "tuning")
    assert len(set(slots(tuning))) == len(tuning) == 16
    assert min(line["since"] for line in tuning) > max(line["until"] for line in of(held, "trainers"))
    assert max(line["since"] for line in tuning) < min(line["until"] for line in tuning), "all at one time"
