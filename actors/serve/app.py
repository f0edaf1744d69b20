"""Applications on Ray Serve by name: what state is it in, start it, wait for it, delete it.

Never shuts Serve down, since other runs may have applications on it. Where Serve is not running, it is started with
HTTP on loopback, or where other machines are or may come on the head's own address, and a free port, so that two local
Rays do not collide.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import time
from typing import Any

from ray import serve
from ray.exceptions import ActorAlreadyExistsError, ActorDiedError, ActorUnavailableError
from ray.serve.context import (  # the only way to the HTTP options of a Serve that runs already, and to forget one
    _disconnect,
    _get_global_client,
)
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ProxyStatus

from actors.cluster.nodes import LOOPBACK, head_address, spans_machines
from operators.contract.errors import InputError, RunError

ANY_ADDRESS = ("0.0.0.0", "::", "")
POLL_S = 0.1
PROXY_WITHIN_S = 180.0
"""How long Serve may take to have a proxy: on a busy machine it replaces some that are slow to come."""
MAX_DEPLOYS = 3
DEATHS = ("ActorDiedError", "ActorUnavailableError")
"""In Serve's message where a replica's process or node is gone; what its own code raises would be raised again."""
MESSAGE_CHARS = 2000
"""How much of a failed deployment's message is passed on; the end says why."""
logger = logging.getLogger(__name__)


def ensure_serve() -> str:
    """Starts Serve where it is not running, and waits for its HTTP proxy; the proxy's URL, without a path.

    Raises:
        InputError: Serve listens on loopback only, in a cluster that has several nodes, or may grow.
        RunError: no proxy came in time.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # on import it has set INFO, and reports every request
    _disconnect()  # Serve takes its client of an earlier Ray of this process for one of this Ray, by the job's number
    if running_url() is None:
        host = head_address() if spans_machines() else LOOPBACK
        try:
            serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": _free_port(host)})
        except ActorAlreadyExistsError:
            logger.info("another driver has started Serve a moment ago")
        except (ActorDiedError, ActorUnavailableError, TimeoutError) as error:
            # Where a machine is busy, Serve puts another proxy into the place of one that takes 20 seconds to come.
            logger.info("Serve has lost its first proxy (%s) and starts another", type(error).__name__)
    return _url_of_proxy(PROXY_WITHIN_S)


def _url_of_proxy(timeout_s: float) -> str:
    """The URL of the proxy, once Serve says that it is well; there may be none yet, whoever started Serve."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        url = running_url()
        if url is not None and ProxyStatus.HEALTHY in serve.status().proxies.values():
            return url
        time.sleep(POLL_S)
    raise RunError(
        f"Serve has no HTTP proxy after {timeout_s:g} s; see serve/proxy_*.log and serve/controller_*.log of the Ray "
        "session on the head"
    )


def running_url() -> str | None:
    """The URL of the HTTP proxy of a Serve that is running, else None.

    Raises: InputError as `ensure_serve`.
    """
    client = _get_global_client(raise_if_no_controller_running=False)
    if client is None:
        return None
    host, port = client.http_config.host, client.http_config.port
    if host in (LOOPBACK, "localhost") and spans_machines():
        raise InputError(
            f"Serve listens on {host}:{port}, which other nodes of the cluster cannot reach; set http_options.host to "
            "the head's private address and deploy again"
        )
    return f"http://{head_address() if host in ANY_ADDRESS else host}:{port}"


def application_state(name: str) -> str:
    """What Serve says of an application, such as RUNNING or DEPLOYING; NOT_STARTED where there is none."""
    return _state(name)[0]


def run_application(application: serve.Application, *, name: str, timeout_s: float) -> None:
    """Deploys the application under /<name> and waits until it runs; one that does not is taken away again.

    Where a process of it dies while it starts, as with its node, it is deployed anew within the same time.

    Raises:
        RunError: it failed, or was not ready in time.
    """
    deadline = time.monotonic() + timeout_s
    for attempt in range(1, MAX_DEPLOYS + 1):
        target = serve.RunTarget(application, name=name, route_prefix=f"/{name}")
        serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
        try:
            await_application(name, timeout_s=timeout_s, deadline=deadline)
        except RunError as error:
            delete_application(name)
            if attempt == MAX_DEPLOYS or not any(death in str(error) for death in DEATHS):
                raise
            logger.warning("deploying Serve application %s again (%d of %d): %s", name, attempt, MAX_DEPLOYS - 1, error)
        else:
            return


def await_application(name: str, *, timeout_s: float, deadline: float | None = None) -> None:
    """Waits until an application that is being deployed runs; `deadline` is where a part of the time has passed.

    Raises:
        RunError: it failed, or was not ready in time.
    """
    deadline = time.monotonic() + timeout_s if deadline is None else deadline
    while time.monotonic() < deadline:
        state, message = _state(name)
        if state == "RUNNING":
            return
        if state in ("DEPLOY_FAILED", "UNHEALTHY"):
            raise RunError(f"the Serve application {name!r} failed to start: {message[-MESSAGE_CHARS:]}")
        time.sleep(POLL_S)
    _, message = _state(name)
    raise RunError(
        f"the Serve application {name!r} was not ready after {timeout_s:g} s: {message[-MESSAGE_CHARS:]}; see whether "
        "the cluster has the CPUs and GPUs that it asks for, or raise start_timeout_s"
    )


def delete_application(name: str) -> None:
    """Deletes the application of this name and waits until it is gone.

    Raises: RunError where it cannot be deleted, or its replicas do not end within a minute.
    """
    try:
        serve.delete(name)
    except (RayServeException, TimeoutError) as error:
        raise RunError(f"the Serve application {name!r} could not be deleted: {error}") from error


def _state(name: str) -> tuple[str, str]:
    """Status and messages of an application; NOT_STARTED where there is none."""
    overview = serve.status().applications.get(name)
    if overview is None:
        return "NOT_STARTED", ""
    messages = [overview.message, *(deployment.message for deployment in overview.deployments.values())]
    return overview.status.value, "\n".join(message for message in messages if message)


def _free_port(host: str) -> int:
    """A port that is free on this machine now; Serve binds it a moment later."""
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:  # the head is another machine: any free port of this one is a fair guess
            probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def listen_on_loopback() -> None:
    """Called first in a replica: where this Ray is bound to loopback, the replica's own gRPC server is so too.

    Serve opens one for calls between deployments on every interface, and has no setting for it.
    """
    if os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") != "0":
        return
    replica: Any = importlib.import_module("ray.serve._private.replica")  # private, so without types
    bind = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: bind(server, address.replace("[::]", "127.0.0.1"))
