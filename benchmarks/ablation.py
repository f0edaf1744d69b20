"""What each acceleration saves: the same strategies over 5 rounds, with one technique more each time, each from cold.

Every mode is one `autodp run` in a process of its own, with a storage of its own; what is measured is what the run
writes down. Rounds 1 and 2 are those of the paper's Figure 5, the other three go on from there as an agent would.
Source: LLM-AutoDP, section 4.3 and Table 5.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.storage.scratch import scratch_folder
from actors.storage.storage import Storage
from autodp_ray.journal import Journal
from autodp_ray.result import RunResult
from autodp_ray.strategy import parse_rounds
from benchmarks.ablation_figures import Measured, compared
from benchmarks.protocol import Figures

CONFIG = Path(__file__).with_name("ablation.yaml")
ROUNDS = ";".join(
    (
        "cleaning,cleaning>generation,cleaning>optimization,cleaning>selection",
        "cleaning>optimization>selection,cleaning>generation>optimization,cleaning>optimization",
        "cleaning>generation>optimization>selection,cleaning>optimization>generation,generation>cleaning>optimization",
        "cleaning>optimization>generation>selection,cleaning>selection>optimization,cleaning>generation>selection",
        "cleaning>generation>optimization,cleaning>optimization>selection>generation,cleaning>selection>generation",
    )
)
SMOKE = (
    "dataset.limit=44",
    "splits={guide: 6, validation: 8, test: 8, min_train: 8}",
    "teams.optimization=[{name: optimize_pair, decoding: {max_tokens: 16}, max_input_chars: 300}]",
    "teams.generation=[{name: generate_question, decoding: {max_tokens: 12}}, "
    "{name: generate_answer, decoding: {max_tokens: 12}}]",
    "training.lora.num_top_layers=2",
    "training.max_length=64",
)
"""So few rows that a mode takes minutes; scores of it mean nothing, counts do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """A row of the table: what is on. Every mode has what the one before it has."""

    name: str
    settings: tuple[str, ...]


ALL_ROWS, SAMPLE = "sampling={method: random, rate: 1.0}", "sampling={method: stratified, rate: 0.2}"
NO_REUSE, PREFIXES = "cache={prefixes: false, rows: false}", "cache={prefixes: true, rows: false}"


def modes(screener: Path) -> tuple[Mode, ...]:
    """From nothing to everything."""
    off = (f"screener.folder={screener}", "screener.pts=false")
    on = (f"screener.folder={screener}", "screener.pts=true")
    return (
        Mode(name="none", settings=(ALL_ROWS, NO_REUSE)),
        Mode(name="dps", settings=(SAMPLE, *off, NO_REUSE)),
        Mode(name="pts", settings=(SAMPLE, *on, NO_REUSE)),
        Mode(name="cache", settings=(SAMPLE, *on, PREFIXES)),
        Mode(name="rows", settings=(SAMPLE, *on)),
    )


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Seconds, counts and scores of every mode, and what each technique saves of the time without any."""
    size = SMOKE if smoke else ()
    if rows is not None:
        size = (*size, f"dataset.limit={rows}")
    with scratch_folder() as folder:
        screener = _train_screener(size, folder / "screener")
        ladder = modes(screener)
        # from the cheapest on, so that what cannot work is seen before the hour that the first takes
        done = {mode.name: _measure(mode, size, folder / mode.name) for mode in reversed(ladder)}
    measured = {mode.name: done[mode.name] for mode in ladder}
    return compared(measured, [strategy for each in parse_rounds(ROUNDS) for strategy in each])


def _measure(mode: Mode, size: Sequence[str], folder: Path) -> Measured:
    """Runs a mode from cold: no cache, no Ray, no model is left of the one before."""
    settings = (*size, *mode.settings, f"storage={folder / 'storage'}")
    _autodp("run", str(CONFIG), "--run-dir", str(folder / "run"), "--strategies", ROUNDS, settings=settings)
    run = Storage.at(str(folder / "run"))
    return Measured(result=RunResult.from_json(run.read_text("result.json")), journal=Journal(run))


def _train_screener(size: Sequence[str], folder: Path) -> Path:
    _autodp("screen", "train", str(CONFIG), "--output", str(folder), settings=size)
    return folder


def _autodp(*words: str, settings: Sequence[str]) -> None:
    """The command line in a process and a Ray of its own."""
    overrides = [word for setting in settings for word in ("--set", setting)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    subprocess.run([sys.executable, "-m", "autodp_ray.cli", *words, *overrides], check=True, env=environment)
