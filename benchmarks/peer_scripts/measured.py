"""What all scripts share: the settings that they are given, the rows that they read, and how their work is measured.

Reading, imports and what is loaded at first use are no part of the work. Standard library alone.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Row = tuple[str, str]
Work = Callable[[Sequence[Row]], Sequence[int]]
"""Question and answer of every row to the numbers of the rows that stay."""

WARM_ROWS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """IN.json."""

    rows: str
    """A file of JSON lines with `question` and `answer`."""
    language: str
    runs: int
    long_s: float
    """Work that takes longer is not repeated."""
    threshold: float
    num_perm: int
    max_special_frac: float
    max_repeated_frac: float
    max_tokens: int
    tokenizer: str
    """A folder."""
    scratch: str
    """A folder for what a library must write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """OUT.json: processor seconds of every run with those of child processes, and the peak memory of the process."""

    seconds: Sequence[float]
    kept: Sequence[int]
    peak_bytes: int


def main(build: Callable[[Settings], Work]) -> None:
    """Measures what `build` returns on the rows of IN.json and writes OUT.json."""
    given, answer = map(Path, sys.argv[1:])
    settings = Settings(**json.loads(given.read_text(encoding="utf-8")))
    rows = read_rows(settings.rows)
    work = build(settings)
    work(rows[:WARM_ROWS])
    seconds: list[float] = []
    kept: Sequence[int] = ()
    started = time.monotonic()
    while len(seconds) < settings.runs and (not seconds or time.monotonic() - started < settings.long_s):
        before = cpu_s()
        kept = work(rows)
        seconds.append(cpu_s() - before)
    measured = Measured(seconds=seconds, kept=[int(row) for row in kept], peak_bytes=peak_bytes())
    answer.write_text(json.dumps(asdict(measured)), encoding="utf-8")


def read_rows(path: str) -> list[Row]:
    """The rows of a file."""
    with open(path, encoding="utf-8") as file:
        return [(row["question"], row["answer"]) for row in map(json.loads, file)]


def text_of(row: Row) -> str:
    """A row as one text."""
    return "\n".join(row)


def cpu_s() -> float:
    """Processor seconds of this process and of its children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_bytes() -> int:
    """The largest resident memory of this program so far; `ru_maxrss` begins with that of the process before it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) * 1024
