"""URLs: their parts, who is meant by them, and how they are shown to people."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

__all__ = [
    "Origin",
    "bare",
    "basic_authorization",
    "credentials_in",
    "host_and_port",
    "is_http",
    "is_this_machine",
    "origin",
    "redact",
    "split_url",
]

_PORTS: Final = {"http": 80, "https": 443}
_NOTHING: Final = SplitResult("", "", "", "", "")


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom credentials are for (RFC 6454): the same path of another origin is somebody else's."""

    scheme: str
    host: str
    port: int


def split_url(url: str) -> SplitResult:
    """The parts of a URL; all are empty when it is malformed."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # checked only when it is read
    except ValueError:
        return _NOTHING
    return parts


def is_http(url: str) -> bool:
    """Whether this is an http or https URL."""
    return split_url(url).scheme in _PORTS


def host_and_port(url: str) -> str:
    """The host of a URL, with its port if it is written; empty when the URL is malformed."""
    return split_url(url).netloc.rpartition("@")[2]


def origin(url: str) -> Origin:
    """The origin of a URL, the scheme's port filled in."""
    parts = split_url(url)
    return Origin(parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0))


def redact(url: str) -> str:
    """The URL without user, password, query and fragment: signed storage URLs carry secrets there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(a malformed URL)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def bare(url: str) -> str:
    """The URL as it may be sent, to a proxy too: without user, password and fragment; a malformed one as it is."""
    parts = split_url(url)
    return urlunsplit(parts._replace(netloc=host_and_port(url), fragment="")) if parts.netloc else url


def credentials_in(url: str) -> tuple[str, str] | None:
    """The user and password that are written in a URL, decoded; None without a user."""
    parts = split_url(url)
    return (unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def basic_authorization(user: str, password: str) -> str:
    """The value of an ``Authorization`` header, in UTF-8 (RFC 7617, 2.1; urllib3's ``make_headers`` takes latin-1)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def is_this_machine(host: str) -> bool:
    """Whether ``host`` (no port, no brackets) is loopback: ``localhost``, 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
