"""A comparison as Markdown, in the shape of the paper's tables 2, 3, 4, 6 and 7 and figures 3 and 4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

from autodp_ray.comparing.comparison import Comparison, Duel
from autodp_ray.strategy import NO_PROCESSING

HOW_TO_READ = (
    "Intervals hold what other rows and other trainings would say. The p of the sign test is of these very models, so "
    "read intervals first."
)


def comparison_table(found: Comparison) -> str:
    """The page compare.md."""
    rows = ", ".join(f"{count} {name}" for name, count in found.rows.items())
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    parts = [
        f"# Comparison on {found.dataset}",
        f"Made by `{found.command}`; {versions}"
        + ("" if found.git_commit is None else f"; commit {found.git_commit[:12]}")
        + ".",
        f"Rows: {rows}. A search takes at most {found.trainings} trainings, scored by `{found.evaluator}`; two "
        f"trainings on the same rows differ by up to {found.noise_floor:.4f} (noise floor). Final models: "
        f"{found.final_seeds} for each winner, on the whole train split; their scores are on test rows that no search "
        f"saw. {HOW_TO_READ}" + _repeats(found),
        "## Searches",
        _searches(found),
    ]
    for judge in dict.fromkeys(duel.judge for duel in found.duels):
        parts += [f"## {found.ours} against the others, by {judge}", _duels(_by(found.duels, judge))]
        parts += [f"## Gain over no processing, by {judge}", _gains(_by(found.gains, judge))]
        parts += [
            f"## No processing against itself with other seeds, by {judge}",
            _checks(_by(found.self_checks, judge)),
        ]
    return "\n\n".join(parts) + "\n"


def _repeats(found: Comparison) -> str:
    most = max(len(found.searches_of(arm)) for arm in found.arms)
    if most == 1:
        return ""
    return (
        f" Each policy searched {most} times; ± is the standard deviation over these searches. An interval is over "
        "items and the seeds of final models; that other searches may choose otherwise shows in ± alone."
    )


def _by(duels: Iterable[Duel], judge: str) -> list[Duel]:
    return [duel for duel in duels if duel.judge == judge]


def _searches(found: Comparison) -> str:
    """The paper's Table 2, and what each arm chose."""
    lines = []
    for arm in found.arms:
        searches = found.searches_of(arm)
        chosen = Counter(each.winner for each in searches)
        words = ", ".join(name if count == len(searches) else f"{name} ({count})" for name, count in chosen.items())
        scores = [each.winner_score or 0.0 for each in searches]
        rounds, scored = [each.rounds for each in searches], [each.num_scored for each in searches]
        lines.append([arm, _count(rounds), _count(scored), words, _spread(scores, 4, signed=True)])
    return _table(["policy", "rounds to the end", "strategies scored", "winner", "its gain on validation"], lines)


def _duels(duels: Sequence[Duel]) -> str:
    """The paper's Tables 3, 4, 6 and 7."""
    lines = [
        [
            f"{duel.ours} vs. {_named(duel.theirs)}",
            duel.model,
            *(f"{share:.4f}" for share in (duel.wins, duel.ties, duel.losses)),
            _estimate(duel),
            f"{duel.sign_test_p:.3g}",
            "–" if duel.position_bias is None else f"{duel.position_bias:+.2f}",
        ]
        for duel in duels
    ]
    head = ["", "model", "our wins", "ties", "our losses", "difference (95 %)", "sign test p", "position bias"]
    return _table(head, lines) + _abstentions(duels)


def _abstentions(duels: Sequence[Duel]) -> str:
    """What draws a judge's scores to zero, where it does."""
    most = max((duel.abstained_frac or 0.0 for duel in duels), default=0.0)
    return f"\n\nUp to {100 * most:.1f} % of the judge's replies name no winner." if most else ""


def _gains(duels: Sequence[Duel]) -> str:
    """The paper's Figures 3 and 4: the spread is that over repeats of the search."""
    lines = [
        [
            duel.ours,
            duel.model,
            _spread([each.wins for each in duel.repeats], 4),
            _estimate(duel),
            _spread([each.difference for each in duel.repeats], 4, signed=True),
        ]
        for duel in duels
    ]
    return _table(["policy", "model", "wins", "difference (95 %)", "over repeats of the search"], lines)


def _checks(duels: Sequence[Duel]) -> str:
    lines = [
        [duel.model, _estimate(duel), "holds zero" if duel.ci95[0] <= 0 <= duel.ci95[1] else "**does not hold zero**"]
        for duel in duels
    ]
    return _table(["model", "difference (95 %)", "its interval"], lines)


def _named(arm: str) -> str:
    return "no processing" if arm == NO_PROCESSING else arm


def _estimate(duel: Duel) -> str:
    if duel.is_of_same_strategies:
        return "0, same strategy"
    low, high = duel.ci95
    return f"{duel.difference:+.4f} [{low:+.4f}, {high:+.4f}]"


def _count(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else _spread(numbers, 1)


def _spread(values: Sequence[float], decimals: int, *, signed: bool = False) -> str:
    """A mean, with the standard deviation where there are several."""
    mean = f"{fmean(values):{'+' if signed else ''}.{decimals}f}"
    return mean if len(values) == 1 else f"{mean} ± {stdev(values):.{decimals}f}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))
