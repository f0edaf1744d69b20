"""The error tree of the project.

    AutoDPError
    ├── InputError      what the user gave is wrong: the CLI prints it and exits with 2
    ├── EndpointError   a model endpoint did not answer after bounded retries: it must not count as a judgement
    │   └── EndpointConfigError  it refuses whatever is asked: key, model, quota; an InputError too
    └── RunError        the run itself failed: the CLI prints it and exits with 1
        └── DivergedError   a training's loss is no number, which the same training would come to again

It stands in the lowest layer because every layer raises from it.
"""

from __future__ import annotations

from operators.contract.redaction import redacted


class AutoDPError(Exception):
    """Base of all errors that this project raises on purpose; no message holds a password, key or token."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(redacted(each) if isinstance(each, str) else each for each in args))


class InputError(AutoDPError):
    """The input, config or command is wrong; the message says what, where and what to do."""


class EndpointError(AutoDPError):
    """A model endpoint timed out, refused or failed after bounded retries."""


class EndpointConfigError(EndpointError, InputError):
    """A model endpoint refuses whatever it is asked, for its key, model or quota: only the user can mend that."""


class RunError(AutoDPError):
    """A run, team run or training failed for a reason that is not the user's input."""


class DivergedError(RunError):
    """A loss is no number: the same rows, recipe and seed would diverge again."""
