"""Replies of a config's own agent in the searches that `regret_table` replays, recorded once.

What is recorded stays; the same command adds what is missing.
"""

from __future__ import annotations

from contextlib import ExitStack
from multiprocessing.pool import ThreadPool

from actors.llm.client import ChatClient
from actors.llm.server import start_llm, stop_llm
from autodp_ray.cluster.ray import connected, interruptible
from autodp_ray.config.run_config import load_config
from benchmarks.protocol import Figures
from benchmarks.recorded_replies import Replies
from benchmarks.regret_table import ASKING, RECORDED, Replayed, whole_teams
from benchmarks.score_table import read_table
from benchmarks.strategy_table import CONFIG, result_of

NUM_AT_ONCE = 8
"""So few that little is lost where it is stopped."""


def run(rows: int | None = None, smoke: bool = False, config: str = CONFIG) -> Figures:
    """How many replies there are; a smoke run records one search of each policy, and keeps nothing."""
    table = read_table(result_of(config))
    loaded = load_config(config)
    replayed = Replayed(table, whole_teams(table), loaded)
    searches = replayed.searches[:1] if smoke else replayed.searches
    model = loaded.models.agent
    with interruptible(), ExitStack() as stack:
        stack.enter_context(connected())
        endpoint = start_llm(model)
        stack.callback(stop_llm, endpoint)
        replies = Replies.read(RECORDED, ask=ChatClient(endpoint, model, role="agent"), keep=not smoke)
        stack.callback(replies.save)  # also where it is stopped
        asked = [(spec, one) for spec in ASKING.values() for one in searches]
        pool = stack.enter_context(ThreadPool(NUM_AT_ONCE))  # its threads end with the process
        for _ in pool.imap(lambda each: replayed.replay(*each, chat=replies), asked):
            pass
    return {"searches": len(asked), "replies": len(replies.texts), "added": replies.num_added}
