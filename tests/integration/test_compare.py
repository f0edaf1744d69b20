"""A comparison on real Ray: a scripted agent against random search, by losses and by a judge; again from the cache."""

from __future__ import annotations

import pytest

from autodp_ray.comparing.comparison import Comparison
from tests.integration.conftest import MakeSandbox
from tests.integration.scripted_endpoint import scripted_endpoint, sensible

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_winners_are_trained_on_and_judged_and_the_same_command_elsewhere_finds_the_same(
    make_sandbox: MakeSandbox,
) -> None:
    with scripted_endpoint(sensible) as served:
        sandbox = make_sandbox(
            served.base_url,
            evaluation={"max_answer_tokens": 8, "bootstrap_samples": 200},
            training={"lora": {"rank": 2}, "learning_rate": 1e-2, "budget": "steps", "steps": 6, "max_length": 96},
            budget={"trainings": 2},
        )
        command = ("compare", "config.yaml", "--policies", "random,agent", "--judges", "loss,judge", "--json")
        done = sandbox.run(*command, "--final-seeds", "2", "--output", "first", timeout_s=550)
        assert done.returncode == 0, done.stderr[-3000:]
        again = sandbox.run(*command, "--final-seeds", "2", "--output", "again", timeout_s=550)
        assert again.returncode == 0, again.stderr[-3000:]
    first, second = (Comparison.model_validate_json(each.stdout) for each in (done, again))
    assert first.model_dump(exclude={"seconds"}) == second.model_dump(exclude={"seconds"})
    assert [len(each.tried) for each in first.searches] == [2, 2]
    assert [(duel.judge, duel.theirs) for duel in first.duels] == [
        ("loss", "none"),
        ("loss", "random"),
        ("judge", "none"),
        ("judge", "random"),
    ]
    assert all(duel.ci95[0] <= duel.difference <= duel.ci95[1] for duel in first.duels)
    for name in ("compare.html", "compare.md", "compare.json"):
        assert (sandbox.folder / "first" / name).is_file()
