"""ShareGPT: `conversations`, a list of turns with `from` and `value`, whose roles are `human` and `gpt`."""

from __future__ import annotations

from types import MappingProxyType

from autodp_ray.records.forms.conversation import ConversationForm


class ShareGpt(ConversationForm):
    """`conversations` of `from` and `value`."""

    name = "sharegpt"
    accepted = "conversations (sharegpt)"
    turns_names = ("conversations", "conversation")
    turn_keys = ("from", "value")
    role_names = MappingProxyType({"user": "human", "assistant": "gpt"})
