"""What README, docs and the notebook process, as it stands there, on a real Ray and with the bundled model."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autodp_ray.applying.accounts import Applied
from autodp_ray.cli.main import app
from tests.fenced_blocks import NOTEBOOK, ROOT, blocks, command_lines, notebook_code


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_what_the_documents_process_is_processed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    _autodp("init examples/data/columns.csv --output config.yaml " + COLUMNS)
    for name in ("data", "week1", "week2"):
        shutil.copy("examples/data/alpaca.jsonl", f"{name}.jsonl")
    shutil.copy("examples/data/columns.csv", "data.csv")
    for code in [*(block.text for block in blocks("python ray")), *notebook_code(long=False)]:
        names: dict[str, object] = {}
        exec(compile(code, NOTEBOOK.name, "exec"), names)
        accounts = names.get("accounts")
        if isinstance(accounts, Applied):
            assert accounts.rows_out == len(Path("cleaned.jsonl").read_text(encoding="utf-8").splitlines()) > 0
    commands = [line for line in command_lines("console long") if line.startswith("autodp process")]
    assert len(commands) >= 2
    for command in commands:
        _autodp(command.removeprefix("autodp "))
    assert [*Path("done").glob("*.csv")]
    assert Path("week1-cleaned.jsonl").stat().st_size > Path("week2-cleaned.jsonl").stat().st_size == 0


COLUMNS = "--set dataset.columns.question=ask --set dataset.columns.answer=reply"


def _autodp(arguments: str) -> None:
    done = CliRunner().invoke(app, shlex.split(arguments))
    assert done.exit_code == 0, done.output
