"""What a chat endpoint means by refusing: whose matter it is, and which field of the request it names.

Services tell the same things in many words, so that codes and messages are read together, as one normalised text. A
message may quote the request: nothing of it is shown, only names of fields that were sent, and codes of known words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, KeysView, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from actors.llm.refusal_patterns import (
    ABOUT_ACCOUNT,
    CERTAINLY_TOO_LONG,
    CODE_WORDS,
    FILTER_CODES,
    FILTERED,
    FORM_FIELDS,
    KEY,
    PARAMETER_OF,
    PARAMETER_PHRASES,
    TOO_LONG,
    UNKNOWN_MODEL,
    UNPAID,
    UNPAID_CODES,
    VAGUE_CODES,
)

MAX_TEXT_CHARS = 4000
"""How much of a refusal is read."""
MAX_DEPTH = 8
MAX_NODES = 500
_WORDS = frozenset({"code", "type", "status", "reason", "error_code", "error_type", "err_code", "finish_reason"})
_TEXTS = frozenset(
    {"message", "msg", "error", "detail", "details", "title", "description", "raw", "reasons", "errors"}
    | {"error_msg", "errmsg", "error_message", "status_msg", "failed_generation_reason"}
)
_NAMES = frozenset({"param", "params", "loc", "field"})
_QUOTING = frozenset({"input", "ctx", "flagged_input", "prompt", "messages", "url", "failed_generation"})
"""Keys under which services give the request back."""

_PLAIN_WORDS = frozenset({"model", "messages", "stream", "user", "stop", "n"})
"""Fields whose names say nothing when a message holds them."""


class Meaning(StrEnum):
    """Whose matter a refusal is."""

    FILTERED = "filtered"
    """This row's: the service does not want its text."""
    TOO_LONG = "too_long"
    """This row's: it does not fit the context."""
    KEY = "key"
    MODEL = "model"
    QUOTA = "quota"
    REQUEST = "request"
    """How it was asked: perhaps another form will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal, as far as it can be read."""

    status: int
    codes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """What the endpoint itself calls the parameter at fault."""
    text: str = ""
    """Codes and messages, normalised: lower case, words apart."""

    @classmethod
    def of(cls, status: int, body: bytes) -> Refusal:
        """Of a reply's body, whatever it is."""
        try:
            said: object = json.loads(body[: 2**20])
        except (ValueError, RecursionError):
            text = body[:MAX_TEXT_CHARS].decode("utf-8", "replace")
            said = None if text.lstrip().startswith("<") else text  # a page is a gateway's, and says nothing of a row
        return cls.read(status, said)

    @classmethod
    def read(cls, status: int, said: object) -> Refusal:
        """Of a body that was read already."""
        found = _Found()
        found.walk(said, key="error", depth=0)
        telling = [code for code in found.codes if code.lower() not in VAGUE_CODES]
        text = ". ".join([*telling, *found.texts])[:MAX_TEXT_CHARS]
        return cls(
            status=status,
            codes=tuple(found.codes),
            names=tuple(found.names),
            text=_normalised(text),
        )

    @classmethod
    def inside(cls, said: Mapping[str, object]) -> Refusal:
        """Of an error in the body of a reply with status 200; its code is the status where it can be one."""
        refusal = cls.read(200, said)
        statuses = [int(code) for code in refusal.codes if re.fullmatch(r"[45]\d\d", code)]
        return replace(refusal, status=statuses[0] if statuses else cls._likely_status(refusal))

    @staticmethod
    def _likely_status(refusal: Refusal) -> int:
        """Without a status, a row's or the account's matter is a refusal; of anything else, the next try may help."""
        return 502 if replace(refusal, status=400).meaning() is Meaning.REQUEST else 400

    @property
    def plain(self) -> str:
        """The text with the parts of names as words."""
        return self.text.replace("_", " ")

    def meaning(self) -> Meaning:
        """Whose matter it is. A row's matters come before what a status usually says: services use it in many ways."""
        codes = {re.sub(r"[^a-z0-9]", "", code.lower()) for code in self.codes}
        if self.status == 402 or codes & UNPAID_CODES or UNPAID.search(self.plain):
            return Meaning.QUOTA
        if self.status == 401 or (self.status == 400 and KEY.search(self.plain)):
            return Meaning.KEY
        if self.status in (400, 422) and FORM_FIELDS & self._parts() and not self._is_too_long():
            return Meaning.REQUEST
        if self._is_filtered(codes):
            return Meaning.FILTERED
        if self.status == 413 or (self.status != 404 and self._is_too_long()):
            return Meaning.TOO_LONG
        if self.status == 403:
            return Meaning.KEY
        if self.status == 404 or UNKNOWN_MODEL.search(self.plain):
            return Meaning.MODEL
        return Meaning.REQUEST

    @property
    def is_about_form(self) -> bool:
        """Whether the same request may be taken in another form."""
        return self.status in (400, 422) and self.meaning() is Meaning.REQUEST

    def is_certain(self) -> bool:
        """Whether a status that usually passes says something that will not."""
        meaning = self.meaning()
        if self.status == 429:
            return meaning is Meaning.QUOTA or bool(re.search(r"request (?:is )?too large for", self.plain))
        return (
            self.status == 500
            and meaning in (Meaning.TOO_LONG, Meaning.FILTERED)
            and (meaning is Meaning.FILTERED or bool(CERTAINLY_TOO_LONG.search(self.plain)))
        )

    def fields(self, sent: Collection[str]) -> list[str]:
        """The fields of the request, of those that were sent, that the refusal is about."""
        if named := [name for name in self._parts() if name in sent]:
            return named
        words = [PARAMETER_OF.get(word, word) for word in re.findall(r"[a-z0-9_]+", self.text)]
        phrases = [name for pattern, name in PARAMETER_PHRASES if pattern.search(self.plain)]
        return [name for name in dict.fromkeys([*words, *phrases]) if name in sent and "_" in name] or [
            name for name in dict.fromkeys(words) if name in sent and name not in _PLAIN_WORDS
        ]

    def numbers(self) -> list[int]:
        """The numbers that the message holds."""
        return [int(digits) for digits in re.findall(r"(?<![\w.])\d{1,9}(?![\w]|\.\d)", self.text)]

    def shown_code(self, *, hidden: str) -> str:
        """A code that is made of words of the trade, or a number that is not in the request's text `hidden`; "none"
        where there is none. Of anything else nobody knows what it repeats."""
        for code in self.codes:
            parts = re.findall(r"[a-z]+|[0-9]+", _normalised(code[:80]))
            is_known = bool(parts) and CODE_WORDS.issuperset(part for part in parts if part.isalpha())
            numbers = [part for part in parts if part.isdigit()]
            if is_known and re.fullmatch(r"[\w.-]+", code[:80], re.ASCII) and not any(n in hidden for n in numbers):
                return code
        return "none"

    def _parts(self) -> KeysView[str]:
        """The names of fields in what the endpoint calls the parameter, such as `response_format.type`."""
        parts = [part for name in self.names for part in re.split(r"[.\[\]/]+", name)]
        return dict.fromkeys(PARAMETER_OF.get(part, part) for part in parts).keys()

    def _is_filtered(self, codes: set[str]) -> bool:
        if self.status == 451 or codes & FILTER_CODES:
            return True
        return bool(FILTERED.search(self.plain)) and not ABOUT_ACCOUNT.search(self.plain)

    def _is_too_long(self) -> bool:
        """A limit of the reply that is too high is no prompt that is too long, unless the context is spoken of."""
        if not TOO_LONG.search(self.plain):
            return False
        is_of_form = bool(FORM_FIELDS & self._parts()) or "max_tokens" in self.text
        return not is_of_form or "context" in self.plain or bool(re.search(r"\b(?:prompt|inputs?)\b", self.plain))


