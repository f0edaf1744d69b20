"""An OpenAI-compatible endpoint that others serve, in the cluster or outside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from actors.llm.engines.base import DroppedParam, LLMSpec


class EndpointLLM(LLMSpec):
    """A chat model behind an OpenAI-compatible endpoint that runs already."""

    engine: Literal["endpoint"] = "endpoint"
    """An endpoint that runs already."""
    base_url: str
    """The URL of its API, as in `http://127.0.0.1:8000/v1`."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key, which itself stands in no config. An empty name sends no key."""
    revision: str | None = None
    """The declared revision of its weights; without one, its completions are not kept beyond a run."""
    extra_headers: dict[str, str] = Field(default_factory=dict)
    """Further headers of every request, as in `{X-DashScope-WorkSpace: mine}`."""
    headers_from_env: dict[str, str] = Field(default_factory=dict)
    """Further headers that are secret, each with the environment variable that holds it, as in `{api-key:
    AZURE_OPENAI_API_KEY}`."""
    drop_params: tuple[DroppedParam, ...] = ()
    """The fields of a request that are not sent, because the endpoint takes them but does something else. Fields that
    it refuses are left out or renamed without a setting."""

    @property
    def outside_url(self) -> str:
        """Where its /v1 lies."""
        return self.base_url

    @property
    def key_variable(self) -> str:
        """The environment variable that holds the key; empty where none is sent."""
        return self.api_key_env

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers of every request."""
        return self.extra_headers

    @property
    def secret_headers(self) -> Mapping[str, str]:
        """Further headers, by the environment variable that holds each."""
        return self.headers_from_env

    @property
    def unsent(self) -> tuple[DroppedParam, ...]:
        """Fields of a request that are left out."""
        return self.drop_params

    def expected_revision(self) -> str | None:
        """As the config declares it."""
        return self.revision
