"""The list of all messages that this project raises, read from the sources.

A placeholder of a message becomes `...`. A message that a function builds is found where the function builds it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SOURCES = ("operators", "actors", "autodp_ray")
MEANING: Mapping[str, str] = {
    "InputError": "The data, the config or the command is wrong. Exit code 2; mend what the message names.",
    "ValueError": "A setting of the config is wrong. The message comes with the setting's key, and exit code 2.",
    "EndpointConfigError": "A model endpoint refuses whatever it is asked. Exit code 2; mend key, model or quota.",
    "EndpointError": "A model endpoint did not answer after bounded retries. Exit code 1; repeat the command later.",
    "RunError": "The run failed. Exit code 1; the same command, or `autodp run --resume`, goes on where it stopped.",
    "DivergedError": "A loss is no number. The strategy fails or stays unconfirmed; lower the learning rate.",
    "RowError": "A row cannot be parsed. The row goes to `quarantine/` with this reason; the command goes on.",
    "ReplyError": "A chat model's reply cannot be used. It is counted as rejected, or asked for again.",
}
"""The kinds of errors that a user meets, and what to do about each."""
WORDED_IN: Mapping[str, str] = {
    "actors/data/worker_faults.py": "actors/storage/full_disk.py",
    "actors/storage/folder_lock.py": "autodp_ray/runs/folder.py",
    "actors/storage/lease.py": "autodp_ray/runs/folder.py",
    "autodp_ray/cluster/resource_plan.py": "autodp_ray/cluster/resource_plan.py",
    "autodp_ray/config/run_config.py": "autodp_ray/config/errors.py",
    "autodp_ray/faults.py": "actors/storage/full_disk.py",
    "autodp_ray/records/files/source_files.py": "autodp_ray/records/files/file_kinds.py",
    "autodp_ray/records/forms/detection.py": "autodp_ray/records/forms/found.py",
    "autodp_ray/search/agent/reply.py": "autodp_ray/search/agent/reply.py",
}
"""Files that raise what another file words, and that file: all its longer texts are listed."""
PASSED_ON = {"operators/outside.py", "autodp_ray/cluster/node_answers.py", "autodp_ray/records/formats/column_types.py"}
"""Files that raise the message of another error again."""
_NUM_WORDS = 4
_HEAD = """\
# Error messages

Every message that this project raises, by kind; `...` stands for a value. Search this page for a few words of the
message that you see. [Troubleshooting](../troubleshooting.md) explains the frequent ones.
"""


class Message(NamedTuple):
    """One message, and the file that raises it."""

    kind: str
    text: str
    file: str


@cache
def messages() -> tuple[Message, ...]:
    """All messages of all kinds, in the order of their files."""
    files = sorted(path for source in SOURCES for path in (ROOT / source).rglob("*.py"))
    worded = (message for file in sorted({*WORDED_IN.values()}) for message in _longer_texts(file))
    return (*(message for path in files for message in _in_file(path)), *worded)


def unworded() -> frozenset[str]:
    """The files that raise an error without saying its message."""
    return frozenset(message.file for message in messages() if not message.text.strip(". :"))


def errors_page() -> str:
    """All messages as Markdown."""
    parts = [_HEAD]
    for kind, meaning in MEANING.items():
        rows = sorted({(one.text, one.file) for one in messages() if one.kind == kind and one.text.strip(". :")})
        lines = [f"| {_code(text)} | `{file}` |" for text, file in rows]
        parts.append("\n".join([f"## {kind}", "", meaning, "", "| message | raised in |", "|---|---|", *lines]) + "\n")
    return "\n".join(parts)


def _in_file(path: Path) -> Iterator[Message]:
    file = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MEANING and node.args:
            for text in [*_texts(node.args[0])] or [""]:
                yield Message(node.func.id, " ".join(text.split()), file)


def _longer_texts(file: str) -> Iterator[Message]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and not {id(node)} & (statements | inner):
            for text in _texts(node):
                if len(text.split()) >= _NUM_WORDS and not re.search(r"%[dsg]", text):  # not a line of the log
                    yield Message("InputError", " ".join(text.split()), file)


def _texts(node: ast.expr) -> Iterator[str]:
    """What a message may be; nothing where another place builds it whole."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(next(_texts(part), "...") for part in values)
        case ast.BinOp(left=left, right=right):
            yield next(_texts(left), "...") + next(_texts(right), "...")
        case ast.IfExp(body=body, orelse=other):
            yield from _texts(body)
            yield from _texts(other)


def _code(text: str) -> str:
    mark = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{mark}{pad}{text.replace('|', chr(92) + '|')}{pad}{mark}"
