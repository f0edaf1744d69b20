"""How many workers a pass gets and of what kind, by what its operators need."""

from __future__ import annotations

import pytest

from actors.data.pool_config import PoolConfig, Workers
from operators.contract.operator import Needs


@pytest.mark.parametrize(
    ("needs", "num_parts", "num_rows", "expected"),
    [
        (Needs(), 1000, 100_000, Workers(num_cpus=0.5, num_gpus=0.0, max_workers=8, kind="tasks")),
        (Needs(tokenizer=True), 1000, 100_000, Workers(num_cpus=0.5, num_gpus=0.0, max_workers=8, kind="tasks")),
        (Needs(embedder=True), 32, 100_000, Workers(num_cpus=0.5, num_gpus=0.0, max_workers=8, kind="pool")),
        (Needs(completer=True), 32, 100_000, Workers(num_cpus=0.5, num_gpus=0.0, max_workers=3, kind="pool")),
        (Needs(completer=True), 31, 100_000, Workers(num_cpus=0.5, num_gpus=0.0, max_workers=3, kind="tasks")),
        (Needs(completer=True), 1, 100, Workers(num_cpus=0.5, num_gpus=0.0, max_workers=3, kind="kept")),
        (Needs(), 1, 100, Workers(num_cpus=0.5, num_gpus=0.0, max_workers=8, kind="kept")),
        (Needs(own_model=True), 32, 100_000, Workers(num_cpus=0.5, num_gpus=0.0, max_workers=8, kind="pool")),
        (Needs(cpus=0.25), 1, 100, Workers(num_cpus=0.5, num_gpus=0.0, max_workers=8, kind="kept")),
        (Needs(cpus=4), 1, 100, Workers(num_cpus=4.0, num_gpus=0.0, max_workers=8, kind="tasks")),
        (Needs(gpus=2), 1, 100, Workers(num_cpus=0.5, num_gpus=2.0, max_workers=8, kind="pool")),
        (Needs(gpus=0.5, influence=True), 9, 99, Workers(num_cpus=0.5, num_gpus=1.0, max_workers=4, kind="pool")),
        (Needs(influence=True), 1, 100, Workers(num_cpus=0.5, num_gpus=1.0, max_workers=4, kind="pool")),
    ],
)
def test_needs_say_how_many_workers_and_of_what_kind(
    needs: Needs, num_parts: int, num_rows: int, expected: Workers
) -> None:
    pool = PoolConfig(max_workers=8, max_llm_workers=3, max_gradient_workers=4, num_gpus_per_gradient_worker=1.0)
    assert pool.workers([Needs(), needs], num_parts=num_parts, num_rows=num_rows) == expected


def test_without_limits_the_cluster_is_the_limit_but_for_what_asks_a_chat_model() -> None:
    assert PoolConfig().workers([Needs()], num_parts=100, num_rows=100_000).max_workers is None
    assert PoolConfig().workers([Needs(influence=True)], num_parts=100, num_rows=100_000).max_workers is None
    assert PoolConfig().workers([Needs(completer=True)], num_parts=100, num_rows=100_000).max_workers == 2
