"""The table of replayed searches: a line for each start and policy, the mean regret by strategies scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_STARTS = {"own_start": "its own", "drawn_start": "drawn"}
_AFTER = (1, 3, 4, 6, 8, 12)
_RECOMMENDED = 6


def policies_table(figures: Mapping[str, Any]) -> str:
    """Markdown from the figures of `regret_table`."""
    head = (
        *("policy", "first round", "searches", *(f"after {num}" for num in _AFTER)),
        *("strategies to the noise floor", f"recommended after {_RECOMMENDED}"),
    )
    lines = [_line(head), _line("---" for _ in head)]
    for start, words in _STARTS.items():
        lines += [_policy(name, words, one) for name, one in figures[start].items()]
    if "own_start_of_agent_surrogate" in figures:
        own, drawn = (figures[f"{start}_of_agent_surrogate"]["most_above_the_better"] for start in _STARTS)
        lines += [
            "",
            "The most by which `agent_surrogate` regrets more than the better of `agent` and `ucb`, after one to six "
            f"strategies: {own:.4f} with its own first round, {drawn:.4f} with a drawn one.",
        ]
    return "\n".join(lines)


def _policy(name: str, start: str, found: Mapping[str, Any]) -> str:
    errors = found["standard_error"]
    regrets = ((found.get(f"after_{num}"), errors.get(f"after_{num}")) for num in _AFTER)
    cells = ("" if regret is None else f"{regret:.4f} ± {error:.4f}" for regret, error in regrets)
    near = found["evaluations_to_the_noise_floor"]
    recommended = found["recommended"][f"after_{_RECOMMENDED}"]
    return _line(
        (name, start, str(found["searches"]), *cells, "none" if near is None else str(near), f"{recommended:.4f}")
    )


def _line(cells: tuple[str, ...] | Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"
