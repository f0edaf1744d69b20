"""One name, one thing: who reads a name in one file need not ask which of several it is."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("operators", "actors", "autodp_ray")


def definitions() -> Iterator[tuple[str, str, str]]:
    """Name, definition and place of every public class and type alias at the top of a file.

    A class is what it is in one place; an alias is the text that it stands for.
    """
    for path in sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, f"class of {place}", place
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and target.id[:1].isupper() and not target.id.isupper():
                    yield target.id, ast.unparse(node.value), place


def test_no_name_means_several_things() -> None:
    meanings: dict[str, dict[str, str]] = defaultdict(dict)
    for name, definition, place in definitions():
        meanings[name].setdefault(definition, place)
    assert len(meanings) > 300
    several = {name: sorted(found.values()) for name, found in meanings.items() if len(found) > 1}
    assert not several
