"""Proving who we are: Basic, and Bearer tokens (distribution's ``spec/auth/token.md`` and ``oauth.md``).

Nothing is sent before the registry asks: pulling a public base without a token saves about half a second
(GoogleContainerTools/jib#414).
"""

from __future__ import annotations

import ipaddress
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from rayimage.errors import AuthError, RegistryError
from rayimage.http.patience import insist
from rayimage.http.response import Answer
from rayimage.http.urls import redact
from rayimage.model.reference import Reference
from rayimage.registry.failures import failure, login_advice
from rayimage.registry.host import Challenge, Host
from rayimage.registry.keychain import ANONYMOUS, Credentials, Keychain
from rayimage.registry.quirks import base_url, host_of

__all__ = ["Authenticator", "parse_challenges"]

_CHALLENGE = re.compile(
    r"""
      (?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+) \s*=\s* (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<bare>[^\s,"]*) )
    | (?P<scheme>[!#$%&'*+.^_`|~0-9A-Za-z-]+)
    | [\s,]+ | .
    """,
    re.VERBOSE | re.DOTALL,
)
_DEFAULT_LIFE = 60.0
_FRESH = 0.75
"""The part of a token's life in which it is used: an upload may outlive the rest."""


@dataclass(frozen=True, slots=True)
class _Grant:
    """An ``Authorization`` value, until when it is used, and whether it was asked for pushing."""

    header: str
    until: float
    push: bool


def parse_challenges(values: Sequence[str]) -> tuple[Challenge, ...]:
    """Read every ``WWW-Authenticate`` header of a response (RFC 9110, 11.6.1); rubbish is skipped."""
    found: list[tuple[str, dict[str, str]]] = []
    for match in (match for value in values for match in _CHALLENGE.finditer(value)):
        if match["scheme"]:
            found.append((match["scheme"].lower(), {}))
        elif match["name"] and found:
            quoted = match["quoted"]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match["bare"]
            found[-1][1][match["name"].lower()] = value
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


