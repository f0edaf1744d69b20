"""What a command says of a Ray that does not start."""

from __future__ import annotations

import pytest
import ray

from autodp_ray.cluster.ray import connected
from operators.contract.errors import RunError


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        (None, Exception("The current node timed out during startup. This could"), "the machine is busy"),
        ("10.0.0.1:6379", ConnectionError("refused"), "cannot reach the Ray cluster at 10.0.0.1:6379: refused"),
        ("auto", RuntimeError("Version mismatch: 2.59 and 2.60"), "cannot reach the Ray cluster at auto: Version"),
    ],
)
def test_a_known_failure_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, address: str | None, error: Exception, said: str
) -> None:
    with pytest.raises(RunError, match=said):
        start(monkeypatch, address, error)


def test_an_unknown_one_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="something new"):
        start(monkeypatch, None, RuntimeError("something new"))


def start(monkeypatch: pytest.MonkeyPatch, address: str | None, error: Exception) -> None:
    def fail(**options: object) -> None:
        raise error

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with connected():
        raise AssertionError("it did not start")
