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
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress(Protocol):
    """What the phases report to, from many threads."""

    def phase(self, name: str, *, strategy: str | None = None) -> None:
        """A phase begins; `strategy` where it works for one."""

    def rows(self, done: int, total: int, *, strategy: str | None = None) -> None:
        """Rows of the strategy's current phase that are done."""

    def finished(self, strategy: str) -> None:
        """Nothing works for this strategy any more."""

    def expect(self, steps: int) -> None:
        """How many steps (trainings) there are at most from now on."""

    def step(self) -> None:
        """One of the expected steps is done."""

    def note(self, text: str) -> None:
        """A decision or a result, worth a line that stays."""


class Silent:
    """Reports to nobody: the Python door and tests."""

    def phase(self, name: str, *, strategy: str | None = None) -> None: ...

    def rows(self, done: int, total: int, *, strategy: str | None = None) -> None: ...

    def finished(self, strategy: str) -> None: ...

    def expect(self, steps: int) -> None: ...

    def step(self) -> None: ...

    def note(self, text: str) -> None: ...


class PlainLines:
    """One line with its time per decision or change of phase, for logs that people read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._phases: dict[str | None, str] = {}
        self._limit_is_said = False
        self._lock = threading.Lock()

    def phase(self, name: str, *, strategy: str | None = None) -> None:
        with self._lock:
            if self._phases.get(strategy) != name:
                self._phases[strategy] = name
                self._write(f"{name}: {strategy}" if strategy else name)

    def rows(self, done: int, total: int, *, strategy: str | None = None) -> None:
        """Rows move within a phase."""

    def finished(self, strategy: str) -> None:
        """What the strategy came to is a note of its own."""
        with self._lock:
            self._phases.pop(strategy, None)

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

    def _write(self, text: str) -> None:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", file=self._stream, flush=True)


class JsonEvents:
    """One JSON object per change, for machines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def phase(self, name: str, *, strategy: str | None = None) -> None:
        self._write(event="phase", phase=name, strategy=strategy)

    def rows(self, done: int, total: int, *, strategy: str | None = None) -> None:
        if done == total:
            self._write(event="rows", done=done, total=total, strategy=strategy)

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
            print(json.dumps({"seconds": seconds, **fields}, ensure_ascii=False), file=self._stream, flush=True)


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
        label = f"{name} [bold]{strategy}[/bold]" if strategy else name
        with self._lock:
            if strategy not in self._lines:
                self._lines[strategy] = self._bars.add_task(label, total=None)
            self._bars.reset(self._lines[strategy], description=label, total=None)

    def rows(self, done: int, total: int, *, strategy: str | None = None) -> None:
        with self._lock:
            if strategy in self._lines:
                self._bars.update(self._lines[strategy], completed=done, total=total)

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
        self._console.print(text, highlight=False)


@contextmanager
def shown(*, as_json: bool) -> Iterator[Progress]:
    """The progress that fits where standard error goes."""
    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        silence_bars_of_libraries()
        yield JsonEvents(sys.stderr) if as_json else PlainLines(sys.stderr)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        yield Terminal(bars, console)


def silence_bars_of_libraries() -> None:
    """Bars of transformers, huggingface_hub and sentence-transformers, which write over a log, stay away.

    They are environment variables, so that they hold for libraries that are loaded later and in processes that are
    started later; what the user set stays.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
