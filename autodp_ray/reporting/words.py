"""A result in words: the outcome, what it means, what to do next, and how numbers are spelled.

Knows the numbers and words of result.json and no markup.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from actors.storage.storage import Storage
from autodp_ray.evaluators.registry import EVALUATORS
from autodp_ray.reporting.explanation import Explanation
from autodp_ray.reporting.forest_plot import Axis, axis_over, signed
from autodp_ray.result import Bounds, Hardware, RoundResult, RowCounts, RunResult, StrategyResult
from autodp_ray.search.policies.registry import policy_endings, source_words
from autodp_ray.search.racing import RACE, RACE_WORDS
from autodp_ray.search.stop_rules.registry import rule_endings
from operators.contract.redaction import redacted

AGAIN = "Run the same search again"
SOURCE_WORDS: Mapping[str, str] = {**source_words(), RACE: RACE_WORDS}
STOP_WORDS: Mapping[str, str] = {reason.name: reason.words for reason in (*policy_endings(), *rule_endings())}


def headline(result: RunResult) -> str:
    """The outcome in one plain sentence."""
    if result.status == "running":
        return "The search is still running."
    if result.status == "failed":
        return "The run failed before it could make a claim."
    if result.status == "interrupted":
        return "The run was interrupted before it could make a claim."
    return {
        "confirmed": f"{_tuned(result)}, the model is better when the data is processed by {result.best_strategy}.",
        "unconfirmed": "Nothing is proven to beat the unprocessed data.",
        "none": "No strategy beat the unprocessed data." if scored_of(result) else "No strategy was scored.",
        None: "The run ended without a claim.",
    }[result.claim]


def verdict(result: RunResult) -> str:
    """What was measured, what it means and what to do, in plain words with the numbers."""
    measured = _measured_on_test(result)
    if result.claim == "confirmed":
        return (
            f"{_chosen(result)} on validation. "
            f"On test rows that the search never saw, it scores {measured} against training on the unprocessed data. "
            f"The whole interval is above zero.{_in_other_words(result)}{_tried_before(result)}"
        )
    if result.claim == "unconfirmed" and result.test_score is None:
        return (
            f"{_chosen(result)} on validation, but it could not be measured on test rows. "
            "The recommendation is to train on the data as it is."
        )
    if result.claim == "unconfirmed":
        return (
            f"{_chosen(result)} on validation, but on test rows that the search never saw its gain is "
            f"{measured}: the interval does not lie above zero.{_in_other_words(result)}{_confirmable(result)} "
            f"The recommendation is to train on the data as it is.{_tried_before(result)}"
        )
    if result.claim == "none":
        unread = "; the test rows were not read" if result.test_score is None else ""
        return f"{_without_gain(result)}{unread}. The recommendation is to train on the data as it is."
    if not any(strategies_of(result)):
        return "No strategy was scored."
    return "What was scored so far is shown below; it is a ranking on validation rows, and no claim."


def balance(rows: RowCounts) -> str | None:
    """Where every row went as a sum, once the winner was applied; None where the counts are of different data."""
    if rows.out is None or rows.in_ is None:
        return None
    held_out = sum(part or 0 for part in (rows.guide, rows.validation, rows.test, rows.set_aside))
    dropped, quarantined, generated = sum(rows.dropped.values()), rows.quarantined or 0, rows.generated or 0
    if rows.in_ != rows.out + dropped + quarantined + held_out - generated:
        return None
    return (
        f"{count(rows.in_)} in = {count(rows.out)} out + {count(dropped)} dropped + {count(quarantined)} quarantined "
        f"+ {count(held_out)} held out \N{MINUS SIGN} {count(generated)} generated"
    )


def reproduction_commands(result: RunResult) -> tuple[tuple[str, str], ...]:
    """(what it does, command line) pairs for this run, with its own paths quoted for a shell."""
    commands = []
    if result.run_dir and result.status in ("failed", "interrupted"):
        commands.append(("Go on where it stopped", ["autodp", "run", "--resume", result.run_dir]))
    if result.config_path:
        again = ["--run-dir", _beside(result.run_dir)] if result.run_dir else []
        changes = [word for override in result.overrides for word in ("--set", override)]
        given = ["--strategies", result.strategies] if result.strategies is not None else []
        words = ["autodp", "run", *_as_argument(result.config_path), *again, *changes, *given]
        commands.append((AGAIN, words))
    if result.run_dir and result.status == "done":
        commands.append(("Process the full train split", ["autodp", "apply", result.run_dir]))
        model = ["--model", result.model] if result.model else []
        commands.append(("Fine-tune on the processed data", ["autodp", "tune", result.run_dir, *model]))
        if result.tested is not None:
            commands.append(("Say which operators did it", ["autodp", "explain", result.run_dir]))
    if result.run_dir:
        commands.append(("Rebuild this page", ["autodp", "report", result.run_dir]))
    return tuple((what, command_line(*words)) for what, words in commands)


def command_line(*words: str) -> str:
    """A command to copy into a shell, without secrets."""
    return shlex.join(redacted(word) for word in words)


def _beside(run_dir: str) -> str:
    """A folder for the repeated run; a relative path stays one."""
    is_uri = "://" in run_dir
    return Storage.at(run_dir).beside("-again").location if is_uri else f"{run_dir.rstrip('/')}-again"


def _as_argument(path: str) -> tuple[str, ...]:
    """A path that begins like an option, told from one."""
    return (f"./{path}",) if path.startswith("-") else (path,)


def duration(seconds: float) -> str:
    """Seconds in the two largest units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: float) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def counted(number: int, one: str, many: str) -> str:
    """As in `1 round`."""
    return f"{number} {one if number == 1 else many}"


