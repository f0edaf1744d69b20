"""A real Prometheus reads a whole run, and has an answer for every panel of the dashboard."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import MakeSandbox
from tests.integration.scripted_endpoint import scripted_endpoint, sensible
from tests.integration.watching import Watched, watch

PROMETHEUS = shutil.which("prometheus")
BOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "autodp.json"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus on the PATH: apt-get install prometheus"),
]


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """Its address; it reads what `targets.json` lists, every second."""
    source = {
        "job_name": "ray",
        "file_sd_configs": [{"files": [str(folder / "targets.json")], "refresh_interval": "1s"}],
    }
    settings = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [source]}
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        str(PROMETHEUS),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--web.listen-address={address}",
        f"--storage.tsdb.path={folder / 'data'}",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield address
        finally:
            process.terminate()


def asked(address: str, query: str) -> list[object]:
    url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=30) as page:
        found: list[object] = json.load(page)["data"]["result"]
    return found


def test_every_panel_of_the_dashboard_has_an_answer(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    seen = Watched()
    with scripted_endpoint(sensible) as served, prometheus(tmp_path) as address:
        sandbox = make_sandbox(served.base_url)
        run = threading.Thread(
            target=watch, args=(sandbox, "run", "config.yaml", "--run-dir", "run"), kwargs={"seen": seen}
        )
        run.start()
        while run.is_alive():
            targets = [{"targets": [f"127.0.0.1:{port}" for port in sorted(seen.metrics_ports)]}]
            (tmp_path / "targets.json").write_text(json.dumps(targets))
            time.sleep(0.5)
        panels = json.loads(BOARD.read_text())["panels"]
        queries = [target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel["targets"]]
        unanswered = [query for query in queries if not asked(address, f"max_over_time(({query})[10m:1s])")]
    assert unanswered == []
