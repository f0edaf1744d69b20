"""Which column names a message may show. In a CSV file without a header the names are cells of its first row, and a
JSON object may hold texts as keys; so a name is shown only where it looks like one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MAX_SHOWN = 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9]*(?:[_.-][A-Za-z0-9]+)*_?|[\u3400-\u9fff]{1,6}")
_MAX_CHARS = 32
NO_HEADER = "does the file have a header? Its first row is read as the names of the columns"


def looks_like_name(name: str) -> bool:
    """Whether a name is one short word, as `question`, `ctx.text` or `source_id`, or up to six Chinese characters."""
    return len(name) <= _MAX_CHARS and _NAME.fullmatch(name) is not None


def listed(names: Iterable[str]) -> str:
    """Names for a message: where each looks like one, up to `MAX_SHOWN`, else their number alone."""
    all_names: Sequence[str] = list(names)
    if not all_names:
        return "none"
    if not all(map(looks_like_name, all_names)):
        return f"{len(all_names)}, of which some do not look like names and none is shown ({NO_HEADER})"
    more = f" and {len(all_names) - MAX_SHOWN} more" if len(all_names) > MAX_SHOWN else ""
    return ", ".join(all_names[:MAX_SHOWN]) + more
