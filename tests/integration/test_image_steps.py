"""The CPU image's steps, carried out in a fresh Debian root; needs the user root, debootstrap and Debian's mirror."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dockerfile import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("debootstrap") is None, reason="wants the user root and debootstrap"
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Gone at the end: an image has some gigabytes."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def test_the_image_is_made_in_a_fresh_debian_root_and_its_user_runs_what_kuberay_starts(folder: Path) -> None:
    given = [f"{name}={os.environ[name]}" for name in ("TORCH_INDEX",) if name in os.environ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.image_steps", str(folder), "cpu", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "ray, version 2.60.0" in done.stdout
    layers = dict(line.split(": ", 1) for line in done.stdout.splitlines() if line.endswith(" MB"))
    assert layers.keys() == {"cpu-base", "cpu-packages", "cpu-code", "cpu"}
    assert int(layers["cpu-code"].split()[-2]) < 20, "the code is the last and smallest layer"
