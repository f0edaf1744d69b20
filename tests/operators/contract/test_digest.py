"""One digest of JSON: equal for equal values, however they are laid out."""

from __future__ import annotations

import pytest

from operators.contract.digest import canonical_json, json_digest


def test_the_order_of_keys_does_not_matter_and_text_stays_as_it_is() -> None:
    assert canonical_json({"b": [1, "中"], "a": None}) == '{"a":null,"b":[1,"中"]}'
    assert json_digest({"b": 1, "a": 2}) == json_digest({"a": 2, "b": 1})


@pytest.mark.parametrize("other", [{"a": "1"}, {"a": 1.0}, {"a": [1]}, {"a": True}, {}])
def test_another_value_has_another_digest(other: object) -> None:
    assert json_digest(other) != json_digest({"a": 1})


def test_a_lone_surrogate_is_digested_too() -> None:
    assert len(json_digest("\ud800")) == 64
