"""The table of the rules by which a search chooses: a line for each setting, number of strategies and rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SETTINGS = {"quickstart": "the quickstart", "two_teams": "two teams", "alike": "all alike"}
_RULES = {
    "highest": "nothing: the highest score wins",
    "items": "an interval of 95 % over items",
    "items_and_seeds": "an interval of 95 % over items and seeds",
    "one_standard_error": "one standard error of items and seeds",
}
_HEAD = (
    "| setting | strategies tried | a shorter one is tied by | regret | more than of the highest score "
    "| teams of the winner | longer in vain |\n"
    "|---|---|---|---|---|---|---|"
)


def winners_table(figures: Mapping[str, Any]) -> str:
    """Markdown from the figures of `winners`."""
    lines = [
        _line(words, tried.removeprefix("tried_"), _RULES[rule], found)
        for name, words in _SETTINGS.items()
        for tried, rules in figures[name].items()
        for rule, found in rules.items()
    ]
    return "\n".join([_HEAD, *lines])


def _line(setting: str, tried: str, rule: str, found: Mapping[str, float]) -> str:
    more = f"{found['regret_beyond_the_highest']:+.4f} ± {found['standard_error']:.4f}"
    cells = (
        setting,
        tried,
        rule,
        f"{found['regret']:.4f}",
        more,
        f"{found['teams']:.2f}",
        f"{found['longer_in_vain']:.0%}",
    )
    return f"| {' | '.join(cells)} |"
