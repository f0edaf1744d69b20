"""Key-value cache of a decoding batch: grows without copying each step, drops and takes in rows.

Knows tensors [B, heads, length, head_dim] and nothing of requests. Only plain causal attention is supported.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

GROWTH = 64
"""Spare columns that are reserved whenever a layer runs full."""


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped here
    """A cache layer that writes new columns into reserved space; upstream's copies the whole layer at each token."""

    keys: torch.Tensor
    values: torch.Tensor
    _key_space: torch.Tensor
    _value_space: torch.Tensor

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends the states of new tokens and returns all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.set(key_states[:, :, :0], value_states[:, :, :0])
        start, length = self.keys.shape[2], self.keys.shape[2] + key_states.shape[2]
        if length > self._key_space.shape[2]:
            self._key_space = _with_room(self.keys, length + GROWTH)
            self._value_space = _with_room(self.values, length + GROWTH)
        self._key_space[:, :, start:length] = key_states
        self._value_space[:, :, start:length] = value_states
        self.keys, self.values = self._key_space[:, :, :length], self._value_space[:, :, :length]
        return self.keys, self.values

    def set(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Replaces the content; the tensors are not written to afterwards."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self._key_space, self._value_space = keys, values


def _with_room(tensor: torch.Tensor, capacity: int) -> torch.Tensor:
    batch, heads, length, dim = tensor.shape
    space = tensor.new_zeros((batch, heads, capacity, dim))
    space[:, :, :length] = tensor
    return space


KeyValues = tuple[tuple[torch.Tensor, torch.Tensor], ...]
"""Keys and values of every layer, each [B, heads, length, head_dim]."""


def make_cache(content: KeyValues = (), *, num_layers: int = 0) -> DynamicCache:
    """A cache that starts with this content, or an empty one for `num_layers` layers."""
    cache = DynamicCache()
    cache.layers = [GrowingLayer() for _ in range(len(content) or num_layers)]
    for layer, (keys, values) in zip(cache.layers, content, strict=False):
        layer.set(keys, values)
    return cache


def content_of(cache: DynamicCache) -> KeyValues:
    """What the cache holds."""
    return tuple((layer.keys, layer.values) for layer in cache.layers)


def repeat_rows(content: KeyValues, num_rows: int) -> KeyValues:
    """One cached row, seen as `num_rows` equal ones without copying."""
    return tuple((k.expand(num_rows, -1, -1, -1), v.expand(num_rows, -1, -1, -1)) for k, v in content)


def take_columns(content: KeyValues, length: int) -> KeyValues:
    """The first `length` columns, as copies that do not keep the rest alive."""
    return tuple((k[:, :, :length].clone(), v[:, :, :length].clone()) for k, v in content)


def select_rows(content: KeyValues, rows: Sequence[int], *, first_column: int) -> KeyValues:
    """Only these rows, without the columns before `first_column`."""
    index = torch.as_tensor(rows, device=content[0][0].device)
    return tuple(
        (k[:, :, first_column:].index_select(0, index), v[:, :, first_column:].index_select(0, index))
        for k, v in content
    )


def stack_rows(first: KeyValues, second: KeyValues) -> KeyValues:
    """The rows of both, the shorter one padded with zeros on its left."""
    return tuple(
        (left_pad_and_stack(k0, k1), left_pad_and_stack(v0, v1))
        for (k0, v0), (k1, v1) in zip(first, second, strict=True)
    )


def left_pad_and_stack(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Stacks [B0, heads, L0, D] on [B1, heads, L1, D]."""
    length = max(first.shape[2], second.shape[2])
    stacked = first.new_zeros((first.shape[0] + second.shape[0], first.shape[1], length, first.shape[3]))
    stacked[: first.shape[0], :, length - first.shape[2] :] = first
    stacked[first.shape[0] :, :, length - second.shape[2] :] = second
    return stacked
