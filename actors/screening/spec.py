"""How a screener is served and called: one frozen spec, each knob once. Knows nothing of Ray or HTTP."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ScreenerSpec(BaseModel):
    """The Serve application around one trained folder: the args of serve_configs/screener.*.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    folder: str = Field(min_length=1)
    """A folder that every replica sees."""
    app_name: str = Field(default="screener", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """The name of the Serve application and of its route prefix."""
    max_batch_size: int = Field(default=64, ge=1)
    batch_wait_s: float = Field(default=0.01, ge=0.0, le=5.0)
    """How long a replica waits for a batch to fill."""
    num_cpus: float = Field(default=1.0, ge=0.0)
    num_gpus: float = Field(default=0.0, ge=0.0)
    num_threads: int | None = Field(default=None, ge=1)
    """Threads of a replica on a CPU; by default num_cpus, at least one."""
    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(default=1, ge=1)
    start_timeout_s: float = Field(default=300.0, gt=0)

    @model_validator(mode="after")
    def _is_consistent(self) -> ScreenerSpec:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        return self


class ScreenerCalls(BaseModel):
    """How the application is called, with `reach: served`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    timeout_s: float = Field(default=120.0, gt=0)
    """The longest wait for one reply in seconds, queueing included."""
    retry_for_s: float = Field(default=120.0, ge=0)
    """How long a request is repeated after its first fault: no connection, no reply in time, a server's own error."""
    retry_busy_for_s: float = Field(default=1800.0, ge=0)
    """How long requests are repeated after the application's last reply, while it is busy (429, 503)."""
    max_retries: int | None = Field(default=None, ge=0)
    """The most attempts after the first, whatever the time; without it, time alone decides."""
    rows_per_request: int = Field(default=64, ge=1)
    """How many rows one request carries."""
    concurrency: int = Field(default=4, ge=1)
    """How many requests a client has in flight."""
