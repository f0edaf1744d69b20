"""Seeded random cases: a short slice in every test run, many under `make fuzz`."""

from __future__ import annotations

import os
import random

import pytest

CASES = int(os.environ.get("AUTODP_FUZZ_CASES", "60"))
"""Cases of each subject."""


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> list[random.Random]:
    """One random generator a case; a case depends on its number and the test's name alone."""
    return [random.Random(f"{request.node.originalname}/{number}") for number in range(CASES)]
