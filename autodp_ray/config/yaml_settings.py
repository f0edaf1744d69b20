"""Settings out of YAML text: plain values, whatever the text holds, or one clear line.

YAML can be made to grow without bound (aliases of aliases), to nest into itself and to name types. Settings need none
of that, so the text is measured before anything is built from it. Dates are texts here, and a key stands only once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from operators.contract.errors import InputError

MAX_BYTES = 1 << 20
"""Of a config file: hundreds of times what a config takes."""
MAX_DEPTH, MAX_NODES = 40, 50_000
MAX_NUMBER = 1 << 63
A_CONFIG = "`autodp init DATA` writes a config to start from"


def read_settings(path: str, *, advice: str = A_CONFIG) -> dict[str, object]:
    """The settings in a file; the advice is what to do where there is no such file, or nothing in it.

    Raises: InputError where it cannot be read, is no YAML, or holds no settings.
    """
    values = parse_value(_text_of(path, advice), source=shown(path))
    if not isinstance(values, dict):
        raise InputError(f"{shown(path)} holds no settings; {advice}")
    return values


def parse_value(text: str, *, source: str) -> object:
    """One YAML value. Raises: InputError with the source's name where it is none, or one that no setting can have."""
    if len(text) > MAX_BYTES:
        raise InputError(f"{source} is no valid YAML for settings: it is longer than {MAX_BYTES} characters")
    try:
        _measure(text)
        return yaml.load(text, Loader=_Loader)  # a SafeLoader: it builds plain values alone
    except (yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(f"{source} is no valid YAML: {_said(error)}") from None
    except RecursionError:
        raise InputError(f"{source} is no valid YAML: it is nested too deep") from None


def shown(text: str, limit: int = 200) -> str:
    """A text in a message, cut where it is long."""
    return text if len(text) <= limit else f"{text[:limit]}..."


class _Loader(yaml.SafeLoader):
    """Plain values; a date stays a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, object]:
    """A mapping with texts for keys, each of which stands once; `<<` merges others in."""
    own = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    twice = [key for at, key in enumerate(own) if isinstance(key, str) and key in own[:at]]
    if twice:
        raise ValueError(f"the key {shown(twice[0], 60)!r} stands twice, in line {node.start_mark.line + 1} or below")
    loader.flatten_mapping(node)
    found: dict[Any, object] = loader.construct_mapping(node, deep=True)
    return {_key(key): value for key, value in found.items()}


def _key(key: object) -> str:
    """YAML reads `on` and `1` as no texts; as keys they are unknown ones by their own name."""
    return key if isinstance(key, str) else shown(repr(key), 60)


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    number = loader.construct_yaml_int(node) if len(str(text)) <= 100 else MAX_NUMBER
    if abs(number) >= MAX_NUMBER:
        raise ValueError(f"{shown(str(text), 40)} is too large a number, in line {node.start_mark.line + 1}")
    return int(number)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)


def _measure(text: str) -> None:
    """Raises: ValueError for text that would grow beyond all settings; the events alone are looked at."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, start = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = total - start
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent) and event.anchor is not None:
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise ValueError(f"*{shown(event.anchor, 60)} stands inside of what it names")
            total += sizes.get(event.anchor, 1)
        if len(open_nodes) > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
        if total > MAX_NODES:
            raise ValueError(f"it holds more than {MAX_NODES} values, what its aliases repeat among them")


def _text_of(path: str, advice: str) -> str:
    try:
        file = Path(path)
        if file.is_dir():
            raise InputError(f"{shown(path)!r} is a folder; name a YAML file in it")
        if not file.is_file():
            raise InputError(f"there is no file {shown(path)!r}; {advice}")
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) else "it holds a null character"
        raise InputError(f"the file {shown(path)!r} cannot be read: {reason}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown(path)} is no valid YAML: byte {error.start} is not UTF-8; save it as UTF-8") from None


def _said(error: Exception) -> str:
    """What is wrong, in one line that quotes little of the text."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{shown(' '.join(str(error.problem).split()))}, in line {mark.line + 1}, column {mark.column + 1}"
    words = " ".join(str(error).split()) or type(error).__name__
    return shown(words, 300)
