"""Secrets: found where they stand and by how they look, and nothing else is touched."""

from __future__ import annotations

import pickle
import time

import pytest

from operators.contract.errors import AutoDPError, EndpointError, InputError, RunError
from operators.contract.redaction import redacted, redacted_settings

SECRETS = [
    ("s3://AKIDEXAMPLE:wJalrXUt+nFEMI@bucket/p", "s3://***@bucket/p"),
    ("s3://KEY:sec/ret/with/slashes@bucket/p", "s3://***@bucket/p"),
    ("s3://bucket/p?access_key=K&secret_key=S&region=eu", "s3://bucket/p?access_key=***&secret_key=***&region=eu"),
    ("http://user:p%40ss@host:8000/v1?api-key=abc#x", "http://***@host:8000/v1?api-key=***#x"),
    ("https://host/v1?api-version=2024-06-01&sig=zz%3D", "https://host/v1?api-version=2024-06-01&sig=***"),
    ("abfs://container@account.dfs.core.windows.net/p", "abfs://container@account.dfs.core.windows.net/p"),
    ("gs://anonymous@bucket/p", "gs://anonymous@bucket/p"),
    ("Authorization: Bearer abc123def456", "Authorization: Bearer ***"),
    ("token hf_abcdefghijklmnopqrstuv is no good", "token *** is no good"),
    ("sk-proj-abcdefghijklmnop1234", "***"),
    ("AKIAIOSFODNN7EXAMPLE", "***"),
    ("s3://bucket/p?endpoint_override=http%3A%2F%2Fh&scheme=http", None),
    ("http://127.0.0.1:8000/v1 refused the connection", None),
    ("mail me@example.org about http://host:80/a, or b@c.d", None),
    ("basic processing of bearer documents", None),
    ("max_tokens must be 3; see --set training.learning_rate=1", None),
]


@pytest.mark.parametrize(("text", "left"), SECRETS)
def test_a_secret_is_left_out_and_the_rest_stays(text: str, left: str | None) -> None:
    assert redacted(text) == (text if left is None else left)
    assert redacted(redacted(text)) == redacted(text)
    assert redacted(f"cannot open {text!r}: why") == f"cannot open {redacted(text)!r}: why"


@pytest.mark.parametrize("kind", [AutoDPError, InputError, EndpointError, RunError])
def test_no_error_of_ours_holds_a_secret_however_it_travels(kind: type[AutoDPError]) -> None:
    error = kind("cannot open s3://KEY:SECRET@bucket?secret_key=SECRET")
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert str(each) == "cannot open s3://***@bucket?secret_key=***"


def test_settings_named_like_secrets_lose_their_texts_and_nothing_else() -> None:
    settings = {
        "api_key": "plain words",
        "api_key_env": "MY_KEY",
        "extra_headers": {"Authorization": "Basic dXNlcjpwYXNz", "X-Api-Key": "k", "X-Region": "eu"},
        "max_tokens": 12,
        "columns": {"id": "key", "question": "token"},
        "paths": ["s3://K:S@b/p", "plain"],
        "password": "",
    }
    assert redacted_settings(settings) == settings | {
        "api_key": "***",
        "extra_headers": {"Authorization": "***", "X-Api-Key": "***", "X-Region": "eu"},
        "paths": ["s3://***@b/p", "plain"],
    }


@pytest.mark.parametrize(
    "piece", ["://", "://a:", "?key=", "@", "sk-", "eyJ", "Bearer ", "?" + "secret", "a.", "x://u@"]
)
def test_long_texts_take_a_moment(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    start = time.process_time()
    redacted(text)
    assert time.process_time() - start < 3
