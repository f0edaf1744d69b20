"""How the ranks of a training share the rows of an evaluation, and tell each other what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import torch.distributed as dist

from actors.training.chat_rows import Example
from actors.training.job import Advance, OnAdvance

T = TypeVar("T")


def groups(examples: Sequence[Example], sizes: Sequence[int], *, max_tokens: int) -> list[list[int]]:
    """Indices of the rows of each forward pass: rows of like size (in tokens) together, up to `max_tokens`."""
    order = sorted(range(len(examples)), key=lambda at: (sizes[at], examples[at].row_id))
    found: list[list[int]] = []
    room = 0
    for at in order:
        if not found or sizes[at] > room:
            found.append([])
            room = max_tokens
        found[-1].append(at)
        room -= sizes[at]
    return found


def share_of_rank(all_groups: list[list[int]]) -> list[list[int]]:
    """Every n-th group; ranks that would have one less repeat one, since sharded models move in step."""
    if not (dist.is_available() and dist.is_initialized()) or not all_groups:
        return all_groups
    rank, ranks = dist.get_rank(), dist.get_world_size()
    rounds = -(-len(all_groups) // ranks)
    return [all_groups[(at * ranks + rank) % len(all_groups)] for at in range(rounds)]


def advancing(share: Sequence[list[int]], on_advance: OnAdvance) -> Iterator[list[int]]:
    """The groups of this rank's share; after each it is said how many of the share's rows are done."""
    total, done = sum(map(len, share)), 0
    for group in share:
        yield group
        done += len(group)
        on_advance(Advance(done=done, total=total, unit="rows"))


def gathered(mine: Mapping[int, T]) -> Mapping[int, T]:
    """What all ranks found, by row."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return mine
    parts: list[Mapping[int, T]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, mine)
    return {at: one for part in parts for at, one in part.items()}
