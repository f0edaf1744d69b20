"""An S3 that is slow, and asks for fewer requests (503 SlowDown): what was written is there, once and whole."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.journal import Journal
from tests.autodp_ray.run_fakes import records

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
DELAY_S = 0.02


class Busy:
    """A server of S3 that refuses every request once before it answers it, and takes its time."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.num_refused = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        time.sleep(DELAY_S)
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        with self._lock:
            self._asked[request] += 1
            refuses = self._asked[request] == 1
            self.num_refused += refuses
        if not refuses:
            return self._app(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or -1))  # else the client sees a broken connection
        start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(SLOW_DOWN)))])
        return [SLOW_DOWN]


@contextmanager
def busy_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    """The buckets of this process behind a busy server, as long as the block lasts."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    busy = Busy(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, busy, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield busy
    server.shutdown()


@pytest.mark.slow  # what the client of S3 waits before it asks again adds up
def test_rows_and_journal_are_whole_however_often_s3_is_busy(
    s3_bucket: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with busy_server(monkeypatch) as busy:
        folder = Storage.at(s3_bucket.location).folder("busy")
        written = StoredDataset.write(folder.folder("rows"), [records([f"text {at}"]) for at in range(2)])
        journal = Journal(folder.folder("run"))
        for number in range(2):
            journal.once("step", str(number), partial(dict, number=number))
        assert busy.num_refused > 8
    there = Storage.at(s3_bucket.location).folder("busy")
    found = StoredDataset.open(there.folder("rows"))
    assert found is not None
    found.verify()
    assert found.content_hash == written.content_hash
    events = [(event.key, event.payload) for event in Journal(there.folder("run"))]
    assert events == [(str(number), {"number": number}) for number in range(2)]
