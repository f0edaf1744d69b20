"""Progress off a terminal: plain lines with a time, JSON lines where they are asked for, and no bars."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading

import pytest
from rich.console import Console
from rich.progress import Progress as Bars
from rich.text import Text

from autodp_ray.progress import JsonEvents, Pace, PlainLines, Progress, Silent, Terminal, shown


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
    work(JsonEvents(stream))
    found = events(stream.getvalue())
    times = [event.pop("seconds") for event in found]
    assert float(str(found[1].pop("per_s"))) > 0
    assert found == [
        {"event": "phase", "phase": "processing", "strategy": "cleaning"},
        {"event": "rows", "done": 3, "total": 3, "strategy": None, "left_s": 0.0},
        {"event": "expect", "steps": 9},
        {"event": "step"},
        {"event": "note", "text": "痛: +0.1"},
    ]
    assert times == sorted(times, key=lambda seconds: float(str(seconds)))


def test_a_note_with_line_breaks_stays_one_line() -> None:
    stream = io.StringIO()
    JsonEvents(stream).note("two\nlines")
    assert len(stream.getvalue().splitlines()) == 1


def without_times(text: str) -> list[str]:
    """Plain lines, each of which must begin with a time."""
    lines = text.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    return [line[20:] for line in lines]


def test_plain_lines_are_one_per_decision_or_change_of_phase() -> None:
    stream = io.StringIO()
    plain = PlainLines(stream)
    work(plain)
    work(plain)
    plain.phase("training", strategy="cleaning")
    plain.note("two\nlines")
    lines = without_times(stream.getvalue())
    said = ["processing: cleaning", "at most 9 trainings", "痛: +0.1", "痛: +0.1", "training: cleaning", "two lines"]
    assert lines == said


def test_a_strategy_that_comes_back_says_its_phase_again() -> None:
    stream = io.StringIO()
    plain = PlainLines(stream)
    for _ in range(2):
        plain.phase("training", strategy="cleaning")
        plain.finished("cleaning")
    assert len(without_times(stream.getvalue())) == 2


@pytest.mark.parametrize("as_json", [True, False])
def test_off_a_terminal_and_for_machines_lines_go_to_standard_error_alone(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    with shown(as_json=as_json) as progress:
        work(progress)
    caught = capsys.readouterr()
    assert caught.out == ""
    assert len(events(caught.err) if as_json else without_times(caught.err)) == (5 if as_json else 3)
    assert "\x1b" not in caught.err


BARS_OF_LIBRARIES = """
import sys
from autodp_ray.progress import shown
with shown(as_json=False):
    from huggingface_hub.utils import are_progress_bars_disabled
    from tqdm.auto import tqdm
    assert are_progress_bars_disabled()
    assert [*tqdm(range(3))] == [0, 1, 2]
