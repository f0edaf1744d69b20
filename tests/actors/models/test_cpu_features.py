"""The processor's name, and whether its bfloat16 products are native: read from its own description."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from actors.models.cpu_features import multiplies_bf16, processor


@pytest.mark.parametrize(
    ("line", "native"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("model name\t: a processor for bf16", False),
    ],
)
def test_only_the_processors_flags_say_that_bf16_is_native(tmp_path: Path, line: str, native: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{line}\n")
    assert multiplies_bf16(file) is native


def test_a_machine_that_describes_no_processor_counts_as_one_without(tmp_path: Path) -> None:
    assert not multiplies_bf16(tmp_path / "nowhere")


def test_a_processor_is_called_as_its_maker_spells_it_or_else_by_its_architecture(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: AMD EPYC 9554\n\nprocessor\t: 1\nmodel name\t: AMD EPYC 9554\n")
    assert processor(file) == "AMD EPYC 9554"
    assert processor(tmp_path / "nowhere") == platform.machine()
