"""What is said about a received reply."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """All but ACCEPTED are counted as `rejected:<verdict>`."""

    ACCEPTED = "accepted"
    TRUNCATED = "truncated"
    FILTERED = "filtered"
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    REFUSED = "refused"
    LABEL_LEAK = "label_leak"
    PROMPT_ECHO = "prompt_echo"
    COPIED = "copied"
    ANSWERED = "answered"
    NOT_A_QUESTION = "not_a_question"
    REPETITIVE = "repetitive"
    WRONG_LANGUAGE = "wrong_language"
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    OFF_TOPIC = "off_topic"
    NEAR_COPY = "near_copy"
