"""F(x): what it sees, what it remembers, what it counts, and that no fault is ever a verdict."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.screening.client import ServedProbabilities, served_screener
from actors.screening.encoder_head import EncoderHead, OneClass, logit, sigmoid
from actors.screening.features import FEATURE_NAMES, FEATURE_SPREADS, surface_features
from actors.screening.judge import LocalProbabilities
from actors.screening.manifest import HEAD, MANIFEST, Calibration, read_manifest
from actors.screening.screener import RowScreener, ScreenerUsage, local_screener
from actors.screening.spec import ScreenerCalls
from actors.web import retry
from operators.contract.errors import EndpointError, InputError
from operators.contract.resources import Screener
from operators.rows.record import TURN_WITH_KEYS
from tests.screener_rows import clean_rows, make_screener, shuffled, with_answer

SECRET = "canary-55d1"
ROWS = clean_rows(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeJudge:
    """Long answers need work; answers of three words cannot be read. Remembers what it was asked."""

    revision: str = "fake"
    threshold: float = 0.5
    asked: list[str] = field(default_factory=list)

    def probabilities(self, table: pa.Table) -> list[float | None]:
        answers = table["answer"].to_pylist()
        self.asked.extend(answers)
        return [None if answer.count(" ") == 2 else float(len(answer) > 40) for answer in answers]


def test_a_row_that_lacks_a_field_needs_work_and_no_model_is_asked() -> None:
    judge = FakeJudge()
    for answer in (None, "", "  \n"):
        assert RowScreener(judge=judge).needs_work(with_answer(ROWS, answer)).all()
    assert judge.asked == []


def test_an_answer_that_is_a_tool_call_lacks_nothing() -> None:
    judge = FakeJudge()
    place = {"role": "assistant", "content": None, "extra": '{"tool_calls": [{"function": {"name": "f"}}]}'}
    history = pa.array([[place]] * 6, pa.list_(TURN_WITH_KEYS))
    calls = with_answer(ROWS, None).set_column(1, "history", history)
    assert not RowScreener(judge=judge).needs_work(calls).any()
    assert judge.asked == []


def test_equal_rows_are_judged_once_and_seen_ones_not_again(tmp_path: Path) -> None:
    judge = FakeJudge()
    screener = RowScreener(judge=judge, memo=str(tmp_path / "memo.sqlite"))
    assert isinstance(screener, Screener)
    twice = pa.concat_tables([ROWS, ROWS])
    first = screener.needs_work(twice)
    assert screener.usage() == ScreenerUsage(12, 6, 0)
    other = RowScreener(judge=judge, memo=str(tmp_path / "memo.sqlite"))
    moved, order = shuffled(twice)
    assert (other.needs_work(moved) == first[order]).all()
    assert other.usage() == ScreenerUsage(12, 0, 0)


def test_another_revision_or_a_changed_history_is_judged_anew(tmp_path: Path) -> None:
    memo = str(tmp_path / "memo.sqlite")
    RowScreener(judge=FakeJudge(), memo=memo).needs_work(ROWS)
    other = FakeJudge(revision="other")
    RowScreener(judge=other, memo=memo).needs_work(ROWS)
    assert len(other.asked) == 6
    talk = pa.array([[{"role": "user", "content": "Hi"}]] * 6, ROWS.schema.field("history").type)
    again = FakeJudge()
    RowScreener(judge=again, memo=memo).needs_work(ROWS.set_column(1, ROWS.schema.field("history"), talk))
    assert len(again.asked) == 6


def test_an_unreadable_verdict_counts_as_one_and_is_asked_for_again(tmp_path: Path) -> None:
    screener = RowScreener(judge=FakeJudge(), memo=str(tmp_path / "memo.sqlite"))
    rows = with_answer(ROWS.slice(0, 1), "one two three")
    assert screener.needs_work(rows).tolist() == [True]
    assert screener.needs_work(rows).tolist() == [True]
    assert screener.usage().unreadable == 2


@pytest.mark.parametrize(
    ("answer", "feature"),
    [
        ("<div><p>Open at &nbsp;nine</p></div>", "markup"),
        ("Open at nine. " * 9, "distinct_trigrams"),
        ("itâ€™s open at nine, thatâ€™s all", "odd_characters"),
        ("Open\u200b at\u200b nine", "invisible"),
        ("Open at ni", "ending"),
    ],
)
def test_damage_moves_its_feature_and_nothing_else_does(answer: str, feature: str) -> None:
    at = FEATURE_NAMES.index(f"answer_{feature}")
    plain, damaged = (
        surface_features(with_answer(ROWS.slice(0, 1), text))[0] for text in ("Open at nine daily.", answer)
    )
    assert abs(damaged[at] - plain[at]) > FEATURE_SPREADS[at]


@pytest.mark.parametrize("answer", ["多喝水，注意休息。", "Take 2–3 doses; it’s “fine”.", ""])
def test_typography_and_chinese_are_no_damage(answer: str) -> None:
    found = dict(zip(FEATURE_NAMES, surface_features(with_answer(ROWS.slice(0, 1), answer))[0], strict=True))
    assert found["answer_markup"] == found["answer_odd_characters"] == found["answer_invisible"] == 0


def test_features_of_an_empty_table_keep_their_width() -> None:
    assert surface_features(ROWS.slice(0, 0)).shape == (0, len(FEATURE_NAMES))


def test_the_one_class_part_finds_strange_what_it_never_saw() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, len(FEATURE_NAMES))) * FEATURE_SPREADS
    one_class = OneClass.fit(features)
    strange = features[:50] + 8 * np.array(FEATURE_SPREADS) * (np.arange(len(FEATURE_NAMES)) == 16)
    assert one_class.distances(strange).min() > np.quantile(one_class.distances(features), 0.9)


def test_probabilities_are_calibrated_by_a_monotone_map() -> None:
    scores = np.linspace(0.0, 1.0, 50)
    found = Calibration(slope=0.7, intercept=-0.4).probabilities(scores)
    assert (np.diff(found) >= 0).all()
    assert np.allclose(sigmoid(logit(scores[1:-1])), scores[1:-1])


@pytest.fixture(scope="module")
def folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_screener(tmp_path_factory.mktemp("screener") / "trained", tiny_encoder)


def test_a_local_screener_tells_damage_from_clean_rows_at_any_batch_boundary(folder: Path) -> None:
    screener: RowScreener = pickle.loads(pickle.dumps(local_screener(str(folder))))
    as_operators_see_it: Screener = screener
    assert isinstance(as_operators_see_it, Screener)
    clean = clean_rows(40)
    marked = with_answer(clean, "<div class='x'><p>Bring&nbsp;good <b>shoes</b></p></div><br/><br/>")
    whole = screener.probabilities(pa.concat_tables([clean, marked]))
    assert whole[40:].mean() > 0.9
    assert whole[:40].mean() < 0.5
    single = [float(screener.probabilities(clean.slice(at, 1))[0]) for at in range(5)]
    assert np.allclose(single, whole[:5], atol=2e-4)


def test_the_revision_covers_weights_and_threshold(folder: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    other = make_screener(tmp_path / "other", tiny_encoder, threshold=0.7)
    assert read_manifest(str(folder)).revision != read_manifest(str(other)).revision
    head = EncoderHead.from_bytes((other / HEAD).read_bytes())
    assert head.to_bytes() == (other / HEAD).read_bytes()


def test_a_damaged_folder_is_refused(folder: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no screener"):
        local_screener(str(tmp_path / "nowhere"))
    broken = make_screener(tmp_path / "broken", tiny_encoder)
    data = bytearray((broken / HEAD).read_bytes())
    data[-1] ^= 1
    (broken / HEAD).write_bytes(bytes(data))
    with pytest.raises(InputError, match="not those"):
        local_screener(str(broken))
    (broken / MANIFEST).write_text("{}")
    with pytest.raises(InputError, match="no screener that this version reads"):
        local_screener(str(broken))


def test_an_encoder_that_changed_since_is_refused(folder: Path, tmp_path: Path) -> None:
    manifest = read_manifest(str(folder)).model_copy(update={"model_revision": "another"})
    (tmp_path / HEAD).write_bytes((folder / HEAD).read_bytes())
    (tmp_path / MANIFEST).write_text(manifest.model_dump_json())
    with pytest.raises(InputError, match="another revision"):
        LocalProbabilities.of(str(tmp_path)).probabilities(ROWS)


class Endpoint(ThreadingHTTPServer):
    """Answers `/card`, and `/screen` by the scripted replies: (status, body); what is not scripted is 0.25 per row."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[tuple[int, str]] = []
        self.num_asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/screener"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self._answer(200, json.dumps({"revision": "served", "threshold": 0.5}))

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["rows"]
        self.server.num_asked += 1
        body = json.dumps({"revision": "served", "threshold": 0.5, "probabilities": [0.25] * len(rows)})
        self._answer(*(self.server.script.pop(0) if self.server.script else (200, body)))

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(retry, "BACKOFF_S", 0.001)
    server = Endpoint()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


