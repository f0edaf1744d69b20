"""The run's journal: one event per file, written atomically, never changed; enough to go on after any kill.

Each event carries a checksum of what it says; those of earlier versions have none and are read as they are.
An expensive step is asked for through `once`: a step that the journal already holds is not repeated. The loop itself is
deterministic code, so a resumed run walks through the same steps and finds the finished ones answered.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import xxhash

from actors.storage.storage import Storage
from operators.contract.errors import RunError

Payload = Mapping[str, object]
_FOLDER, _CHECKSUM = "journal", "checksum"
_KEYS = {"name", "key", "at", "payload"}
_FILE = re.compile(r"(\d{6})-([a-z_]+)\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the journal."""

    number: int
    name: str
    key: str
    payload: Payload
    at: datetime


class Journal:
    """Appends events under increasing numbers and answers for those that are there."""

    def __init__(self, run: Storage, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._run = run
        self._now = now
        self._lock = threading.Lock()
        self._events = list(_read(run))
        self._by_key = {(event.name, event.key): event for event in self._events}

    def __iter__(self) -> Iterator[Event]:
        return iter(tuple(self._events))

    def find(self, name: str, key: str = "") -> Payload | None:
        """The payload of the last event of that name and key, or None."""
        event = self._by_key.get((name, key))
        return None if event is None else event.payload

    def append(self, name: str, payload: Payload, *, key: str = "") -> Payload:
        """Write one event; gives back the payload as it will be read, so that a resumed run sees the same."""
        with self._lock:
            return self._append(name, payload, key)

    def once(self, name: str, key: str, step: Callable[[], Payload]) -> Payload:
        """The payload of a finished step, or that of the step done now. A step that raises leaves no event.

        Where several threads do a step at one moment, the first payload stays.
        """
        found = self.find(name, key)
        if found is not None:
            return found
        payload = step()
        with self._lock:
            found = self.find(name, key)
            return self._append(name, payload, key) if found is None else found

    def count(self, name: str) -> int:
        """How many events of a name there are."""
        return sum(event.name == name for event in self)

    def _append(self, name: str, payload: Payload, key: str) -> Payload:
        number = self._events[-1].number + 1 if self._events else 1
        file = f"{number:06d}-{name}.json"
        assert _FILE.fullmatch(file), f"{name!r} cannot be read back as an event's name"
        at = self._now()
        body = {"name": name, "key": key, "at": at.isoformat(), "payload": payload}
        read_back = json.loads(json.dumps(body))
        text = json.dumps({**read_back, _CHECKSUM: _checksum(read_back)}, ensure_ascii=False, indent=1)
        self._run.write_text(f"{_FOLDER}/{file}", text)
        event = Event(number=number, name=name, key=key, payload=read_back["payload"], at=at)
        self._events.append(event)
        self._by_key[name, key] = event
        return event.payload


def readable_events(run: Storage) -> Iterator[Event]:
    """The events that can be read; what else lies in the journal's folder is passed over."""
    for file in filter(_FILE.fullmatch, run.names(_FOLDER)):
        with contextlib.suppress(RunError):
            yield _read_event(run, file)


def _read(run: Storage) -> Iterator[Event]:
    for file in run.names(_FOLDER):
        if _FILE.fullmatch(file) is None:
            raise RunError(f"{run.uri(f'{_FOLDER}/{file}')} is no journal event; move it out of the journal to go on")
        yield _read_event(run, file)


def _read_event(run: Storage, file: str) -> Event:
    match = _FILE.fullmatch(file)
    assert match is not None
    try:
        body = json.loads(run.read_bytes(f"{_FOLDER}/{file}"))
        checksum = body.pop(_CHECKSUM, None)
        is_whole = checksum is None or checksum == _checksum(body)
        if body.keys() != _KEYS or body["name"] != match[2] or not is_whole:
            raise ValueError("its bytes are not those that were written")
        return Event(
            number=int(match[1]),
            name=body["name"],
            key=body["key"],
            payload=body["payload"],
            at=datetime.fromisoformat(body["at"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{run.uri(f'{_FOLDER}/{file}')} is damaged; delete it to have its step done again") from error


def _checksum(body: Mapping[str, object]) -> str:
    """Of what an event says, however its JSON is laid out."""
    text = json.dumps(body, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest(text.encode())
