"""The reference of result.json, made of the classes that write it."""

from __future__ import annotations

from autodp_ray.config.reference import markdown_of, sections_of
from autodp_ray.result import RunResult

_HEAD = """\
# result.json

Every field of `RUN_DIR/result.json`, which is also what `autodp run --json` prints and what `autodp_ray.run` returns.
A number that does not apply is null. Scores are gains over the unprocessed data unless their name says `raw`.
"""


def result_page() -> str:
    """All fields of a result, as Markdown."""
    return markdown_of(_HEAD, sections_of(RunResult))
