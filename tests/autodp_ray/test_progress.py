"""Progress off a terminal: one JSON object a line, and no bars."""

from __future__ import annotations

import io
import json
import sys

import pytest

from autodp_ray.progress import JsonLines, Progress, Silent, shown


def work(progress: Progress) -> None:
    progress.phase("processing", strategy="cleaning")
    progress.rows(1, 3)
    progress.rows(3, 3)
    progress.expect(9)
    progress.step()
    progress.note("痛: +0.1")


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_change_is_a_json_line_with_its_time() -> None:
    stream = io.StringIO()
    work(JsonLines(stream))
    found = events(stream.getvalue())
    times = [event.pop("seconds") for event in found]
    assert found == [
        {"event": "phase", "phase": "processing", "strategy": "cleaning"},
        {"event": "rows", "done": 3, "total": 3},
        {"event": "expect", "steps": 9},
        {"event": "step"},
        {"event": "note", "text": "痛: +0.1"},
    ]
    assert times == sorted(times, key=lambda seconds: float(str(seconds)))


def test_a_note_with_line_breaks_stays_one_line() -> None:
    stream = io.StringIO()
    JsonLines(stream).note("two\nlines")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("as_json", [True, False])
def test_off_a_terminal_and_for_machines_lines_go_to_standard_error_alone(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    with shown(as_json=as_json) as progress:
        work(progress)
    caught = capsys.readouterr()
    assert caught.out == ""
    assert len(events(caught.err)) == 5
    assert "\x1b" not in caught.err


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_notes_stay_and_bars_go(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with shown(as_json=False) as progress:
        work(progress)
        progress.expect(3)
        progress.step()
    assert "痛: +0.1" in terminal.getvalue()
    assert "{" not in terminal.getvalue()


def test_silence_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    work(Silent())
    assert capsys.readouterr() == ("", "")
