"""Chat: `messages`, a list of turns with `role` and `content`, as chat models are asked."""

from __future__ import annotations

from autodp_ray.records.forms.conversation import ConversationForm


class ChatForm(ConversationForm):
    """`messages` of `role` and `content`."""

    name = "chat"
    accepted = "messages (chat)"
    turns_names = ("messages",)
    turn_keys = ("role", "content")
