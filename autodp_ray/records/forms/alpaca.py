"""Alpaca: an instruction, its output, and an input that the instruction refers to.

Source: Taori et al., Stanford Alpaca (2023); `history` as pairs of texts is LLaMA-Factory's addition.
"""

from __future__ import annotations

from autodp_ray.records.forms.flat import FlatForm
from autodp_ray.records.forms.found import Found


class Alpaca(FlatForm):
    """`instruction` and `output`."""

    name = "alpaca"
    accepted = "instruction/output (alpaca)"
    pairs = (("instruction", "output"),)
    writes_pairs = True

    def pair(self, found: Found) -> tuple[str, str]:
        return self.pairs[0]
