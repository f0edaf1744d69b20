"""Commands about screeners write to a folder that is empty, one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.storage.storage import Storage
from autodp_ray.run_contents import LOCK
from autodp_ray.screening.output_folder import held_output, require_empty_output
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import lock_held


def test_one_command_at_a_time_writes_and_a_lock_that_is_left_is_nothing(tmp_path: Path) -> None:
    target = Storage.at(tmp_path / "out")
    require_empty_output(target)
    with pytest.raises(ZeroDivisionError), held_output(target):
        raise ZeroDivisionError
    assert target.names() == [LOCK]
    require_empty_output(target)
    with held_output(target):
        pass
    assert target.names() == []
    with lock_held(tmp_path / "out" / LOCK):
        require_empty_output(target)
        with pytest.raises(InputError, match="out is in use by another command"):
            held_output(target).__enter__()
    (tmp_path / "out/thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        require_empty_output(target)
