"""The cache keys: what a processed dataset and a score are functions of, and nothing else.

A key changes with everything that may change the value, so a stale entry can never be found under a fresh key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from operators.contract.digest import json_digest
from operators.contract.operator import Operator
from operators.contract.resources import Resources

CACHE_FORMAT = 3


def dataset_key(content_hash: str, recipes: Sequence[Sequence[Operator]], resources: Resources, *, run_id: str) -> str:
    """The key of a dataset after the teams whose recipes are given, in order.

    Few-shot rows are taken from each operator's own input, so the input's content hash covers them.
    """
    return json_digest(
        {
            "format": CACHE_FORMAT,
            "input": content_hash,
            "recipes": [[operator.fingerprint() for operator in recipe] for recipe in recipes],
            "side_inputs": side_inputs(
                [operator for recipe in recipes for operator in recipe], resources, run_id=run_id
            ),
        }
    )


def side_inputs(operators: Sequence[Operator], resources: Resources, *, run_id: str) -> Mapping[str, str]:
    """Digests of what the operators read beside their rows: model and tokenizer revisions, language, domain and so on.

    A lent screener means that teams work on targets alone (PTS): it shapes every team run. A model that declares no
    revision may change at any time: what it made is found again by its own run alone.
    """
    found: dict[str, str] = {}
    if resources.screener is not None:
        found |= {"pts": "on", "screener": resources.screener.revision or f"run {run_id}"}
    for operator in operators:
        if operator.needs.completer and resources.completer is not None:
            found |= {"completer": resources.completer.revision or f"run {run_id}"}
            found |= {"language": resources.language, "domain": resources.domain}
        if operator.needs.language:
            found |= {"language": resources.language, "domain": resources.domain}
        if operator.needs.content_columns:
            found["content_columns"] = json.dumps(resources.content_columns, ensure_ascii=False)
        if operator.needs.known_rows and resources.known_rows is not None:
            found["known_rows"] = resources.known_rows.revision
        if operator.needs.tokenizer and resources.tokenizer is not None:
            found["tokenizer"] = resources.tokenizer.revision
        if operator.needs.embedder and resources.embedder is not None:
            found["embedder"] = resources.embedder.revision
        if operator.needs.influence and resources.influence is not None:
            found["influence"] = resources.influence.revision
    return found


def score_key(
    *,
    content_hash: str,
    evaluation_hash: str,
    recipe_fingerprint: str,
    model_revision: str,
    evaluator: str,
    seed: int,
) -> str:
    """The key of one training and its scores; the recipe's fingerprint covers lengths, precision and world size."""
    return json_digest(
        {
            "format": CACHE_FORMAT,
            "data": content_hash,
            "evaluation": evaluation_hash,
            "recipe": recipe_fingerprint,
            "model": model_revision,
            "evaluator": evaluator,
            "seed": seed,
        }
    )


def private_key(key: str, request: str, *, run_id: str) -> str:
    """A key that is private to one request of one run; without a request, the key itself."""
    return json_digest({"key": key, "run": run_id, "request": request}) if request else key
