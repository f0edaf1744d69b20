"""`python -m benchmarks.paper_hours`: GPU hours of the paper's settings, by arithmetic. Nothing here is measured.

A training step costs 6 floating-point operations for each parameter and token, a forward pass 2 (Kaplan et al., 2020).
All counts are upper bounds: every round is used, nothing comes from the cache, every team asks about each row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from autodp_ray.config.run_config import Config, load_config

CONFIGS = Path(__file__).parents[1] / "configs" / "paper"
PEAK_FLOPS = 312e12
"""An A100's products in bfloat16, in a second."""
PARAMETERS = {
    "Qwen/Qwen2.5-1.5B-Instruct": 1.54e9,
    "Qwen/Qwen3-32B": 32.8e9,
    "Qwen/Qwen2.5-7B-Instruct": 7.62e9,
    "meta-llama/Llama-3.1-8B-Instruct": 8.03e9,
    "google/gemma-2-9b-it": 9.24e9,
}
FINAL_MODELS = tuple(PARAMETERS)[2:]
TRAIN_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What the arithmetic takes for granted."""

    row_tokens: int = 512
    """Tokens of a row, question and answer together."""
    train_frac: float = 0.35
    """Share of the peak that a training reaches."""
    reply_frac: float = 0.2
    """Share of the peak that a served model reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """GPU hours of one config."""

    trainings: float
    """Those of the search and of its confirmation."""
    teams: float
    """The operators' model over every row of every strategy."""
    final: float
    """The three final models, on the processed and on the unprocessed data."""

    @property
    def total(self) -> float:
        return self.trainings + self.teams + self.final


def hours_of(config: Config, assumed: Assumed) -> Hours:
    """GPU hours of a search and of its final models."""
    evaluation, search = config.evaluation, config.search
    train_rows = TRAIN_ROWS if config.dataset.limit is not None else 100
    rows = train_rows * config.sampling.rate
    num_strategies = search.max_rounds * search.num_strategies  # the paper's; an agent may propose more in a round
    num_trainings = evaluation.baseline_seeds + num_strategies + evaluation.confirmation.most_trainings
    asking = sum(any(one.needs.completer for one in config.teams.recipe(team)) for team in search.used_teams)
    tokens = rows * assumed.row_tokens
    trained = 6 * tokens * config.training.epochs * PARAMETERS[config.models.tuned.model]
    replied = 2 * 2 * tokens * PARAMETERS[config.models.operators.model]
    tune = config.tune or config.training
    final = sum(6 * train_rows * assumed.row_tokens * tune.epochs * PARAMETERS[name] for name in FINAL_MODELS)
    train_speed, reply_speed = (PEAK_FLOPS * frac * 3600 for frac in (assumed.train_frac, assumed.reply_frac))
    return Hours(
        trainings=num_trainings * trained / train_speed,
        teams=num_strategies * asking * replied / reply_speed,
        final=2 * final / train_speed,
    )


def table(assumed: Assumed) -> str:
    """The hours of all configs, as Markdown."""
    lines = ["| config | trainings | teams | final models | GPU hours |", "|---|---|---|---|---|"]
    for file in sorted(CONFIGS.glob("*.yaml")):
        found = hours_of(load_config(str(file)), assumed)
        cells = (f"{value:.1f}" for value in (found.trainings, found.teams, found.final, found.total))
        lines.append(f"| `{file.stem}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(
    row_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a row.")] = 512,
    train_frac: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the peak in training.")] = 0.35,
    reply_frac: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the peak in replies.")] = 0.2,
) -> None:
    """GPU hours of the paper's settings on A100s, by arithmetic."""
    print(table(Assumed(row_tokens=row_tokens, train_frac=train_frac, reply_frac=reply_frac)))


if __name__ == "__main__":
    typer.run(main)
