"""`--json`: one JSON object on standard output and nothing else, whatever C code, children and libraries print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOUD = """
import os, subprocess, sys
from autodp_ray.cli.main import main
from autodp_ray.config import run_config

def loud(*given, **more):
    os.write(1, b"from C code\\n")
    subprocess.run(["sh", "-c", "echo from a child"])
    print("from python")
    sys.__stdout__.write("from the stream that was there before\\n")
    sys.__stdout__.flush()
    return real(*given, **more)

real, run_config.load_config = run_config.load_config, loud
main()
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOUD, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.heavy
@pytest.mark.parametrize("given", ["doctor", "sample"])
def test_what_others_print_goes_to_standard_error(tmp_path: Path, given: str) -> None:
    done = run(given, "missing.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"].startswith("there is no file 'missing.yaml'")
    assert done.stdout.count("\n") == 1
    for said in ("from C code", "from a child", "from python", "from the stream that was there before"):
        assert said in done.stderr


@pytest.mark.heavy
def test_without_json_standard_output_is_everyones(tmp_path: Path) -> None:
    done = run("plan", "missing.yaml", cwd=tmp_path)
    assert (done.returncode, "from a child" in done.stdout) == (2, True)


@pytest.mark.heavy
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("command", ["--help", "config", "config --json", "plan missing.yaml --json"])
def test_a_full_disk_under_standard_output_is_told_in_one_line(command: str, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "autodp_ray.cli", *command.split()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            line, cwd=tmp_path, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    *before, last = done.stderr.splitlines()
    assert last == "autodp: standard output cannot be written: No space left on device"
    assert len(before) == command.count("missing.yaml")  # its own error is not lost
    assert done.returncode == 1


@pytest.mark.heavy
def test_what_the_locale_cannot_spell_is_escaped(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "iso-8859-1"}
    line = [sys.executable, "-m", "autodp_ray.cli", "config"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u" in done.stdout


@pytest.mark.heavy
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_command_whose_output_is_closed_is_refused_before_it_opens_files_in_its_place(
    closed: str, tmp_path: Path
) -> None:
    line = f'exec "$0" -m autodp_ray.cli config --json {closed}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = "autodp: standard output or standard error is closed; lead it to a file, or to /dev/null\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said if closed == ">&-" else "")


@pytest.mark.ray
def test_a_real_ray_with_loud_workers_leaves_the_json_alone(tmp_path: Path) -> None:
    code = """
import os, ray
from autodp_ray.cli.output import reported, say
from autodp_ray.cluster.ray import connected
import typer
app = typer.Typer()

@app.command()
def go() -> None:
    with reported(True), connected():
        @ray.remote(num_cpus=0)
        def shout(): os.system("echo from a worker"); print("worker"); return 1
        ray.get([shout.remote() for _ in range(8)])
        os.system("echo beside ray")
    say('{"done": true}', as_json=True)

app()
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == '{"done": true}\n'
    assert "beside ray" in done.stderr
