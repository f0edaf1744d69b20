"""What a person or a log sees while a command works: the phase, the strategy, rows, time left, and decisions.

On a terminal a line that moves; elsewhere plain lines with a time on standard error, one per decision or change of
phase, and no bars. JSON lines only where they are asked for.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Literal, Protocol, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from actors.training.job import Advance
from autodp_ray.tracking.log_labels import log_labels

Unit = Literal["rows", "bytes", "steps"]
PLAIN_EVERY_S, JSON_EVERY_S = 30.0, 10.0
"""How often a long phase says how far it is."""
PACE_WINDOW_S, MIN_CHANGES = 60.0, 5
SILENT_S, LOOK_EVERY_S = 60.0, 5.0
"""After how long without a line a log says what is at work, and how often that is looked at."""


class Progress(Protocol):
    """What the phases report to, from many threads."""

    def phase(self, name: str, *, strategy: str | None = None) -> None:
        """A phase begins; `strategy` where it works for one."""

    def rows(self, done: int, total: int, *, strategy: str | None = None, unit: Unit = "rows") -> None:
        """Rows of the strategy's current phase that are done, bytes of files that are read, or a training's steps."""

    def finished(self, strategy: str) -> None:
        """Nothing works for this strategy any more."""

    def expect(self, steps: int) -> None:
        """How many steps (trainings) there are at most from now on."""

    def step(self) -> None:
        """One of the expected steps is done."""

    def note(self, text: str) -> None:
        """A decision or a result, worth a line that stays."""


class Silent:
    """Reports to nobody: the Python API and tests."""

    def phase(self, name: str, *, strategy: str | None = None) -> None: ...

    def rows(self, done: int, total: int, *, strategy: str | None = None, unit: Unit = "rows") -> None: ...

    def finished(self, strategy: str) -> None: ...

    def expect(self, steps: int) -> None: ...

    def step(self) -> None: ...

    def note(self, text: str) -> None: ...


def show_training(progress: Progress, label: str, advance: Advance) -> None:
    """How far the training of this label is; "" where its phase belongs to no strategy."""
    progress.rows(advance.done, advance.total, strategy=label or None, unit=advance.unit)


class Pace:
    """How fast a phase goes, by the last minute, or the last changes where they are rare.

    What an earlier attempt had done counts for nothing soon.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._changes: deque[tuple[float, int]] = deque()
        self._noted = 0.0
        self._total = 0
        self._unit: Unit = "rows"
        self._said = now()

    def note(self, done: int, total: int, unit: Unit) -> None:
        """So much is done now; less than before, or of something else, is the start of another pass."""
        if self._changes and (done < self._changes[-1][1] or unit != self._unit):
            self._changes.clear()
        self._noted, self._total, self._unit = self._now(), total, unit
        if not self._changes or done > self._changes[-1][1]:
            self._changes.append((self._noted, done))
        while len(self._changes) > MIN_CHANGES and self._noted - self._changes[1][0] > PACE_WINDOW_S:
            self._changes.popleft()

    @property
    def rate(self) -> float | None:
        """A second; None where nothing can be said yet."""
        (start, before), (_, done) = self._changes[0], self._changes[-1]
        return (done - before) / (self._noted - start) if done > before and self._noted > start else None

    @property
    def left_s(self) -> float | None:
        """Seconds until the pass is done, at this pace."""
        return None if self.rate is None else (self._total - self._changes[-1][1]) / self.rate

    def is_due(self, every_s: float) -> bool:
        """Whether so long ago something was said last; then it is now."""
        if self._now() - self._said < every_s:
            return False
        self._said = self._now()
        return True

    def text(self) -> str:
        """As in `120,000 of 1,000,000 rows, 8,300 rows/s, 1:46 left`."""
        scale, name = (1e6, "MB") if self._unit == "bytes" else (1.0, self._unit)
        parts = [f"{self._changes[-1][1] / scale:,.0f} of {self._total / scale:,.0f} {name}"]
        if self.rate is not None and self.left_s is not None:
            parts += [f"{_rate(self.rate / scale)} {name}/s", f"{timedelta(seconds=round(self.left_s))} left"]
        return ", ".join(parts)


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 10 else f"{per_s:.2g}"


def _labelled(phase: str, strategy: str | None) -> str:
    return f"{phase}: {strategy}" if strategy else phase


