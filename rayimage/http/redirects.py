"""Redirects of a GET or HEAD, in our own hands: urllib3's would carry ``Authorization`` along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin

from rayimage.errors import RayimageError
from rayimage.http.response import Answer, Response
from rayimage.http.urls import redact, split_url

__all__ = ["BadRedirect", "follow"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class BadRedirect(RayimageError):
    """A redirect that is not followed. ``fix`` is left to the caller, who knows whom to ask."""


def follow(send: Callable[[str], Response], url: str, *, most: int, downgrade: bool = False) -> Response:
    """Send to ``url``, and to where it is redirected: the first response that is none.

    ``send`` decides for each URL anew what it may carry: credentials are for one ``origin`` only. With ``downgrade``
    an https URL may lead to a plain http one, which is for content whose digest is known. Raises BadRedirect for an
    address of no use, and after ``most`` requests; what ``send`` raises passes.
    """
    for _ in range(most):
        response = send(url)
        if response.status not in _REDIRECTS:
            return response
        Answer.read(response)  # to its end: so its connection is kept
        url = _target(url, response.headers.get("Location", ""), downgrade=downgrade)
    raise BadRedirect(f"{redact(url)} redirects without end", why=f"more than {most} redirects")


def _target(url: str, location: str, *, downgrade: bool) -> str:
    try:
        target = urljoin(url, location)
    except ValueError:
        target = location
    secure = url.startswith("https:") and not downgrade
    allowed = ("https",) if secure else ("http", "https")
    if not location or split_url(target).scheme not in allowed:
        why = "that is no https address" if secure else "that is not an http or https URL"
        raise BadRedirect(f"{redact(url)} redirects to {redact(target)!r}", why=why)
    return target
