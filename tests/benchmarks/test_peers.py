"""The benchmark of peers: the rows that it plants, how it scores, and what it does where a peer is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import peer_environments, peers
from benchmarks.gates import judge, load_bars
from benchmarks.labelled_copies import (
    Language,
    boilerplate_rows,
    damaged_row,
    labelled_row,
    scores,
    write_rows,
)
from benchmarks.peer_environments import SCRIPTS, PeerError, python_of, run_script
from benchmarks.peer_scripts.shingles import shingles
from benchmarks.peers_table import peers_table

LANGUAGES: tuple[Language, ...] = get_args(Language)
NUM_ROWS = 300


def jaccard(left: str, right: str, language: str) -> float:
    first, second = (set(shingles(text, language)) for text in (left, right))
    return len(first & second) / len(first | second)


@pytest.mark.heavy
@pytest.mark.parametrize("language", LANGUAGES)
def test_copies_lie_above_the_threshold_and_the_rows_that_share_half_below(language: Language) -> None:
    rows = [labelled_row(at, language=language) for at in range(NUM_ROWS)]
    copies = [(row, rows[row.group]) for at, row in enumerate(rows) if row.group != at]
    assert len(copies) == NUM_ROWS // 5
    for copy, original in copies:
        assert copy.question == original.question
        assert copy.answer != original.answer
        assert jaccard(copy.answer, original.answer, language) > 0.8
    originals = [row for at, row in enumerate(rows) if row.group == at]
    closest = max(
        jaccard(left.answer, right.answer, language) for at, left in enumerate(originals) for right in originals[:at]
    )
    assert 0.2 < closest < 0.6


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_row_is_a_function_of_its_number_and_about_as_long_as_promised(language: Language) -> None:
    rows = [damaged_row(at, language=language, seed=3) for at in range(60)]
    assert rows[41] == damaged_row(41, language=language, seed=3)
    assert rows[41] != damaged_row(41, language=language, seed=4)
    assert sum(row.answer != labelled_row(at, language=language, seed=3).answer for at, row in enumerate(rows)) == 12
    sizes = [
        len((row.question + row.answer).encode()) for row in (labelled_row(at, language=language) for at in range(60))
    ]
    assert 780 < sum(sizes) / len(sizes) < 950


@pytest.mark.parametrize("language", LANGUAGES)
def test_rows_under_one_instruction_are_alike_as_wholes_and_no_copies(language: Language) -> None:
    rows = boilerplate_rows(40, language=language)
    texts = ["\n".join(row) for row in rows]
    assert all(0.5 < jaccard(texts[0], text, language) < 0.75 for text in texts[1:])
    assert len({answer for _, answer in rows}) == len(rows)


def test_scores_count_the_rows_too_many_and_too_few() -> None:
    groups = [0, 0, 0, 3, 4, 4]  # three rows are to go
    assert scores([0, 3, 4], groups).f1 == 1.0
    assert scores([2, 3, 5], groups).f1 == 1.0  # whichever row of a group stays
    everything = scores(range(6), groups)
    assert (everything.precision, everything.recall, everything.f1) == (1.0, 0.0, 0.0)
    wrong = scores([0, 4], groups)  # row 3 is nobody's copy
    assert (wrong.precision, wrong.recall, wrong.f1) == (3 / 4, 1.0, 6 / 7)
    one_missed = scores([0, 1, 3, 4], groups)
    assert (one_missed.precision, one_missed.recall, one_missed.f1) == (1.0, 2 / 3, 4 / 5)
    assert scores([0, 1], [0, 1]).f1 == 1.0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.data())
def test_scores_are_shares_and_whole_only_where_one_row_of_each_group_is_left(
    groups: list[int], data: st.DataObject
) -> None:
    kept = data.draw(st.sets(st.integers(0, len(groups) - 1)))
    found = scores(kept, groups)
    assert all(0 <= value <= 1 for value in (found.precision, found.recall, found.f1))
    one_of_each = len(kept) == len({groups[row] for row in kept}) == len(set(groups))
    assert (found.f1 == 1.0) == one_of_each


def test_every_peer_has_a_script_and_pinned_requirements() -> None:
    for peer in {*peers.COPY_PEERS, *peers.FILTER_PEERS}:
        lines = (SCRIPTS / f"{peer}.txt").read_text().splitlines()
        assert lines
        assert all("==" in line for line in lines)
    scripts = [f"{tool}_copies" for tool in (peers.OURS, *peers.COPY_PEERS)]
    scripts += [f"{tool}_filters" for tool in (peers.OURS, *peers.FILTER_PEERS)]
    assert all((SCRIPTS / f"{name}.py").is_file() for name in scripts)


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_says_why_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "absent.txt").write_text("autodp-ray-no-such-package==1\n")
    monkeypatch.setattr(peer_environments, "SCRIPTS", tmp_path)
    monkeypatch.setenv("AUTODP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for _ in range(2):  # what broke off is not taken for finished
        with pytest.raises(PeerError, match=r"^absent cannot be installed: ERROR: .*no-such-package[^\n]*$"):
            python_of("absent")


@pytest.mark.slow
def test_an_environment_is_made_once_and_anew_for_other_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_environments, "SCRIPTS", tmp_path)
    monkeypatch.setenv("AUTODP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "plain.txt").write_text("# nothing\n")
    first = python_of("plain")
    made = (first.parent.parent / "finished").stat().st_mtime_ns
    assert python_of("plain") == first
    assert (first.parent.parent / "finished").stat().st_mtime_ns == made
    said = subprocess.run([first, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(first.parent.parent)
    (tmp_path / "plain.txt").write_text("# nothing else\n")
    assert python_of("plain") != first


def test_a_script_that_fails_says_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"^datasketch_copies failed: FileNotFoundError: .*absent"):
        run_script("datasketch_copies", settings_of(tmp_path / "absent.jsonl"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_scripts_find_the_planted_copies(tmp_path: Path, language: Language) -> None:
    rows = [labelled_row(at, language=language) for at in range(NUM_ROWS)]
    file = tmp_path / "rows.jsonl"
    assert write_rows(file, ((row.question, row.answer) for row in rows)) == file.stat().st_size
    for tool in (peers.OURS, "datasketch"):
        found = run_script(f"{tool}_copies", settings_of(file) | {"language": language})
        assert scores(found["kept"], [row.group for row in rows]).f1 == 1.0
        assert len(found["seconds"]) == 2
        assert min(found["seconds"]) > 0
        assert found["peak_bytes"] > 10_000_000


@pytest.mark.slow
def test_figures_and_table_say_what_was_measured_and_what_could_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_datasketch(peer: str) -> Path:
        if peer != "datasketch":
            raise PeerError(f"{peer} cannot be installed: no network")
        return Path(sys.executable)

    monkeypatch.setattr(peers, "python_of", only_datasketch)
    monkeypatch.setattr(peers, "SMOKE_ROWS", 200)
    monkeypatch.setattr(peers, "SMOKE_BOILERPLATE_ROWS", 60)
    monkeypatch.setattr(peers, "MIN_RUNS", 1)
    figures = peers.run(smoke=True)
    gates = {gate.name: gate for gate in judge(load_bars()["peers"], figures, smoke=False)}
    assert gates["near-duplicates over Data-Juicer, Chinese"].value is None
    assert not gates["near-duplicates over Data-Juicer, Chinese"].ok
    smoke = judge(load_bars()["peers"], figures, smoke=True)
    assert len(smoke) == 6
    assert [gate.name for gate in smoke if not gate.ok] == []
    english = figures["english"]
    assert isinstance(english, dict)
    assert english["copies_over"].keys() == set(peers.COPY_PEERS)
    assert english["copies_over"]["datasketch"] > 0
    table = peers_table(figures)
    assert "| English | near-duplicates | rensa | none |" in table
    assert "Data-Juicer could not be measured: data_juicer cannot be installed: no network." in table


def settings_of(rows: Path) -> dict[str, object]:
    repeats = {"runs": 2, "long_s": 60.0}
    return {"rows": str(rows), "language": "english", "tokenizer": "", **repeats, **peers.THRESHOLDS}
