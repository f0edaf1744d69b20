"""What a benchmark is: a module with a function `run(rows, smoke)` that returns figures.

Figures are nested plain data: numbers, texts, and what was repeated as `repeated.spread` makes it. bars.yaml says which
of them are gates, table.yaml which are shown. A benchmark whose bars are figures of the same run may judge itself: it
then has its gates among what it returns, as `gates`, and may put the rest into `figures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol, cast

Figures = Mapping[str, object]

ON_CLUSTERS = frozenset({"throughput"})
"""Benchmarks that run on the cluster that they are submitted to: these also take `storage` and `workers`."""
OF_CONFIGS = frozenset({"strategy_table", "agent_replies", "regret_table"})
"""Benchmarks of a run's setting: these also take `config`, another one than the quickstart's."""

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "agent_replies": "what the agent answers in the searches that are replayed, recorded once",
        "ablation": "the search with and without each acceleration, as in the paper's Table 5",
        "cache_hits": "what a hit in the strategy cache costs, live and from disk, beside a plain read",
        "cleaning": "rows/s of each cleaning operator, beside the libraries that do the same work",
        "cleaning_fidelity": "what cleaning removes from scraped pages, and which texts it wrongly changes or drops",
        "claims": "how often a claim is false, and what gain a confirmation finds, by its number of trainings",
        "controls": "whether a model tuned on shuffled answers loses, and no processing against itself does not",
        "damage": "what cleaning gains over no processing at several rates of planted damage",
        "gradient_selection": "speed of per-sample gradients and sketches, and what influence finds among planted rows",
        "operators": "MB/s of each cleaning operator by language, beside parsing and hashing the same rows",
        "memory": "bytes that the driver holds of each row while a run is prepared, by phase",
        "peers": "our cleaning beside Data-Juicer, datatrove, datasketch and rensa: MB/s, F1 and memory in one process",
        "sampling_fidelity": "how true a 20 % sample is to real conversations, by method, beside random rows",
        "regret": "how far search policies stay from the best strategy on made landscapes, by strategies scored",
        "regret_table": "the same on real trainings: searched on one seed's scores, judged on the other seeds'",
        "reply_guards": "recall and false alarms of the guards on replies, by kind of fault and language, held out",
        "screener": "AUC of the screener by kind of damage, seen in training or not, and its rows/s",
        "serving": "what Ray Serve adds to the chat engine's own processor time, at a batch of 32",
        "serving_vllm": "the same for vllm on CPUs, from the environment that has it",
        "settings": "which damage needs more than one team: what pairs gain beyond single teams, by mix of damage",
        "strategy_table": "scores of all strategies of a config, item by item: what searches are replayed on",
        "throughput": "rows/s of a whole dataset through the cleaning team, from files to files, on any cluster",
        "training": "what an evaluation spends on anything but training and validation, and what packing saves",
        "undamaged": "what real runs claim on undamaged data, and whether fresh trainings bear it out",
        "winners": "what it costs to recommend the shortest of equals, and how often a longer strategy wins by chance",
        "sampling": "seconds, passes and peak memory of each sampling method, out of core",
    }
)
"""Every benchmark and what it measures; the module of that name in this package runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    rows: int | None = None
    smoke: bool = False
    storage: str | None = None
    """Where data lies that all nodes of a cluster see."""
    workers: tuple[int, ...] = ()
    """Numbers of workers that are compared."""
    config: str | None = None
    """The config of a run."""

    def arguments(self) -> dict[str, Any]:
        """Those of `run`; what only some benchmarks take is left out where nobody named it."""
        of_some = {"storage": self.storage, "workers": self.workers, "config": self.config}
        return {"rows": self.rows, "smoke": self.smoke} | {name: value for name, value in of_some.items() if value}


class Benchmark(Protocol):
    """The module of a benchmark."""

    def run(self, rows: int | None = None, smoke: bool = False) -> Figures:
        """The figures. `rows` None is the benchmark's own size; `smoke` one that takes minutes and claims nothing."""


def load(name: str) -> Benchmark:
    """Imports a benchmark; what it needs is loaded only now."""
    return cast(Benchmark, import_module(f"benchmarks.{name}"))
