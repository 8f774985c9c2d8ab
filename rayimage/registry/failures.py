"""What a registry's silence or refusal means: status codes and error bodies become errors here and nowhere else."""

from __future__ import annotations

import json
import re
from http import HTTPStatus

from rayimage.errors import AuthError, RegistryError
from rayimage.http.failures import ConnectionFailed, Peer
from rayimage.http.response import Answer
from rayimage.http.urls import redact
from rayimage.model.reference import DOCKER_HUB
from rayimage.registry.quirks import INSECURE_REGISTRIES

__all__ = ["REGISTRY", "RegistryUnreachable", "error_codes", "failure", "login_advice"]

_URL = re.compile(r"https?://[^\s\"'<>]+")
_FIXES = {
    404: "check the name; some registries (Amazon ECR) want a repository to be created before the first push",
    413: "raise the body limit of the proxy in front of the registry (nginx: client_max_body_size)",
    429: "wait and run the command again, or log in: registries allow more requests to known users",
}


class RegistryUnreachable(ConnectionFailed, RegistryError):
    """No answer from a registry, its token server or its storage."""


REGISTRY = Peer(
    name="registry",
    plain_http=f"if the registry serves plain http, set {INSECURE_REGISTRIES}={{host}}",
    error=RegistryUnreachable,
)


def failure(answer: Answer, what: str, *, registry: str, credentials: str) -> RegistryError:
    """The error for an answer that is not a success.

    ``what`` names the thing that failed, ``credentials`` where the ones in use came from. AuthError for 401 and 403,
    RegistryError for everything else.
    """
    why = _reason(answer)
    if answer.status in (401, 403):
        return AuthError(what, why=f"{why}; credentials used: {credentials}", fix=login_advice(registry))
    if answer.status >= 500:
        fix = "run the command again in a while; if it repeats, ask whoever runs the registry"
        return RegistryError(what, why=why, fix=fix)
    if answer.status < 400:
        fix = f"check that {registry} is an OCI registry; {answer.method} {redact(answer.url)} was not expected to"
        return RegistryError(what, why=why, fix=f"{fix} answer this")
    return RegistryError(what, why=why, fix=_FIXES.get(answer.status, "see what the registry says, and its log"))


def login_advice(registry: str) -> str:
    """The next step when credentials are missing or not enough."""
    host = "" if registry == DOCKER_HUB else f" {registry}"
    return f"check that you may do this, then run: docker login{host}"


def error_codes(answer: Answer) -> frozenset[str]:
    """The codes of a JSON error body (``MANIFEST_UNKNOWN``, ``DENIED``, …); empty for anything else."""
    return frozenset(code for code, _ in _errors(answer))


def _reason(answer: Answer) -> str:
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    said = "; ".join(" ".join(part for part in error if part) for error in _errors(answer))
    text = f"{answer.status} {phrase}".strip() + (f" ({said})" if said else "")
    text = _URL.sub(lambda match: redact(match[0]), text)
    return text if len(text) <= 400 else text[:397] + "..."


def _errors(answer: Answer) -> list[tuple[str, str]]:
    """The (code, message) pairs of the body; a HEAD has none, and proxies answer in HTML."""
    try:
        errors = json.loads(answer.body)["errors"]
        return [(str(e.get("code") or ""), str(e.get("message") or "")) for e in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
