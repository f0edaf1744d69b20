"""What a chat client was asked and what it cost: counts that add up over batches and workers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from operators.contract.resources import Completion


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A snapshot of counters; two of them can be added and subtracted."""

    calls_requested: int = 0
    calls_executed: int = 0
    """Replies that were received; what the store knew, or an equal request in the same call, is not executed."""
    faults: int = 0
    """Attempts that failed and may have been repeated."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @classmethod
    def of(cls, completion: Completion) -> Usage:
        """One executed call."""
        return cls(
            calls_executed=1,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
        )

    def __add__(self, other: Usage) -> Usage:
        theirs = asdict(other)
        return Usage(**{name: value + theirs[name] for name, value in asdict(self).items()})

    def __sub__(self, other: Usage) -> Usage:
        theirs = asdict(other)
        return Usage(**{name: value - theirs[name] for name, value in asdict(self).items()})

    def counts(self) -> dict[str, int]:
        """Counts by the names that results use: `llm_calls_requested`, `llm_calls_executed` and so on."""
        return {f"llm_{name}": value for name, value in asdict(self).items()}
