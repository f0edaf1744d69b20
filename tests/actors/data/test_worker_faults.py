"""What becomes of the errors of workers."""

from __future__ import annotations

import pytest
from pyarrow import fs
from ray.exceptions import OutOfDiskError

from actors.data.worker_faults import attempt, faults_of_ray, taken
from autodp_ray.faults import as_run_error
from operators.contract.errors import EndpointError, RunError

FULL = "/dev/full"


def fill_the_disk() -> None:
    with fs.LocalFileSystem().open_output_stream(FULL) as file:
        file.write(b"secret" * (1 << 20))


def fail(error: Exception) -> None:
    raise error


def test_a_full_disk_is_told_in_one_line_that_says_what_to_do() -> None:
    found = attempt(fill_the_disk)
    with pytest.raises(OSError, match="No space left") as caught:
        fill_the_disk()
    for error in (found, as_run_error(caught.value)):
        assert isinstance(error, RunError)
        assert str(error) == "no space is left on a disk: free some, then run the same command again, which goes on"


def test_a_full_disk_of_a_node_is_told_as_well() -> None:
    with pytest.raises(RunError) as caught, faults_of_ray("cleaning"):
        raise OutOfDiskError
    assert str(caught.value) == (
        "cleaning: no space is left on a disk of a node, on which Ray puts what its memory cannot hold: free some, "
        "then run the same command again, which goes on"
    )


def test_errors_of_ours_come_back_as_they_are_and_others_without_their_message() -> None:
    ours = EndpointError("nobody answers")
    assert attempt(lambda: fail(ours)) is ours
    for error in (ValueError("the secret text"), OSError("the secret text")):
        found = attempt(lambda error=error: fail(error))  # type: ignore[misc]
        assert isinstance(found, RunError)
        assert "test_worker_faults.py" in str(found)
        assert "secret" not in str(found)


def test_a_result_is_taken_and_an_error_says_whose_it_is() -> None:
    assert taken(attempt(lambda: 3), "counting") == 3
    with pytest.raises(EndpointError, match=r"^counting: nobody answers$"):
        taken(EndpointError("nobody answers"), "counting")