def flattery(result: RunResult) -> str:
    """Why the best score on validation says too much."""
    num = len(scored_of(result))
    return f"flattered by choice: the highest of {count(num)}" if num > 1 else "one training"


def _tuned(result: RunResult) -> str:
    """What the claim was tested with: the steps of a training, and the rows that it saw."""
    steps = {one.steps for one in strategies_of(result) if one.strategy == result.best_strategy} - {None}
    time = f" for {count(steps.pop() or 0)} steps" if len(steps) == 1 else ""
    rows = f"a sample of {count(result.rows.sampled)} rows" if result.rows.sampled is not None else "a sample"
    return f"Tuned{time} on {rows}"


def _without_gain(result: RunResult) -> str:
    """Why no strategy was worth reading test rows for."""
    if not scored_of(result):
        reason = STOP_WORDS.get(result.stop_reason or "", result.stop_reason)
        return "No strategy was scored" + (f": {reason}" if reason else "")
    if any((strategy.score or 0.0) > 0 for strategy in strategies_of(result)):
        return "On validation, no leader scored above the unprocessed data once it was trained from a second seed too"
    return "Every strategy that was tried scored at or below the unprocessed data on validation"


def _chosen(result: RunResult) -> str:
    """Why the test rows were read for a strategy."""
    if result.tested in (None, result.best_measured):
        return f"{result.best_measured} scored best"
    return f"{result.tested} is the shortest within one standard error of {result.best_measured}, which scored best"


def _measured_on_test(result: RunResult) -> str:
    """The test score with its unit and interval."""
    if result.test_score is None:
        return "not measured"
    decimals, unit = axis_of(result).decimals, unit_of(result)
    text = " ".join(filter(None, (signed(result.test_score, decimals=decimals), unit)))
    return text if result.test_ci95 is None else f"{text} (95 % interval {interval(result.test_ci95, decimals)})"


def _confirmable(result: RunResult) -> str:
    """Which gain so wide an interval finds."""
    found = result.confirmation
    if found is None:
        return ""
    gain = signed(found.detectable_gain, decimals=axis_of(result).decimals)
    return f" With so many trainings and test rows, a gain of about {gain} is confirmed in four of five runs."


def _tried_before(result: RunResult) -> str:
    """What other claims on the same test rows mean for this one."""
    if result.test_reads is None or result.test_reads < 2:
        return ""
    return (
        f" It is one of {count(result.test_reads)} claims that were tried on these test rows, and the more are tried, "
        "the likelier one is confirmed by chance: before you rely on one, test it on rows that none has seen."
    )


