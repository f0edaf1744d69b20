"""The peers' own Python environments, and scripts that run in them, or in ours, one process each.

An environment is made at first use from the peer's requirements (`peer_scripts/NAME.txt`) in the user's cache, under a
name that says what is in it, so changed requirements make another one. Needs a package index only then.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from actors.models.source import cache_folder
from actors.storage.scratch import scratch_folder

SCRIPTS = Path(__file__).with_name("peer_scripts")
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "AUTODP_CACHE", "XDG_CACHE_HOME")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_NUM_THREADS")


class PeerError(Exception):
    """A peer cannot be installed or does not run here; the message says why in a line."""


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made where there is none.

    Raises: PeerError where it cannot be made.
    """
    requirements = SCRIPTS / f"{peer}.txt"
    digest = hashlib.sha256(f"{sys.version}\n{requirements.read_text('utf-8')}".encode()).hexdigest()[:12]
    folder = cache_folder() / "peers" / f"{peer}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, finished = folder / "bin" / "python", folder / "finished"
    with FileLock(f"{folder}.lock"):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _checked([sys.executable, "-m", "venv", str(folder)], what=f"no environment for {peer}")
            _checked(
                [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)],
                what=f"{peer} cannot be installed",
            )
            finished.touch()
    return python


def run_script(name: str, settings: Mapping[str, object], *, python: Path | None = None) -> Mapping[str, Any]:
    """What a script of peer_scripts says to these settings, on one thread; by default in our own environment.

    Raises: PeerError where it fails.
    """
    with scratch_folder() as scratch:
        given, answer = scratch / "in.json", scratch / "out.json"
        given.write_text(json.dumps({**settings, "scratch": str(scratch)}), encoding="utf-8")
        environment = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        environment |= dict.fromkeys(_ONE_THREAD, "1")
        environment |= {"PYTHONPATH": str(SCRIPTS.parent.parent), "HF_HOME": str(scratch), "HF_HUB_OFFLINE": "1"}
        command = [str(python or sys.executable), "-m", f"benchmarks.peer_scripts.{name}", str(given), str(answer)]
        _checked(command, what=f"{name} failed", environment=environment)
        found = json.loads(answer.read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return found


def _checked(command: list[str], *, what: str, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise PeerError(f"{what}: {_reason(done.stdout + done.stderr)}")


def _reason(output: str) -> str:
    """The line of a failed command that says most: the first error that pip names, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines[-1:] or ["it said nothing"])[0]
