"""Where rows may go. Scores and team names may go to any agent; rows only to endpoints that the config allows."""

from __future__ import annotations

from collections.abc import Collection

from actors.llm.engines.base import LLMSpec
from actors.web.hosts import host_of, is_loopback, public_url
from autodp_ray.config.run_config import PrivacyConfig
from operators.contract.errors import InputError


def require_allowed(role: str, spec: LLMSpec, privacy: PrivacyConfig, *, cluster_hosts: Collection[str]) -> None:
    """Raises: InputError where rows would leave the cluster for a host that `privacy.allow_rows_to` does not list."""
    url = spec.outside_url
    if url is None:
        return
    host = host_of(url)
    if not host:
        raise InputError(
            f"models.{role}.base_url {public_url(url)!r} names no host; write it as in http://127.0.0.1:8000/v1"
        )
    if is_loopback(host) or host in cluster_hosts or host in privacy.allow_rows_to:
        return
    raise InputError(
        f"models.{role} sends rows to {host!r}, which is outside the cluster and not allowed: add it to "
        "privacy.allow_rows_to if the rows may go there, or serve that model in the cluster"
    )
