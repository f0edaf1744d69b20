"""Files of every format, mutated byte by byte: reading ends, in rows, in quarantined rows or in one clear error."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.reader import read_records
from operators.contract.errors import InputError

CANARY = "zqcanaryzq"
FORMATS = ("jsonl", "json", "csv", "parquet", "arrow")
WORDS = ("how", "多少", 'a "quoted" word', "x, y", "line\nbreak", "é", "🙂", "{", "[", "\\", "\t", "")


def rows_of(rng: random.Random) -> list[dict[str, str]]:
    def text() -> str:
        return f"{rng.choice(WORDS)} {CANARY} {rng.choice(WORDS)}"

    return [{"question": text(), "answer": text(), "note": text()} for _ in range(rng.randint(1, 30))]


def content_of(rows: list[dict[str, str]], kind: str) -> bytes:
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if kind == "json":
        return json.dumps(rows, ensure_ascii=False, indent=1).encode()
    if kind == "csv":
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue().encode()
    table, sink = pa.Table.from_pylist(rows), pa.BufferOutputStream()
    if kind == "parquet":
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def mutated(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        at, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        match rng.randrange(5):
            case 0:
                data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[min(end, at + rng.randint(1, 40)) :]
            case 2:
                data = data[:at] + rng.choice([b'"', b"\n", b"\r", b"\x00", b"{", b"}]", b",", b"\xff"]) + data[at:]
            case 3:
                data = data[:end] + data[at:]
            case _:
                data = data[:end]
        data = data or b" "
    return data


def read_all(path: Path) -> tuple[int, list[BadRow]]:
    bad: list[BadRow] = []
    config = DatasetConfig(path=str(path))
    layout = scan_layout(config)
    return sum(table.num_rows for table in read_records(config, on_quarantine=bad.append, layout=layout)), bad


def what_is_said(path: Path) -> str:
    """The error, or the reasons of the rows that are set aside."""
    try:
        return " ".join({row.reason for row in read_all(path)[1]})
    except InputError as error:
        return str(error)


def test_mutated_files_end_in_rows_or_in_a_clear_error_that_quotes_none(
    cases: list[random.Random], tmp_path: Path
) -> None:
    for number, rng in enumerate(cases):
        kind = rng.choice(FORMATS)
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(mutated(content_of(rows_of(rng), kind), rng))
        said = what_is_said(path)
        assert CANARY not in said, f"case {number}: {said}"
        assert len(said) < 2000, f"case {number}"
        path.unlink()


def test_each_broken_line_is_one_counted_loss(cases: list[random.Random], tmp_path: Path) -> None:
    for number, rng in enumerate(cases):
        rows = [{"question": f"q{at}", "answer": f"a{at} {CANARY}"} for at in range(rng.randint(4, 60))]
        kind = rng.choice(["jsonl", "json", "csv"])
        broken = set(rng.sample(range(0, len(rows), 2), rng.randint(1, len(rows) // 4)))  # a good line after each
        lines = [_broken_line(row, kind, rng) if at in broken else _line(row, kind) for at, row in enumerate(rows)]
        ends = {"jsonl": ("", "\n", "\n"), "json": ("[\n", ",\n", "\n]"), "csv": ("question,answer\n", "\n", "\n")}
        start, between, end = ends[kind]
        path = tmp_path / f"{number}.{kind}"
        path.write_text(start + between.join(lines) + end, "utf-8")
        num_rows, bad = read_all(path)
        assert (num_rows, len(bad)) == (len(rows) - len(broken), len(broken)), f"case {number}: {kind}"
        path.unlink()


def _line(row: dict[str, str], kind: str) -> str:
    return f"{row['question']},{row['answer']}" if kind == "csv" else json.dumps(row)


def _broken_line(row: dict[str, str], kind: str, rng: random.Random) -> str:
    if kind == "csv":
        question, answer = row.values()
        return rng.choice([f'{question},"{answer}', f"{question},{answer},more", f'"{question}"x,{answer}', question])
    line = json.dumps(row)
    return rng.choice([line.replace(":", "", 1), line.replace('"a', '"\t', 1), line.replace('", "', '", ,"', 1)])