"""


def test_bars_of_libraries_stay_out_of_a_log() -> None:
    names = {name: value for name, value in os.environ.items() if "TQDM" not in name and "PROGRESS" not in name}
    command = [sys.executable, "-c", BARS_OF_LIBRARIES]
    done = subprocess.run(command, env=names, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def side_by_side(progress: Progress) -> None:
    """Eight strategies at one time, each with a phase, many rows, a step and a note."""

    def one(number: int) -> None:
        name = f"strategy-{number}"
        progress.phase("processing", strategy=name)
        for done in range(1, 51):
            progress.rows(done, 50, strategy=name)
        progress.step()
        progress.note(f"{name} is done")
        progress.finished(name)

    progress.expect(8)
    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_lines_of_strategies_that_work_side_by_side_stay_whole_and_say_whose_they_are() -> None:
    stream = io.StringIO()
    side_by_side(JsonEvents(stream))
    found = events(stream.getvalue())
    assert len(found) == 1 + 8 * 4
    for kind in ("phase", "rows"):
        assert {str(event["strategy"]) for event in found if event["event"] == kind} == {
            f"strategy-{number}" for number in range(8)
        }


def test_a_terminal_shows_a_line_per_strategy_at_work_and_takes_it_away() -> None:
    bars = Bars(console=Console(file=io.StringIO()))
    terminal = Terminal(bars, bars.console)
    terminal.phase("processing", strategy="cleaning")
    terminal.phase("training", strategy="generation")
    terminal.rows(3, 7, strategy="cleaning")
    assert [(task.completed, task.total) for task in bars.tasks if "cleaning" in task.description] == [(3, 7)]
    assert len(bars.tasks) == 3
    terminal.finished("cleaning")
    terminal.rows(7, 7, strategy="cleaning")
    assert len(bars.tasks) == 2
    terminal.finished("generation")
    side_by_side(terminal)
    assert [task.description for task in bars.tasks] == ["starting", "trainings (at most)"]
    assert bars.tasks[1].completed == 8


def test_a_phase_whose_extent_is_not_known_yet_shows_none_of_the_phase_before() -> None:
    bars = Bars(console=Console(file=io.StringIO()))
    terminal = Terminal(bars, bars.console)
    terminal.phase("reading")
    terminal.rows(5, 9, unit="bytes")
    terminal.phase("sampling")
    assert [(task.description, task.completed, task.total) for task in bars.tasks] == [("sampling", 0, None)]


def test_what_is_said_is_no_markup_on_a_terminal() -> None:
    said = io.StringIO()
    bars = Bars(console=Console(file=said, width=120))
    terminal = Terminal(bars, bars.console)
    terminal.note("failed: [/mnt/x] is full; search.stop=[patience]; a:key:b")
    terminal.phase("training [/models/x]", strategy="cleaning")
    assert said.getvalue() == "failed: [/mnt/x] is full; search.stop=[patience]; a:key:b\n"
    assert "training [/models/x] cleaning" in Text.from_markup(bars.tasks[-1].description).plain


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


def test_a_pace_goes_by_the_last_minute_and_a_new_pass_starts_anew() -> None:
    clock = [0.0]
    pace = Pace(now=lambda: clock[0])
    pace.note(500, 1000, "rows")  # finished by an earlier attempt
    assert (pace.rate, pace.left_s, pace.text()) == (None, None, "500 of 1,000 rows")
    for clock[0] in range(10, 201, 10):
        pace.note(500 + int(clock[0]) * 2, 1000, "rows")
    assert (pace.rate, pace.left_s) == (2.0, 50.0)
    assert pace.text() == "900 of 1,000 rows, 2 rows/s, 0:00:50 left"
    pace.note(0, 8_000_000, "bytes")
    assert pace.rate is None
    clock[0] += 1
    pace.note(2_000_000, 8_000_000, "bytes")
    assert pace.text() == "2 of 8 MB, 2 MB/s, 0:00:03 left"


def test_a_pace_of_rare_steps_goes_by_several_of_them() -> None:
    clock = [0.0]
    pace = Pace(now=lambda: clock[0])
    for clock[0] in range(0, 401, 5):  # looked at every 5 s, and a step takes 40 s
        pace.note(int(clock[0]) // 40, 16, "steps")
        if clock[0] >= 120:
            assert pace.rate == pytest.approx(1 / 40, rel=0.35)
    assert pace.text() == "10 of 16 steps, 0.025 steps/s, 0:04:00 left"


def test_a_long_phase_says_how_far_it_is_in_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodp_ray.progress.PLAIN_EVERY_S", 0.0)
    stream = io.StringIO()
    plain = PlainLines(stream)
    plain.phase("processing", strategy="cleaning")
    plain.rows(1, 3, strategy="cleaning")
    plain.phase("reading")
    plain.rows(1_000_000, 3_000_000, unit="bytes")
    lines = without_times(stream.getvalue())
    assert lines == ["processing: cleaning", "processing: cleaning: 1 of 3 rows", "reading", "reading: 1 of 3 MB"]


def test_a_log_that_was_silent_for_long_says_what_is_at_work() -> None:
    clock = [0.0]
    stream = io.StringIO()
    plain = PlainLines(stream, now=lambda: clock[0])
    plain.phase("scoring the round")
    plain.say_silent()
    clock[0] = 61
    plain.say_silent()
    plain.phase("processing", strategy="selection")
    plain.phase("training", strategy="cleaning")
    clock[0] = 120
    plain.say_silent()  # something was said within the last minute
    clock[0] = 181
    plain.say_silent()
    plain.finished("selection")
    clock[0] = 250
    plain.say_silent()
    assert without_times(stream.getvalue()) == [
        "scoring the round",
        "still scoring the round, 0:01:01",
        "processing: selection",
        "training: cleaning",
        "still processing: selection, 0:02:00; still training: cleaning, 0:02:00",
        "still training: cleaning, 0:03:09",
    ]


def test_silence_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    work(Silent())
    assert capsys.readouterr() == ("", "")
