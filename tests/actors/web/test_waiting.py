from __future__ import annotations

import pytest

from actors.web.waiting import asked_to_wait_s

NOW = 1_700_000_000.0
"""14 Nov 2023, 22:13:20 GMT."""


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "60"}, 60.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT"}, 60.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:12:00 GMT"}, 0.0),
        ({"retry-after": "Tue, 14 Nov 2023 23:14:20 GMT", "date": "Tue, 14 Nov 2023 23:13:50 GMT"}, 30.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "2m3s"}, 123.0),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "20ms"}, 1.0),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "149984",
            },
            1.0,
        ),
        ({"x-ratelimit-reset": "1700000042"}, 42.0),
        ({"x-ratelimit-reset": "1700000042000"}, 42.0),
        ({"ratelimit-reset": "7"}, 7.0),
        ({"anthropic-ratelimit-requests-reset": "2023-11-14T22:13:35Z"}, 15.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_what_a_service_asks_to_wait_is_understood_in_every_form(headers: dict[str, str], wait_s: float | None) -> None:
    assert asked_to_wait_s(headers, now=NOW) == wait_s
