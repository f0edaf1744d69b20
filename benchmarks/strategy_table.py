"""Scores of every strategy of a config from several seeds, by item: what searches and claims are replayed on.

The same command goes on where it stopped. The unprocessed sample is trained on from more seeds, since it is the noise.
The baseline and the strategies of the config's first teams come before the others, and what is there is written down
again and again, so that a table that was stopped can be used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from autodp_ray.cluster.ray import connected
from autodp_ray.config.run_config import load_config
from autodp_ray.strategy import NONE, Strategy, Team, strategy_space
from benchmarks.protocol import Figures
from benchmarks.score_table import write_table
from benchmarks.table_making import TableMaking

CONFIG = "configs/quickstart.yaml"
ONE_THREAD = "training.num_threads=1"
NUM_FIRST_TEAMS = 3
"""All strategies of the config's first teams are trained before the others: a space that is whole by itself."""
NUM_SEEDS, NUM_BASELINE_SEEDS, FEW_BASELINE_SEEDS = 3, 33, 6
"""On the quickstart the baseline is trained most often, since claims are replayed with its seeds."""
SMOKE = ("dataset.limit=120", "splits={guide: 6, validation: 8, test: 8, min_train: 8}", "training.steps=2")
SMOKE_STRATEGIES = (Strategy(("cleaning",)), Strategy(("cleaning", "selection")))


def result_of(config: str) -> Path:
    """Where the scores of a config lie."""
    name = "strategy_table" if config == CONFIG else f"strategy_table_{Path(config).stem}"
    return Path(__file__).with_name("results") / f"{name}.parquet"


RESULT = result_of(CONFIG)


def run(rows: int | None = None, smoke: bool = False, config: str = CONFIG) -> Figures:
    """How much was trained; the scores themselves go to `result_of` the config, of a smoke run nowhere."""
    size = SMOKE if smoke else ()
    if rows is not None:
        size = (*size, f"dataset.limit={rows}")
    loaded = load_config(config, [*size, ONE_THREAD])
    strategies = SMOKE_STRATEGIES if smoke else tuple(one for one in strategy_space(loaded.search.teams) if one)
    path = result_of(config)
    with ExitStack() as stack:
        making = TableMaking.start(
            loaded.scoring(",".join(map(str, strategies))),
            setting=f"{config} --set {ONE_THREAD}",
            command=f"python -m benchmarks run strategy_table{'' if config == CONFIG else f' --config {config}'}",
            folder=f"{path.stem}{'_smoke' if smoke else ''}",
            cluster=stack.enter_context(connected()),
            stack=stack,
        )
        baseline_seeds = range(NUM_BASELINE_SEEDS if config == CONFIG and not smoke else FEW_BASELINE_SEEDS)
        for number, (strategy, seeds) in enumerate([(NONE, baseline_seeds), *_order(strategies, loaded.search.teams)]):
            making.train(strategy, seeds)
            if number % 8 == 0 and not smoke:
                write_table(making.table(), path)
        table = making.table()
    if not smoke:
        write_table(table, path)
    counts = [len(table.of(one)) for one in strategies]
    return {
        "trainings": len(table.trainings),
        "baseline_seeds": len(table.of(NONE)),
        "strategies": sum(count > 0 for count in counts),
        "least_seeds_of_a_strategy": min(counts),
        "failed_strategies": making.num_failed,
    }


def _order(strategies: Sequence[Strategy], teams: Sequence[Team]) -> Iterator[tuple[Strategy, range]]:
    first = [one for one in strategies if set(one.teams) <= set(teams[:NUM_FIRST_TEAMS])]
    for group in (first, [one for one in strategies if one not in first]):
        for seed in range(NUM_SEEDS):
            yield from ((strategy, range(seed, seed + 1)) for strategy in group)
