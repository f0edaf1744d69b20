"""The screener on Ray Serve: `build_app` makes the application, `start_screener` finds or starts it.

Requests of several clients share batches (`serve.batch`). Only plain data reaches the replicas.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from actors.screening.client import ServedProbabilities
from actors.screening.judge import LocalProbabilities
from actors.screening.manifest import read_manifest
from actors.screening.spec import ScreenerSpec
from actors.serve.app import listen_on_loopback
from actors.serve.hosting import host_application
from actors.serve.sharing import release_application
from operators.contract.errors import InputError
from operators.rows.record import RECORD_SCHEMA

MAX_REQUESTS = 8
"""A replica accepts this many at one time, each with the rows of about a batch, so that the next batch waits at the
model and not at the proxy."""
_WARM_UP: dict[str, object] = {"history": [], "question": "Ready?", "answer": "Yes."}


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: str | None
    content: str | None
    extra: str | None = None
    """Further keys of the turn, which no verdict depends on."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")

    history: list[_Turn] | None = None
    question: str
    answer: str


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rows: list[_Row]


class ScreenerServer:
    """A replica: one loaded screener behind two routes, `/card` and `/screen`."""

    def __init__(self, args: dict[str, object]) -> None:
        listen_on_loopback()
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads: spinning threads starve neighbours
        import torch

        spec = ScreenerSpec.model_validate(args)
        if spec.num_gpus == 0:
            torch.set_num_threads(spec.num_threads or max(1, int(spec.num_cpus)))
        self._judge = LocalProbabilities.of(spec.folder)
        self._judge.probabilities(rows_table([_WARM_UP]))
        batched: Any = self._probability  # serve.batch adds the setters, its types do not know them
        batched.set_max_batch_size(spec.max_batch_size)
        batched.set_batch_wait_timeout_s(spec.batch_wait_s)

    async def __call__(self, request: Request) -> Response:
        card = {"revision": self._judge.revision, "threshold": self._judge.threshold}
        if request.url.path.endswith("/card"):
            return JSONResponse(card)
        try:
            body = _Body.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"error": f"the body has {error.error_count()} faults"}, status_code=400)
        rows = [row.model_dump() for row in body.rows]
        judged = await asyncio.gather(*(self._probability(row) for row in rows))
        return JSONResponse({**card, "probabilities": judged})

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.01)
    async def _probability(self, rows: list[dict[str, object]]) -> list[float | None]:
        return await asyncio.to_thread(self._judge.probabilities, rows_table(rows))


def rows_table(rows: list[dict[str, object]]) -> pa.Table:
    """Rows as they travel, as records without ids."""
    return pa.Table.from_pylist([{"id": "", "origin": "source", **row} for row in rows], schema=RECORD_SCHEMA)


def build_app(args: dict[str, object]) -> serve.Application:
    """The Serve application that `args`, the fields of a `ScreenerSpec`, describe; the import path for Serve's YAML.

    Raises: InputError where the fields are wrong.
    """
    try:
        spec = ScreenerSpec.model_validate(args)
    except ValidationError as error:
        raise InputError(f"the screener application's args are wrong: {error}") from error
    deployment: serve.Deployment = serve.deployment(
        name="ScreenerServer",
        max_ongoing_requests=MAX_REQUESTS,
        autoscaling_config={
            "min_replicas": spec.min_replicas,
            "max_replicas": spec.max_replicas,
            "target_ongoing_requests": 2,
        },
        logging_config={"enable_access_log": False},
        graceful_shutdown_timeout_s=2.0,
        max_constructor_retry_count=1,
        ray_actor_options={"num_cpus": spec.num_cpus, "num_gpus": spec.num_gpus},
    )(ScreenerServer)
    return deployment.bind(spec.model_dump(mode="json"))


def start_screener(spec: ScreenerSpec) -> tuple[str, bool]:
    """(URL, whether this run holds it) of the application `spec.app_name`, found running or started now.

    Raises:
        InputError: the folder holds no screener, or an application of that name serves another one.
        RunError: it failed to start. EndpointError: it does not answer.
    """
    hosted, _ = host_application(
        lambda: build_app(spec.model_dump(mode="json")),
        name=spec.app_name,
        timeout_s=spec.start_timeout_s,
        check=partial(_require_same, spec, revision=read_manifest(spec.folder).revision),
    )
    return hosted.url, hosted.is_held


def _require_same(spec: ScreenerSpec, url: str, *, revision: str) -> None:
    if ServedProbabilities.at(url).revision != revision:
        raise InputError(
            f"the Serve application {spec.app_name!r} serves another screener than {spec.folder}: name its folder "
            "in the config, or give another screener.app_name"
        )


def stop_screener(spec: ScreenerSpec) -> None:
    """Lets go of an application that this run holds: the last run to do so deletes it."""
    release_application(spec.app_name)
