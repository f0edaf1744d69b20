"""The dashboard for Grafana: as the declarations of the metrics make it, and the file is what the script prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from actors.cluster.metrics import METRICS

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana"
BOARD = json.loads((FOLDER / "autodp.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]


def test_the_file_is_what_the_script_prints() -> None:
    done = subprocess.run([sys.executable, FOLDER / "dashboard.py"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == BOARD


def test_each_panel_asks_for_one_metric_that_exists_and_each_metric_has_its_panel() -> None:
    asked = [set(re.findall(r"ray_autodp_\w+", query)) for query in QUERIES]
    assert {name.removesuffix("_bucket") for names in asked for name in names} == {one.exported for one in METRICS}
    assert all(len(names) == 1 for names in asked)


def test_a_query_tells_apart_what_the_metric_tells_apart() -> None:
    for metric, query in zip(METRICS, QUERIES, strict=True):
        labels = re.search(r"sum(?: by \(([^)]*)\))?", query)
        assert labels is not None
        assert {*(labels[1] or "").replace(" ", "").split(",")} - {"le", ""} == set(metric.labels)


def test_names_are_unique_and_no_label_is_one_of_rays_own() -> None:
    rays = {"Component", "NodeAddress", "SessionName", "Version", "WorkerId", "JobId"}
    assert len({one.name for one in METRICS}) == len(METRICS)
    assert not any(rays & set(one.labels) for one in METRICS)
