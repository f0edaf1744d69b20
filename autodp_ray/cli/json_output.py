"""Standard output for machines: one JSON object and nothing else, whatever libraries, C code and children print.

While it is held, file descriptor 1 and `sys.stdout` lead to standard error, so that Ray's processes, which inherit the
descriptor, and every print go there; only what is written through `emit` reaches the real standard output.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TextIO

_STDOUT, _STDERR = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What standard output was before."""

    stream: TextIO
    descriptor: int
    real: TextIO
    """Where `emit` writes."""


_held: _Held | None = None


def hold_stdout() -> None:
    """Keep standard output for `emit` from here on; holding it twice changes nothing."""
    global _held
    if _held is not None:
        return
    stream = sys.stdout
    stream.flush()
    kept = os.dup(_STDOUT)
    real = os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="backslashreplace") if _is_real(stream) else stream
    _held = _Held(stream=stream, descriptor=kept, real=real)
    os.dup2(_STDERR, _STDOUT)
    sys.stdout = sys.stderr


def release_stdout() -> None:
    """Standard output is everyone's again; nothing happens where it was not held."""
    global _held
    if _held is None:
        return
    held, _held = _held, None
    sys.stdout = held.stream
    os.dup2(held.descriptor, _STDOUT)
    os.close(held.descriptor)
    if held.real is not held.stream:
        held.real.close()


def emit(text: str) -> None:
    """A line on the real standard output."""
    target = sys.stdout if _held is None else _held.real
    target.write(f"{text}\n")
    target.flush()


def _is_real(stream: TextIO) -> bool:
    """Whether a stream writes to file descriptor 1; tests put others in its place."""
    try:
        return stream.fileno() == _STDOUT
    except (OSError, ValueError, AttributeError):
        return False
