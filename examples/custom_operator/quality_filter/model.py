"""A stand-in for a model that is dear to load: it rates an answer by the share of its words that are not repeated."""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

LOADS_FILE = "QUALITY_FILTER_LOADS"
"""Environment variable with a file to which every load adds a line, so that loads in all processes can be counted."""


class QualityModel:
    """Rates texts between 0 and 1."""

    num_loads = 0
    """How often a model was loaded in this process."""

    def __init__(self) -> None:
        type(self).num_loads += 1
        log.info("quality model loaded, number %d of process %d", self.num_loads, os.getpid())
        if file := os.environ.get(LOADS_FILE):
            with Path(file).open("a", encoding="utf-8") as lines:
                lines.write(f"{os.getpid()}\n")

    def rate(self, text: str) -> float:
        """The share of distinct words; an empty text has the best rate, since it may still be filled."""
        words = text.lower().split()
        return len(set(words)) / len(words) if words else 1.0
