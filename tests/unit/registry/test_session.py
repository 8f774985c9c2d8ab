"""What must hold towards registries that speak https, seen from the requests that would be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3

from rayimage.errors import RegistryError
from rayimage.http.patience import RetryPolicy
from rayimage.http.response import Response
from rayimage.model.content import Outcome
from rayimage.model.reference import Reference
from rayimage.registry.auth import Authenticator
from rayimage.registry.host import Host
from rayimage.registry.keychain import Credentials
from rayimage.registry.quirks import quirks_of
from rayimage.registry.session import Session
from rayimage.registry.upload import Uploader
from tests.unit.registry.conftest import blob_of

HOST = "registry.example.com"
NAME = Reference(HOST, "team/app")


class Login:
    def resolve(self, name: Reference) -> Credentials:
        return Credentials(source="a test", username="me", password="s3cret")


@dataclass
class Script:
    """A transport that answers by URL and notes who was sent credentials."""

    answers: Mapping[str, tuple[int, dict[str, str]]]
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(sleep=lambda _: None))
    asked: list[tuple[str, str, bool]] = field(default_factory=list)

    def send(self, method: str, url: str, *, headers: Mapping[str, str], body: Any = None) -> Response:
        if body is not None and not isinstance(body, bytes):
            list(body)
        authorized = "Authorization" in headers
        self.asked.append((method, url, authorized))
        if url.startswith(f"https://{HOST}/") and not authorized:
            status, answer = 401, {"WWW-Authenticate": "Basic"}
        else:
            status, answer = self.answers[f"{method} {url}"]
        return Response(
            urllib3.HTTPResponse(status=status, headers=answer, preload_content=False), method=method, url=url
        )


def session(answers: Mapping[str, tuple[int, dict[str, str]]]) -> tuple[Session, Script]:
    script = Script(answers)
    host = Host(script)  # type: ignore[arg-type]
    auth = Authenticator(host, NAME, keychain=Login())  # type: ignore[arg-type]
    return Session(NAME, host, auth), script


def redirect(location: str, **more: tuple[int, dict[str, str]]) -> dict[str, tuple[int, dict[str, str]]]:
    return {f"GET https://{HOST}/a": (307, {"Location": location}), **more}


@pytest.mark.parametrize("location", [f"https://{HOST}/b", "/b", "b", f"https://{HOST}:443/b"])
def test_the_registry_itself_keeps_being_told_who_we_are(location: str) -> None:
    target = f"https://{HOST}:443/b" if ":443" in location else f"https://{HOST}/b"
    asked, script = session(redirect(location, **{f"GET {target}": (200, {})}))
    assert asked.request("GET", f"https://{HOST}/a").status == 200
    assert script.asked[-1] == ("GET", target, True)


@pytest.mark.parametrize(
    "target",
    [
        "https://storage.example.com/b",
        f"https://{HOST}:8443/b",
        f"https://{HOST}.evil.com/b",
        f"https://{HOST}@evil.com/b",
        f"https://evil.com/{HOST}",
    ],
)
def test_nobody_else_is_told_who_we_are(target: str) -> None:
    asked, script = session(redirect(target, **{f"GET {target}": (200, {})}))
    assert asked.request("GET", f"https://{HOST}/a").status == 200
    assert script.asked[-1] == ("GET", target, False)


def test_a_401_of_somebody_else_is_not_answered() -> None:
    target = "https://storage.example.com/b"
    asked, script = session(redirect(target, **{f"GET {target}": (401, {"WWW-Authenticate": "Basic"})}))
    assert asked.request("GET", f"https://{HOST}/a").status == 401
    assert [url for _, url, _ in script.asked].count(target) == 1


@pytest.mark.parametrize(
    "location", [f"http://{HOST}/b", "http://other.example.com/?sig=hush", "file:///etc/passwd", "http://[", ""]
)
def test_redirects_that_are_not_followed(location: str) -> None:
    asked, _ = session(redirect(location))
    with pytest.raises(RegistryError, match="that is no https address") as caught:
        asked.request("GET", f"https://{HOST}/a")
    assert "hush" not in str(caught.value)


def test_redirects_in_a_circle() -> None:
    asked, script = session(redirect("/a"))
    with pytest.raises(RegistryError, match="redirects without end"):
        asked.request("GET", f"https://{HOST}/a")
    assert len(script.asked) == 6


def test_a_redirect_of_a_write_is_not_followed() -> None:
    asked, _ = session({f"PUT https://{HOST}/a": (307, {"Location": "/b"})})
    assert asked.request("PUT", f"https://{HOST}/a", body=b"x", push=True).status == 307


START = f"POST https://{HOST}/v2/team/app/blobs/uploads/"
BLOB = blob_of(b"layer")
QUERY = f"digest=sha256%3A{BLOB.descriptor.digest.hex}"


@pytest.mark.parametrize(
    ("location", "target", "authorized"),
    [
        ("/u/1", f"https://{HOST}/u/1?{QUERY}", True),
        (f"https://{HOST}/u/1?state=a%3D%3D", f"https://{HOST}/u/1?state=a%3D%3D&{QUERY}", True),
        # A registry that does not know that a proxy speaks TLS for it.
        (f"http://{HOST}/u/1", f"https://{HOST}/u/1?{QUERY}", True),
        ("https://storage.example.com/u?sig=1", f"https://storage.example.com/u?sig=1&{QUERY}", False),
    ],
)
def test_uploads_go_where_the_registry_says(location: str, target: str, authorized: bool) -> None:
    asked, script = session({START: (202, {"Location": location}), f"PUT {target}": (201, {})})
    assert Uploader(asked, quirks_of(HOST)).put(BLOB) is Outcome.UPLOADED
    assert script.asked[-1] == ("PUT", target, authorized)


@pytest.mark.parametrize(
    "headers",
    [{}, *({"Location": where} for where in ("http://other.example.com/u", "ftp://x/u", "https://[", "//[/u"))],
)
def test_uploads_without_a_usable_address(headers: dict[str, str]) -> None:
    asked, _ = session({START: (202, headers)})
    with pytest.raises(RegistryError, match="without a usable address"):
        Uploader(asked, quirks_of(HOST)).put(BLOB)


def test_a_repository_that_has_to_be_created_first() -> None:
    asked, _ = session({START: (404, {})})
    with pytest.raises(RegistryError, match=r"cannot push blob .* to registry\.example\.com/team/app: 404") as caught:
        Uploader(asked, quirks_of(HOST)).put(BLOB)
    assert "created before the first push" in caught.value.fix
