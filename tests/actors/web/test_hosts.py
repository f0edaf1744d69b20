from __future__ import annotations

import pytest

from actors.web.hosts import is_loopback, is_near, public_url, with_path


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:canary@host.org:8000/v1?api-key=canary#canary", "http://host.org:8000/v1"),
        ("https://[::1]:80/v1", "https://[::1]:80/v1"),
        ("http://host.org/v1", "http://host.org/v1"),
        ("http://host:canary/v1", "(a URL that cannot be read)"),
        ("http://[canary/v1", "(a URL that cannot be read)"),
    ],
)
def test_a_shown_url_holds_no_secret(url: str, shown: str) -> None:
    assert public_url(url) == shown


def test_a_query_stays_behind_the_path() -> None:
    azure = "https://mine.openai.azure.com/openai/deployments/gpt/?api-version=2024-10-21"
    assert with_path(azure, "chat/completions").endswith("/deployments/gpt/chat/completions?api-version=2024-10-21")
    assert with_path("http://h/v1", "chat/completions") == "http://h/v1/chat/completions"


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "192.168.0.5", "::1", "ray-head", "llm.ns.svc", "a.local"])
def test_what_is_near_needs_no_proxy(host: str) -> None:
    assert is_near(host)


@pytest.mark.parametrize("host", ["api.openai.com", "8.8.8.8", "localhost.evil.org"])
def test_what_is_far_may_need_one(host: str) -> None:
    assert not is_near(host)
    assert not is_loopback(host)
