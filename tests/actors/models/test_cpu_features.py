"""Whether bfloat16 products are native: read from the processor's own description."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.models.cpu_features import multiplies_bf16


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
