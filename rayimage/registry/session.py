"""Requests to one registry: authorised, redirected and retried by the rules of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from rayimage.errors import RegistryError
from rayimage.model.reference import Reference
from rayimage.registry.auth import Authenticator, parse_challenges
from rayimage.registry.failures import failure
from rayimage.registry.quirks import base_url
from rayimage.registry.transport import (
    ERROR_LIMIT,
    Answer,
    Body,
    ConnectionFailed,
    Patience,
    Transport,
    discard,
    redact,
)

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPHeaderDict

__all__ = ["Session"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5


@dataclass(frozen=True, slots=True)
class Session:
    """What every request about one repository shares. Thread-safe."""

    name: Reference
    transport: Transport
    auth: Authenticator

    @property
    def base(self) -> str:
        """``scheme://host[:port]`` of the registry's API."""
        return base_url(self.name.registry)

    def url(self, path: str) -> str:
        """The address of something of this repository: ``manifests/…``, ``blobs/…``."""
        return f"{self.base}/v2/{self.name.repository}/{path}"

    def request(  # noqa: PLR0913 -- keyword arguments, each a part of an HTTP request
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        push: bool = False,
        limit: int = ERROR_LIMIT,
    ) -> Answer:
        """A request that may be repeated, and is while the registry is busy or out of reach.

        Answers the last response, of any status; ``limit`` bounds the body of a success.
        Raises RegistryError when there is none, AuthError when there is no way to log in.
        """
        patience = Patience(self.transport.policy)
        while True:
            try:
                response = self._exchange(method, url, headers or {}, body, push=push)
                answer = Answer.read(method, url, response, limit if response.status < 300 else ERROR_LIMIT)
            except ConnectionFailed as lost:
                patience.wait(lost)
                continue
            if not answer.retryable or not patience.again(retry_after=answer.retry_after):
                return answer

    def send(self, method: str, url: str, *, headers: Mapping[str, str], body: Body) -> Answer:
        """A request that must not be repeated: its body can be read once. One try, any status.

        After a 401 the next request has fresh authorisation. Raises ConnectionFailed, and what ``body`` raises.
        """
        authorization = self._authorization(url, push=True)
        response = self.transport.send(method, url, headers={**headers, **authorization}, body=body)
        answer = Answer.read(method, url, response)
        if answer.status == 401 and self._is_registry(url):
            self._renew(answer.headers, authorization, push=True)
        return answer

    def stream(self, url: str, *, headers: Mapping[str, str], what: str) -> BaseHTTPResponse:
        """A response of status 200 or 206 whose body the caller reads and discards.

        Raises RegistryError for every other, naming ``what`` failed.
        """
        patience = Patience(self.transport.policy)
        while True:
            try:
                response = self._exchange("GET", url, headers, None, push=False)
                if response.status in (200, 206):
                    return response
                answer = Answer.read("GET", url, response)
            except ConnectionFailed as lost:
                patience.wait(lost)
                continue
            if not answer.retryable or not patience.again(retry_after=answer.retry_after):
                raise self.failure(answer, what)

    def failure(self, answer: Answer, what: str) -> RegistryError:
        """The error for an answer that is not the wanted one."""
        return failure(answer, what, registry=self.name.registry, credentials=self.auth.source)

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, push: bool
    ) -> BaseHTTPResponse:
        """One request; a 401 is answered once, and redirects of a GET or HEAD are followed."""
        for _ in range(_MAX_REDIRECTS):
            authorization = self._authorization(url, push=push)
            response = self.transport.send(method, url, headers={**headers, **authorization}, body=body)
            if response.status == 401 and self._is_registry(url):
                discard(response)
                authorization = self._renew(response.headers, authorization, push=push)
                response = self.transport.send(method, url, headers={**headers, **authorization}, body=body)
            if response.status not in _REDIRECTS or method not in ("GET", "HEAD"):
                return response
            location = response.headers.get("Location", "")
            discard(response)
            url = self._redirected(url, location)
        raise RegistryError(f"{redact(url)} redirects without end", fix="ask whoever runs the registry")

    def _authorization(self, url: str, *, push: bool) -> dict[str, str]:
        """Credentials go to the registry itself and nowhere else: blobs redirect to foreign storage."""
        value = self.auth.header(push=push) if self._is_registry(url) else ""
        return {"Authorization": value} if value else {}

    def _renew(self, headers: HTTPHeaderDict, sent: Mapping[str, str], *, push: bool) -> dict[str, str]:
        challenges = parse_challenges(headers.getlist("WWW-Authenticate"))
        return {"Authorization": self.auth.respond(challenges, refused=sent.get("Authorization", ""), push=push)}

    def _is_registry(self, url: str) -> bool:
        return _origin(self.base) == _origin(url)

    def _redirected(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
        if not location or scheme not in ("http", "https") or (url.startswith("https:") and scheme == "http"):
            what = f"{redact(url)} redirects to {redact(target)!r}"
            raise RegistryError(what, why="that is no https address", fix="ask whoever runs the registry")
        return target


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
