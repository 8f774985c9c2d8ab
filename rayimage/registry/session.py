"""Requests to one registry: authorised, redirected and retried by the rules of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from rayimage.errors import RegistryError
from rayimage.http.patience import insist
from rayimage.http.redirects import BadRedirect, follow
from rayimage.http.response import ERROR_LIMIT, Answer, Headers, Response
from rayimage.http.transport import Body, Transport
from rayimage.http.urls import origin
from rayimage.model.reference import Reference
from rayimage.registry.auth import Authenticator, parse_challenges
from rayimage.registry.failures import failure
from rayimage.registry.host import Host
from rayimage.registry.quirks import base_url

__all__ = ["Session"]

_MAX_REDIRECTS: Final = 5


@dataclass(frozen=True, slots=True)
class Session:
    """What every request about one repository shares. Thread-safe."""

    name: Reference
    host: Host
    auth: Authenticator

    @property
    def transport(self) -> Transport:
        """The connections that requests go through."""
        return self.host.transport

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

        def ask() -> Answer:
            response = self._exchange(method, url, headers or {}, body, push=push)
            return Answer.read(response, limit if response.status < 300 else ERROR_LIMIT)

        return insist(self.transport.policy, ask)

    def send(self, method: str, url: str, *, headers: Mapping[str, str], body: Body) -> Answer:
        """A request that must not be repeated: its body can be read once. One try, any status.

        After a 401 the next request has fresh authorisation. Raises ConnectionFailed, and what ``body`` raises.
        """
        authorization = self._authorization(url, push=True)
        answer = Answer.read(self._send(method, url, {**headers, **authorization}, body))
        if answer.status == 401 and self._is_registry(url):
            self._renew(answer.headers, authorization, push=True)
        return answer

    def stream(self, url: str, *, headers: Mapping[str, str], what: str) -> Response:
        """A response of status 200 or 206 whose body the caller reads, and closes.

        Raises RegistryError for every other, naming ``what`` failed.
        """

        def ask() -> Response | Answer:
            response = self._exchange("GET", url, headers, None, push=False)
            return response if response.status in (200, 206) else Answer.read(response)

        found = insist(self.transport.policy, ask)
        if isinstance(found, Answer):
            raise self.failure(found, what)
        return found

    def failure(self, answer: Answer, what: str) -> RegistryError:
        """The error for an answer that is not the wanted one."""
        return failure(answer, what, registry=self.name.registry, credentials=self.auth.source)

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, push: bool
    ) -> Response:
        """One request; a 401 is answered once, and redirects of a GET or HEAD are followed."""

        def send(url: str) -> Response:
            authorization = self._authorization(url, push=push)
            response = self._send(method, url, {**headers, **authorization}, body)
            if response.status != 401 or not self._is_registry(url):
                return response
            Answer.read(response)  # to its end: so its connection is kept
            authorization = self._renew(response.headers, authorization, push=push)
            return self._send(method, url, {**headers, **authorization}, body)

        with self.host.introduction():
            if method not in ("GET", "HEAD"):
                return send(url)
            return self._follow(send, url)

    def _follow(self, send: Callable[[str], Response], url: str) -> Response:
        try:
            return follow(send, url, most=_MAX_REDIRECTS)
        except BadRedirect as bad:
            raise RegistryError(bad.what, why=bad.why, fix="ask whoever runs the registry") from bad

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Response:
        if not self._is_registry(url):
            return self.transport.send(method, url, headers=headers, body=body)
        self.host.pace.wait()
        response = self.transport.send(method, url, headers=headers, body=body)
        self.host.heed(response)
        return response

    def _authorization(self, url: str, *, push: bool) -> dict[str, str]:
        """Credentials go to the registry itself and nowhere else: blobs redirect to foreign storage."""
        value = self.auth.header(push=push) if self._is_registry(url) else ""
        return {"Authorization": value} if value else {}

    def _renew(self, headers: Headers, sent: Mapping[str, str], *, push: bool) -> dict[str, str]:
        challenges = parse_challenges(headers.getlist("WWW-Authenticate"))
        return {"Authorization": self.auth.respond(challenges, refused=sent.get("Authorization", ""), push=push)}

    def _is_registry(self, url: str) -> bool:
        return origin(self.base) == origin(url)
