"""The forms there are. One more is its file and its place here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from autodp_ray.records.forms.alpaca import Alpaca
from autodp_ray.records.forms.base import Form
from autodp_ray.records.forms.chat import ChatForm
from autodp_ray.records.forms.columns import Columns
from autodp_ray.records.forms.prompt_completion import PromptCompletion
from autodp_ray.records.forms.sharegpt import ShareGpt

FORMS: tuple[Form, ...] = (Alpaca(), ShareGpt(), ChatForm(), PromptCompletion(), Columns())
"""In the order in which they are named to users."""

if TYPE_CHECKING:
    FormName = str
else:
    FormName = Literal[("auto", *(form.name for form in FORMS))]
    """A form by its name, or `auto`, as a config may have it."""


def form_named(name: str) -> Form:
    """The form of that name. Raises: KeyError."""
    return {form.name: form for form in FORMS}[name]