class Authenticator:
    """The ``Authorization`` header for one repository, and for pulling from others of the same registry.

    Thread-safe: many requests that meet a 401 at once cause one token request. What ``host`` asked for another
    repository is answered before it asks again. With ``mount_from``, which may be empty, every token is for
    pushing too: who will push needs no other one to look around first.
    """

    def __init__(
        self,
        host: Host,
        name: Reference,
        *,
        keychain: Keychain,
        mount_from: Sequence[Reference] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._name = name
        self._writes = mount_from is not None
        self._mount_from = tuple(dict.fromkeys(other.repository for other in mount_from or ()))
        self._keychain = keychain
        self._clock = clock
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._grant: _Grant | None = None
        self._credentials = ANONYMOUS

    @property
    def source(self) -> str:
        """Where the credentials in use came from, for messages."""
        return self._credentials.source

    def header(self, *, push: bool) -> str:
        """The ``Authorization`` value to send now; empty until the registry has asked. Renews an old token."""
        with self._lock:
            if self._challenge is None:
                self._challenge = self._expected()
            if self._challenge is None:
                return ""
            if self._grant is None or self._clock() >= self._grant.until or (push and not self._grant.push):
                self._grant = self._obtain(self._challenge, push=push)
            return self._grant.header

    def respond(self, challenges: Sequence[Challenge], *, refused: str, push: bool) -> str:
        """React to a 401: the new ``Authorization`` value.

        ``refused`` is the value that was sent; when another thread has renewed it meanwhile, that one is answered.
        Raises AuthError when there is nothing (else) to offer.
        """
        challenge = next((c for scheme in ("bearer", "basic") for c in challenges if c.scheme == scheme), None)
        if challenge is None:
            why = "it answers 401 without a Basic or Bearer challenge"
            raise AuthError(f"cannot log in to {self._name.registry}", why=why, fix=login_advice(self._name.registry))
        with self._lock:
            current = self._grant
            if current and current.header != refused and (current.push or not push):
                return current.header
            self._challenge = challenge
            self._host.challenge = challenge
            self._grant = self._obtain(challenge, push=push or bool(current and current.push))
            return self._grant.header

    def _expected(self) -> Challenge | None:
        """What the registry will ask for, as it did for another repository; the scopes it named then are not ours."""
        asked = self._host.challenge
        if asked is None or (asked.scheme != "bearer" and not self._keychain.resolve(self._name).basic):
            return None
        return Challenge(asked.scheme, {name: value for name, value in asked.parameters.items() if name != "scope"})

    def _obtain(self, challenge: Challenge, *, push: bool) -> _Grant:
        push = push or self._writes
        self._credentials = self._keychain.resolve(self._name)
        if challenge.scheme == "bearer":
            return self._fetch_token(challenge, push=push)
        if not self._credentials.basic:
            why = f"it wants a user name and a password; credentials used: {self.source}"
            raise AuthError(f"not logged in to {self._name.registry}", why=why, fix=login_advice(self._name.registry))
        return _Grant(self._credentials.basic, float("inf"), push=True)

    def _fetch_token(self, challenge: Challenge, *, push: bool) -> _Grant:
        realm = challenge.parameters.get("realm", "")
        check_realm(realm, self._name.registry)
        service = challenge.parameters.get("service", "")
        scopes = self._scopes(challenge.parameters.get("scope", ""), push=push)
        answer = self._ask(realm, service, scopes, self._credentials)
        if answer.status != 200:
            what = f"no access token for {self._name} from {redact(realm)}"
            raise failure(answer, what, registry=self._name.registry, credentials=self.source)
        try:
            data = json.loads(answer.body)
            token = str(data.get("token") or data["access_token"])
            # RFC 6750: a token is one word. Anything else would break out of the header.
            if not re.fullmatch(r"[\x21-\x7e]+", token):
                raise ValueError("not a token")
            life = float(data.get("expires_in") or _DEFAULT_LIFE)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"no access token from {redact(realm)}"
            raise RegistryError(what, why="its answer holds no token", fix="ask whoever runs the registry") from error
        return _Grant(f"Bearer {token}", self._clock() + life * _FRESH, push)

    def _scopes(self, asked: str, *, push: bool) -> list[str]:
        """One scope per repository, our own first, as some registries read only the first.

        google/go-containerregistry ``remote/write.go`` orders them so; that a mount needs both repositories in one
        token is GoogleContainerTools/jib#1793.
        """
        actions = "pull,push" if push else "pull"
        scopes = [f"repository:{self._name.repository}:{actions}"]
        if push:
            scopes += [f"repository:{other}:pull" for other in self._mount_from if other != self._name.repository]
        known = {scope.rpartition(":")[0] for scope in scopes}
        return scopes + [scope for scope in asked.split() if scope.rpartition(":")[0] not in known]

    def _ask(self, realm: str, service: str, scopes: list[str], credentials: Credentials) -> Answer:
        body = None
        headers = {"Accept": "application/json"}
        if credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": "rayimage",
                "scope": " ".join(scopes),
                "refresh_token": credentials.identity_token,
            }
            method, url, body = "POST", realm, urlencode(form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            query = ([("service", service)] if service else []) + [("scope", scope) for scope in scopes]
            method, url = "GET", f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(query)}"
            if credentials.basic:
                headers["Authorization"] = credentials.basic
        # Redirects of a token server are not followed: credentials would go along.
        send = self._host.transport.send
        return insist(self._host.transport.policy, lambda: Answer.read(send(method, url, headers=headers, body=body)))


def check_realm(realm: str, registry: str) -> None:
    """Refuse a token server that a registry must not send credentials to.

    It may not be plain http when the registry is https, and no private, loopback or link-local address unless that is
    the registry itself: a hostile registry could aim us at a cloud's metadata service. Raises RegistryError.
    """
    try:
        parts = urlsplit(realm)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    why = ""
    if parts.scheme not in ("https", "http") or not host or parts.username is not None:
        why = "it is no http address"
    elif parts.scheme == "http" and base_url(registry).startswith("https:"):
        why = "the registry is https, its token server is not"
    elif host != host_of(registry) and _is_internal(host):
        why = "it is an internal address of another machine"
    if why:
        fix = "ask whoever runs the registry to correct the realm it announces"
        raise RegistryError(f"{registry} sends us to the token server {redact(realm)!r}", why=why, fix=fix)


def _is_internal(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