class _Found:
    """What the walk through a body collects."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.names: list[str] = []
        self.texts: list[str] = []
        self._left = MAX_NODES

    def walk(self, value: object, *, key: str, depth: int) -> None:
        """Reads a value that stands under a key."""
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0 or key in _QUOTING:
            return
        if isinstance(value, dict):
            for name, part in value.items():
                self.walk(part, key=str(name).lower(), depth=depth + 1)
        elif isinstance(value, list):
            if key == "loc":
                self.names += [part for part in value if isinstance(part, str)]
                return
            for part in value:
                self.walk(part, key=key, depth=depth + 1)
        else:
            self._take(value, key=key, depth=depth)

    def _take(self, value: object, *, key: str, depth: int) -> None:
        if isinstance(value, bool) or not isinstance(value, str | int):
            return
        if isinstance(value, int):
            if key in _WORDS | {"status_code"} and abs(value) < 10**9:
                self.codes.append(str(value))
            return
        if key in _NAMES:
            self.names.append(value[:200])
        elif key in _WORDS:
            self.codes.insert(0 if key == "code" else len(self.codes), value[:200])
        elif key in _TEXTS:
            for inner in _inner_json(value):
                self.walk(inner, key=key, depth=depth + 1)
            self.texts.append(value[:MAX_TEXT_CHARS])


def _inner_json(text: str) -> Iterator[object]:
    """The JSON that some gateways pass on as a text."""
    if text.lstrip()[:1] == "{":
        try:
            yield json.loads(text[: 2**16])
        except (ValueError, RecursionError):
            return


def _normalised(text: str) -> str:
    """Lower case, with `DataInspectionFailed` and `data-inspection` as words; names with underscores stay whole."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    return re.sub(r"[\s\-]+", " ", apart.lower())
