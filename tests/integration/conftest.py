"""Real runs of the command line on small data: a tiny model to tune, a scripted endpoint to ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

WORDS = ("doctor", "fever", "water", "sleep", "tablet", "morning", "pain", "rest", "salt", "sugar", "heart", "lung")


def write_dataset(path: Path, *, num_rows: int = 120) -> Path:
    """Distinct Alpaca rows, some with markup, with no answer or one of signs alone, and a line that is no JSON."""
    lines = []
    for number in range(num_rows):
        first, second, third = (WORDS[(number * step + step) % len(WORDS)] for step in (1, 3, 7))
        answer = f"For {first} and {second} number {number}, take {third} with care and ask again in {number + 2} days."
        if number % 5 == 0:
            answer = f"<div><p>{answer}</p><br/>&nbsp;</div>"
        row = {
            "instruction": f"What helps against {first} {number} when {second} is short?",
            "input": "",
            "output": answer,
        }
        if number % 11 == 3:
            row["output"] = ""
        if number % 17 == 1:
            row["output"] = f"{number} " + "$% #@ &*! " * 12
        lines.append(json.dumps(row))
    lines.insert(7, "{this is no JSON")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


SOON = {"RAY_metrics_report_interval_ms": "1000"}
"""Ray's own interval of ten seconds is longer than many a process of these runs lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A folder with a dataset, a config and the command line to run on them."""

    folder: Path
    config: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "autodp_ray.cli", *arguments]

    def environment(self) -> dict[str, str]:
        names = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        own_code = {"PYTHONPATH": str(Path(__file__).parents[2])}  # and not that of another checkout
        return names | own_code | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", **SOON}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def result(self, run_dir: str) -> dict[str, object]:
        body = json.loads((self.folder / run_dir / "result.json").read_text())
        assert isinstance(body, dict)
        return body

    def events(self, run_dir: str) -> list[dict[str, object]]:
        files = sorted((self.folder / run_dir / "journal").glob("[0-9]*.json"))
        return [json.loads(file.read_text()) for file in files]


MakeSandbox = Callable[..., Sandbox]


@pytest.fixture(scope="session")
def make_sandbox(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> MakeSandbox:
    """Makes a sandbox whose chat models answer at `base_url`."""

    def make(base_url: str, **overrides: Mapping[str, object]) -> Sandbox:
        folder = tmp_path_factory.mktemp("sandbox")
        data = write_dataset(folder / "data.jsonl")
        chat = {
            "model": "scripted",
            "engine": "endpoint",
            "base_url": base_url,
            "revision": "1",
            "max_retries": 1,
            "timeout_s": 5,
        }
        settings: dict[str, object] = {
            "dataset": {"path": str(data), "language": "en"},
            "splits": {"guide": 4, "validation": 12, "test": 16, "min_train": 20},
            "sampling": {"method": "random", "rate": 0.5},
            "models": {"agent": chat, "operators": chat, "tuned": {"model": str(tiny_model)}},
            # The scripted agent stops after two rounds, whatever a model of random weights scores.
            "search": {"policy": {"name": "agent", "trust_stop": True}, "num_strategies": 2, "max_rounds": 3},
            "training": {
                "lora": {"rank": 2},
                "learning_rate": 1e-3,
                "batch_size": 8,
                "budget": "steps",
                "steps": 3,
                "max_length": 96,
            },
            "evaluation": {"bootstrap_samples": 200},
            "pool": {"num_cpus_per_worker": 0.5},
            **overrides,
        }
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return Sandbox(folder=folder, config=config)

    return make