CALLS = ScreenerCalls(timeout_s=5, max_retries=2, rows_per_request=4)


def test_served_verdicts_come_in_the_rows_order_over_several_requests(endpoint: Endpoint) -> None:
    screener = pickle.loads(pickle.dumps(served_screener(endpoint.url, calls=CALLS)))
    assert screener.revision == "served"
    assert screener.needs_work(ROWS).tolist() == [False] * 6
    assert endpoint.num_asked == 2


def reply(*probabilities: object) -> tuple[int, str]:
    return 200, json.dumps({"revision": "served", "probabilities": probabilities})


@pytest.mark.parametrize("odd", ["yes", None, True, 1.5, -0.1, [0.2]])
def test_a_verdict_that_is_no_probability_counts_as_one(endpoint: Endpoint, odd: object) -> None:
    endpoint.script = [reply(0.1, odd)]
    screener = served_screener(endpoint.url, calls=CALLS)
    assert screener.needs_work(ROWS.slice(0, 2)).tolist() == [False, True]
    assert screener.usage() == ScreenerUsage(2, 2, 1)


@pytest.mark.parametrize("fault", [(500, SECRET), (503, SECRET), (429, SECRET), (200, "no JSON"), (200, "[]")])
def test_a_fault_is_retried_and_never_becomes_a_verdict(endpoint: Endpoint, fault: tuple[int, str]) -> None:
    screener = served_screener(endpoint.url, calls=CALLS)
    rows = with_answer(ROWS.slice(0, 1), SECRET)
    endpoint.script = [fault]
    assert screener.needs_work(rows).tolist() == [False]
    endpoint.script = [fault] * 3
    with pytest.raises(EndpointError, match="did not answer in 3 attempts") as caught:
        screener.needs_work(rows)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([reply(0.1, 0.2, 0.3)], EndpointError),
        ([(200, json.dumps({"revision": "another", "probabilities": [0.1]}))], EndpointError),
        ([(400, SECRET)], EndpointError),
    ],
)
def test_what_no_retry_mends_fails_at_once(
    endpoint: Endpoint, script: list[tuple[int, str]], error: type[Exception]
) -> None:
    screener = served_screener(endpoint.url, calls=CALLS)
    endpoint.script = script
    with pytest.raises(error):
        screener.needs_work(ROWS.slice(0, 1))
    assert endpoint.num_asked == 1


def test_nobody_listening_is_an_endpoint_error(endpoint: Endpoint) -> None:
    calls = ScreenerCalls(timeout_s=0.5, max_retries=1)
    with pytest.raises(EndpointError, match="no connection"):
        ServedProbabilities.at("http://127.0.0.1:9/screener", calls)


def test_a_reply_that_drips_beyond_its_time_is_an_endpoint_error(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    def drip(self: _Handler, status: int, body: str) -> None:
        self.send_response(status)
        self.end_headers()
        with suppress(OSError):
            for at in range(100):
                self.wfile.write(b" ")
                sent.append(at)
                time.sleep(0.05)

    monkeypatch.setattr(_Handler, "_answer", drip)
    calls = ScreenerCalls(max_retries=0, timeout_s=0.3)
    judge = ServedProbabilities(url=endpoint.url, revision="r", threshold=0.5, calls=calls)
    with pytest.raises(EndpointError, match=r"timeout after 0\.3 s"):
        judge.probabilities(with_answer(ROWS, SECRET))
    assert len(sent) < 100