class PlainLines:
    """One line with its time per decision or change of phase, for logs that people read."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._now = now
        self._phases: dict[str | None, str] = {}
        self._since: dict[str | None, float] = {}
        """When each phase began."""
        self._paces: dict[str | None, Pace] = {}
        self._wrote = now()
        self._limit_is_said = False
        self._lock = threading.Lock()

    def phase(self, name: str, *, strategy: str | None = None) -> None:
        with self._lock:
            self._paces.pop(strategy, None)
            self._since[strategy] = self._now()
            if self._phases.get(strategy) != name:
                self._phases[strategy] = name
                self._write(_labelled(name, strategy))

    def rows(self, done: int, total: int, *, strategy: str | None = None, unit: Unit = "rows") -> None:
        """A long phase says now and then how far it is."""
        with self._lock:
            pace = self._paces.setdefault(strategy, Pace())
            pace.note(done, total, unit)
            if pace.is_due(PLAIN_EVERY_S):
                self._write(f"{_labelled(self._phases.get(strategy, 'working'), strategy)}: {pace.text()}")

    def finished(self, strategy: str) -> None:
        """What the strategy came to is a note of its own."""
        with self._lock:
            self._phases.pop(strategy, None)
            self._paces.pop(strategy, None)

    def expect(self, steps: int) -> None:
        with self._lock:
            if not self._limit_is_said:
                self._limit_is_said = True
                self._write(f"at most {steps} trainings")

    def step(self) -> None:
        """Each training is a phase of its own."""

    def note(self, text: str) -> None:
        with self._lock:
            self._write(" ".join(text.split()))

    def say_silent(self) -> None:
        """Where nothing was said for long, what is at work: the strategies, or else the phase of the whole."""
        with self._lock:
            at_work: list[str | None] = [each for each in self._phases if each] or [*self._phases]
            if not at_work or self._now() - self._wrote < SILENT_S:
                return
            waited = {each: timedelta(seconds=round(self._now() - self._since[each])) for each in at_work}
            phases = (f"still {_labelled(self._phases[each], each)}, {waited[each]}" for each in at_work)
            self._write("; ".join(phases))

    def _write(self, text: str) -> None:
        self._wrote = self._now()
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", file=self._stream, flush=True)


class JsonEvents:
    """One JSON object per change, for machines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._paces: dict[str | None, Pace] = {}
        self._paces_lock = threading.Lock()
        self._lock = threading.Lock()

    def phase(self, name: str, *, strategy: str | None = None) -> None:
        with self._paces_lock:
            self._paces.pop(strategy, None)
        self._write(event="phase", phase=name, strategy=strategy)

    def rows(self, done: int, total: int, *, strategy: str | None = None, unit: Unit = "rows") -> None:
        with self._paces_lock:
            pace = self._paces.setdefault(strategy, Pace())
            pace.note(done, total, unit)
            if done != total and not pace.is_due(JSON_EVERY_S):
                return
            rate, left_s = pace.rate, pace.left_s
        self._write(
            event=unit,
            done=done,
            total=total,
            strategy=strategy,
            per_s=None if rate is None else round(rate, 1),
            left_s=None if left_s is None else round(left_s, 1),
        )

    def finished(self, strategy: str) -> None:
        """What the strategy came to is a note of its own."""

    def expect(self, steps: int) -> None:
        self._write(event="expect", steps=steps)

    def step(self) -> None:
        self._write(event="step")

    def note(self, text: str) -> None:
        self._write(event="note", text=text)

    def _write(self, **fields: object) -> None:
        seconds = round(time.monotonic() - self._started, 2)
        with self._lock:
            line = {"seconds": seconds, **log_labels(), **fields}
            print(json.dumps(line, ensure_ascii=False), file=self._stream, flush=True)


class Terminal:
    """A moving line per strategy at work, with its phase, and a bar over the trainings that a search may still take."""

    def __init__(self, bars: Bars, console: Console) -> None:
        self._bars = bars
        self._console = console
        self._lines: dict[str | None, TaskID] = {None: bars.add_task("starting", total=None)}
        self._steps: TaskID | None = None
        self._steps_done = 0
        self._lock = threading.RLock()

    def phase(self, name: str, *, strategy: str | None = None) -> None:
        label = f"{escape(name)} [bold]{strategy}[/bold]" if strategy else escape(name)
        with self._lock:
            if strategy not in self._lines:
                self._lines[strategy] = self._bars.add_task(label, total=None)
            line = self._lines[strategy]
            self._bars.reset(line, description=label)
            next(task for task in self._bars.tasks if task.id == line).total = None  # which `reset` keeps

    def rows(self, done: int, total: int, *, strategy: str | None = None, unit: Unit = "rows") -> None:
        with self._lock:
            if strategy in self._lines:
                self._bars.update(self._lines[strategy], completed=done, total=total, unit=unit)

    def finished(self, strategy: str) -> None:
        with self._lock:
            if strategy in self._lines:
                self._bars.remove_task(self._lines.pop(strategy))

    def expect(self, steps: int) -> None:
        if self._steps is None:
            self._steps = self._bars.add_task("trainings (at most)", total=steps)
        self._bars.update(self._steps, total=self._steps_done + steps)

    def step(self) -> None:
        with self._lock:
            self._steps_done += 1
            if self._steps is not None:
                self._bars.update(self._steps, completed=self._steps_done)

    def note(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, emoji=False)


class _RateColumn(ProgressColumn):
    """Rows or megabytes a second."""

    def render(self, task: Task) -> Text:
        if task.speed is None or task.total is None:
            return Text("")
        unit = task.fields.get("unit")
        return Text(f"{task.speed / 1e6:,.1f} MB/s" if unit == "bytes" else f"{_rate(task.speed)} {unit or ''}/s")


@contextmanager
def shown(*, as_json: bool) -> Iterator[Progress]:
    """The progress that fits where standard error goes."""
    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        silence_bars_of_libraries()
        with nullcontext(JsonEvents(sys.stderr)) if as_json else _never_silent(PlainLines(sys.stderr)) as lines:
            yield lines
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        yield Terminal(bars, console)


@contextmanager
def _never_silent(lines: PlainLines) -> Iterator[PlainLines]:
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_EVERY_S):
            lines.say_silent()

    threading.Thread(target=look, name="progress", daemon=True).start()
    try:
        yield lines
    finally:
        ended.set()


def silence_bars_of_libraries() -> None:
    """Bars of transformers, huggingface_hub and sentence-transformers, which write over a log, stay away.

    They are environment variables, so that they hold for libraries that are loaded later and in processes that are
    started later; what the user set stays.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
