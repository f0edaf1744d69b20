"""Conversations of a YAML corpus file: `conversations:` holds lists of turns."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from autodp_ray.records.files.byte_stream import ByteStream

MAX_BYTES = 1 << 30
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def yaml_conversations(stream: ByteStream, *, every_reply: bool = False) -> Iterator[tuple[int, object, str]]:
    """(ordinal, row, raw text) of each conversation; the row is its opening pair as question and answer.

    With `every_reply`, each later turn that is text makes a row with the opening turn as well. A conversation without
    two turns of text comes as a ValueError in the row's place.
    """
    try:
        content = yaml.load(bytes(stream.read(MAX_BYTES)), Loader=_Loader)
    except yaml.YAMLError:
        yield 1, ValueError("invalid YAML"), ""
        return
    conversations = content.get("conversations") if isinstance(content, dict) else None
    for ordinal, turns in enumerate(conversations if isinstance(conversations, list) else [], 1):
        raw = str(turns)
        if not isinstance(turns, list) or len(turns) < 2 or not all(isinstance(turn, str) for turn in turns[:2]):
            yield ordinal, ValueError("a conversation without two turns"), raw
        else:
            for reply in turns[1:] if every_reply else turns[1:2]:
                if isinstance(reply, str):
                    yield ordinal, {"question": turns[0], "answer": reply}, raw
