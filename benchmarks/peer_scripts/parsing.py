"""The limit: parsing the file, and hashing its bytes once, as fast as one process does either."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.json as pj
import xxhash

from benchmarks.peer_scripts.measured import cpu_s


def seconds(step: Callable[[], object], runs: int) -> list[float]:
    """Processor seconds of every run."""
    found = []
    for _ in range(runs):
        before = cpu_s()
        step()
        found.append(cpu_s() - before)
    return found


def main(given: Path, answer: Path) -> None:
    settings = json.loads(given.read_text(encoding="utf-8"))
    content, runs = Path(settings["rows"]).read_bytes(), settings["runs"]
    options = pj.ReadOptions(use_threads=False, block_size=1 << 24)
    parsed = seconds(lambda: pj.read_json(settings["rows"], read_options=options), runs)
    hashed = seconds(lambda: xxhash.xxh3_64_intdigest(content), runs)
    answer.write_text(json.dumps({"parse_s": parsed, "hash_s": hashed}), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
