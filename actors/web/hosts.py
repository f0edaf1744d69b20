"""What a URL says about where it leads, and what of it may be shown."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

_NEAR_SUFFIXES = (".localhost", ".local", ".svc", ".cluster.local")
"""Endings of names that only a machine or a cluster resolves."""


def public_url(url: str) -> str:
    """The URL without what may be secret: user, password, query and fragment."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "(a URL that cannot be read)"
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))


def host_of(url: str) -> str:
    """The host that a URL names in lower case, empty where it names none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_near(host: str) -> bool:
    """Whether a host is reached without a proxy: this machine, a private address, or a name that a cluster resolves."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_NEAR_SUFFIXES)
    return address.is_private or address.is_loopback or address.is_link_local


def with_path(url: str, path: str) -> str:
    """The URL of something below a base URL, whose query stays, as Azure's api-version."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{path}", parts.query, ""))
