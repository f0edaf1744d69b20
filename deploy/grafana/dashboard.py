"""Print the dashboard as JSON for Grafana, made from the metrics that the code declares: one panel for each.

`python deploy/grafana/dashboard.py > deploy/grafana/autodp.json`; a test keeps the file so.
"""

from __future__ import annotations

import json

from actors.cluster.metrics import METRICS, Latency, Level, Metric

WIDTH, HEIGHT, PER_ROW = 12, 8, 2
SOURCE = {"type": "prometheus", "uid": "${source}"}


def query(metric: Metric) -> str:
    """What a panel asks Prometheus: sums over the cluster's processes, told apart by the metric's labels."""
    if isinstance(metric, Latency):
        labels = ", ".join(("le", *metric.labels))
        return f"histogram_quantile(0.95, sum by ({labels}) (rate({metric.exported}_bucket[$__rate_interval])))"
    by = f"sum by ({', '.join(metric.labels)})" if metric.labels else "sum"
    if isinstance(metric, Level):
        return f"{by} ({metric.exported})"
    return f"{by} (increase({metric.exported}[$__rate_interval]))"


def panel(number: int, metric: Metric) -> dict[str, object]:
    """One metric over time."""
    row, column = divmod(number, PER_ROW)
    title = metric.name.removeprefix("autodp_").replace("_", " ").capitalize()
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": f"{title}, 95th percentile" if isinstance(metric, Latency) else title,
        "description": metric.text,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": metric.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": "A",
                "datasource": SOURCE,
                "expr": query(metric),
                "legendFormat": " ".join(f"{{{{{label}}}}}" for label in metric.labels) or title,
            }
        ],
    }


def dashboard() -> dict[str, object]:
    """The whole board; which Prometheus it asks is chosen in Grafana."""
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "autodp",
        "title": "AutoDP on Ray",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source]},
        "panels": [panel(number, metric) for number, metric in enumerate(METRICS)],
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=2))
