"""Writes the sources that Sphinx builds the site from. It turns what GitHub reads into what the site reads.

A fence may say after its language where its commands run (`console cloud`), which the site leaves out. A comment
`<!-- code: FILE NAME NAME -->` stands for the source of these classes and functions. Links lead from file to file of
the repository; on the site they lead from page to page.
"""

from __future__ import annotations

import ast
import posixpath
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from autodp_ray.config.reference import reference_text
from docs_generator.command_line import command_line_page
from docs_generator.errors import errors_page
from docs_generator.fields import result_page

ROOT = Path(__file__).parents[1]
GENERATED = {
    "reference/cli.md": command_line_page,
    "reference/config.md": reference_text,
    "reference/result.md": result_page,
    "reference/errors.md": errors_page,
}
"""Pages that are made from code."""
COPIED = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Files outside of docs/ that are pages."""
PAGE_OF = {**COPIED, "CONFIG.md": "reference/config.md", "README.md": "index.md"}
"""Files outside of docs/ that links may lead to, and the page that the site has for each."""
NAVIGATION: Mapping[str, Sequence[str]] = {
    "Start": ("quickstart", "glossary"),
    "How to": (
        *(
            f"how-to/{name}"
            for name in ("data", "search", "models", "gpu", "process", "screener", "judge", "compare", "report")
        ),
        "how-to/extend",
        "cluster",
        "reproduce",
    ),
    "Concepts": tuple(f"concepts/{name}" for name in ("strategies", "scores", "sampling", "cache", "privacy")),
    "Reference": tuple(f"reference/{name}" for name in ("cli", "config", "result", "journal", "python", "errors")),
    "Project": (
        "troubleshooting",
        "architecture",
        "decisions/index",
        "contributing",
        "changelog",
        "benchmarks",
        "results/compare",
    ),
}
"""The pages by group, in their order."""
NAVIGATION_TITLES = {"cluster": "Clusters", "results/compare": "Comparison of policies"}
"""What the navigation calls pages whose own titles are long."""

_FENCE = re.compile(r"^(```\w+) .*$", re.M)
_CODE = re.compile(r"^<!-- code: (\S+) (.+?) -->$", re.M)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def write_sources(folder: Path) -> None:
    """Write the sources of the site into a folder, which is emptied first. Raises: ValueError for missing code."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    for path in sorted((ROOT / "docs").rglob("*.md")):
        source = path.relative_to(ROOT).as_posix()
        _write(folder, source.removeprefix("docs/"), path.read_text(encoding="utf-8"), source=source)
    for source, place in COPIED.items():
        _write(folder, place, (ROOT / source).read_text(encoding="utf-8"), source=source)
    for place, page in GENERATED.items():
        _write(folder, place, page(), source=f"docs/{place}")
    _append(folder / "index.md", [_tree(title, pages) for title, pages in NAVIGATION.items()])
    decisions = sorted(path.stem for path in (ROOT / "docs" / "decisions").glob("*.md") if path.stem != "index")
    _append(folder / "decisions" / "index.md", [_tree("", decisions)])


def source_of(file: str, names: Sequence[str]) -> str:
    """A fence with the source of top-level classes and functions of a file, in the order named."""
    text = (ROOT / file).read_text(encoding="utf-8")
    found = {
        node.name: _lines_of(node, text)
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"{file} has no {', '.join(missing)}, which a page of docs/ shows")
    code = "\n\n\n".join(found[name] for name in names)
    return f"```python\n{code}\n```\n\nFrom `{file}`."


def _lines_of(node: ast.ClassDef | ast.FunctionDef, text: str) -> str:
    start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(text.splitlines()[start - 1 : node.end_lineno])


def _write(folder: Path, place: str, markdown: str, *, source: str) -> None:
    with_code = _CODE.sub(lambda found: source_of(found[1], found[2].split()), markdown)
    text = _LINK.sub(lambda link: _site_link(link, source=source, place=place), _FENCE.sub(r"\1", with_code))
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _site_link(link: re.Match[str], *, source: str, place: str) -> str:
    image, words, target, anchor = link[1], link[2], link[3], link[4] or ""
    if ":" in target:
        return link[0]
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    page = PAGE_OF.get(file, file.removeprefix("docs/") if file.startswith("docs/") else None)
    if page is not None:
        return f"{image}[{words}]({posixpath.relpath(page, posixpath.dirname(place) or '.')}{anchor})"
    return words if (ROOT / file).exists() else link[0]


def _tree(title: str, pages: Sequence[str]) -> str:
    caption = [f":caption: {title}"] if title else []
    entries = (f"{NAVIGATION_TITLES[page]} <{page}>" if page in NAVIGATION_TITLES else page for page in pages)
    return "\n".join(["```{toctree}", ":hidden:", *caption, "", *entries, "```"])


def _append(path: Path, blocks: Sequence[str]) -> None:
    path.write_text("\n\n".join([path.read_text(encoding="utf-8").rstrip(), *blocks]) + "\n", encoding="utf-8")
