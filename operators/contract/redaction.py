"""Leaves secrets out of texts that people and files get to see: passwords, keys and tokens in URIs and settings.

A secret is recognised by where it stands (before the @ of a URI, as the value of a parameter or setting that is named
like one) or by how it looks (tokens of well-known services). What is left out reads as `***`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "***"
_USER = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,30})://([^/?#\s'\"<>]{1,2000})@")
_USER_WITH_SLASH = re.compile(r"(?<=://)[^/?#\s'\"<>:@]{1,200}:(?!\d{1,5}[/?#])[^\s'\"<>@]{0,300}@")
"""A secret that nobody escaped, as keys of S3 often need it."""
_NAMED_PLACES = {"abfs", "abfss", "gs", "gcs", "hdfs", "viewfs"}
"""Schemes that write a container or user before the @, which is no secret without a colon in it."""
_PARAMETER = re.compile(r"(?<=[?&;#])([\w.~%-]{1,100})=([^&;#\s'\"<>]+)")
_HEADER = re.compile(r"\b([Bb]earer|[Bb]asic) +(?=\S{0,200}[0-9=])[A-Za-z0-9._~+/=-]{8,}")
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[A-Za-z0-9_-]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_PARTS = (
    "apikey",
    "accesskey",
    "accountkey",
    "privatekey",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "authorization",
    "signature",
)
_LAST_WORDS = {"token", "pwd", "sig", "sas", "auth", "pass"}
_NO_SECRETS = ("_env", "_header", "_name", "_file")
"""Endings of settings that say where a secret is to be found."""


def redacted(text: str) -> str:
    """The text with the secrets in it left out; a URI keeps its host, path and other parameters."""
    text = _USER_WITH_SLASH.sub(f"{HIDDEN}@", _USER.sub(_without_user, text))
    text = _PARAMETER.sub(lambda match: f"{match[1]}={HIDDEN if _is_secret(match[1]) else match[2]}", text)
    text = _HEADER.sub(rf"\g<1> {HIDDEN}", text)
    return _TOKEN.sub(HIDDEN, text)


def redacted_settings(value: object, key: str = "") -> object:
    """Plain settings with the secrets in them left out, also whole texts under keys that are named like secrets.

    `api_key_env` and its like name an environment variable and stay.
    """
    if isinstance(value, Mapping):
        return {name: redacted_settings(each, str(name)) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted_settings(each, key) for each in value]
    if not isinstance(value, str):
        return value
    return HIDDEN if value and key != "key" and _is_secret(key) else redacted(value)


def _without_user(match: re.Match[str]) -> str:
    is_place = match[1].lower() in _NAMED_PLACES and ":" not in match[2]
    return match[0] if is_place else f"{match[1]}://{HIDDEN}@"


def _is_secret(name: str) -> bool:
    plain = name[:200].lower().replace("-", "_").replace("%2d", "_")
    if plain.endswith(_NO_SECRETS):
        return False
    words = re.split(r"[_.~%]", plain)
    return plain == "key" or words[-1] in _LAST_WORDS or any(part in "".join(words) for part in _PARTS)