def tested_on(result: RunResult) -> str:
    """How many items and trainings are behind the test score; nothing where an earlier version measured it."""
    found = result.confirmation
    if found is None:
        return ""
    trainings = f"{len(found.candidate)} against {len(found.baseline)} trainings"
    return f", {count(found.num_items)} items, {trainings}"


def origin(result: RunResult) -> tuple[tuple[str, str], ...]:
    """(name, value) pairs that say what a result was computed from, by what and where; those that are known."""
    commit = result.git_commit and result.git_commit.replace("-dirty", ", with files changed since")
    found = {
        "Dataset": result.dataset,
        "Hash of its rows": result.content_hash,
        "Seeds": ", ".join(f"{section} {seed}" for section, seed in result.seeds.items()),
        "Tuned model": result.model,
        "Evaluator": result.evaluator,
        "Config": result.config_path,
        "Run folder": result.run_dir,
        "Commit": commit,
        "Hardware": None if result.hardware is None else _hardware(result.hardware),
    }
    return tuple((name, value) for name, value in found.items() if value)


def _hardware(hardware: Hardware) -> str:
    nodes = "; ".join(
        f"{kind.num_nodes} x {kind.num_cpus:g} CPUs"
        + (f", {kind.num_gpus:g} GPUs {kind.accelerator or ''}".rstrip() if kind.num_gpus else "")
        for kind in hardware.nodes
    )
    return ": ".join(filter(None, (hardware.processor, nodes)))


def _in_other_words(result: RunResult) -> str:
    """The test score in another unit, where its evaluator has one."""
    evaluator = EVALUATORS.get(result.evaluator or "")
    if evaluator is None or result.test_score is None:
        return ""
    words = evaluator.in_other_words(result.test_score)
    return f" {words}" if words else ""


def unit_of(result: RunResult) -> str | None:
    """What its scores are measured in; None where its evaluator is not known."""
    evaluator = EVALUATORS.get(result.evaluator or "")
    return None if evaluator is None else evaluator.unit


def note_of(result: RunResult) -> str | None:
    """The limits of what its evaluator measures; None where that is not known."""
    evaluator = EVALUATORS.get(result.evaluator or "")
    return None if evaluator is None else evaluator.note


def interval(ci95: Bounds, decimals: int = 3) -> str:
    """Both ends, with their signs."""
    return f"{signed(ci95[0], decimals=decimals)} to {signed(ci95[1], decimals=decimals)}"


def strategies_of(result: RunResult) -> Iterator[StrategyResult]:
    """Every strategy of every round."""
    return (strategy for one in result.rounds for strategy in one.strategies)


def abstentions(result: RunResult) -> str:
    """What draws a judge's scores to zero; nothing where all its replies name a winner or a tie."""
    if not result.abstained_frac:
        return ""
    return f"{100 * result.abstained_frac:.1f} % of the judge's replies name no winner, which draws scores to zero"


def is_race(one: RoundResult) -> bool:
    """Whether leaders met again in it: nothing new was proposed."""
    return bool(one.strategies) and all(strategy.source == RACE for strategy in one.strategies)


def scored_of(result: RunResult) -> frozenset[str]:
    """The strategies that have a score, however often they were trained."""
    return frozenset(one.strategy for one in strategies_of(result) if one.score is not None)


def axis_of(result: RunResult, explanation: Explanation | None = None) -> Axis:
    """One axis for every score of the page, so that rounds, noise floor and test compare by eye."""
    values = [value for value in (result.best_score, result.test_score) if value is not None]
    for strategy in strategies_of(result):
        values += [] if strategy.score is None else [strategy.score]
        values += strategy.ci95 or ()
    values += [*(result.ci95 or ()), *(result.test_ci95 or ())]
    for part in () if explanation is None else explanation.contributions:
        values += part.ci95 or ()
    values += [] if result.noise_floor is None else [-result.noise_floor, result.noise_floor]
    return axis_over(values)
