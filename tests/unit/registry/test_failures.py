from __future__ import annotations

import json

import pytest

from rayimage.errors import AuthError, RegistryError
from rayimage.http.response import Answer, Headers
from rayimage.registry.failures import error_codes, failure, login_advice


def answer(status: int, body: bytes = b"") -> Answer:
    url = "https://r.example.com/v2/a/manifests/b?token=hush"
    return Answer(method="GET", url=url, status=status, headers=Headers(), body=body)


def body(*errors: tuple[str, str]) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message} for code, message in errors]}).encode()


def fail(status: int, content: bytes = b"") -> RegistryError:
    return failure(answer(status, content), "cannot read x", registry="r.example.com", credentials="none (anonymous)")


@pytest.mark.parametrize("status", [307, 400, 401, 403, 404, 413, 418, 429, 500, 503, 599])
def test_every_status_names_thing_cause_and_next_step(status: int) -> None:
    error = fail(status)
    assert error.what == "cannot read x"
    assert str(status) in error.why
    assert error.fix
    assert isinstance(error, AuthError) == (status in (401, 403))
    assert "hush" not in f"{error} {error.fix}"


def test_says_what_the_registry_said() -> None:
    error = fail(400, body(("NAME_INVALID", "bad name"), ("UNKNOWN", "")))
    assert error.why == "400 Bad Request (NAME_INVALID bad name; UNKNOWN)"


def test_redacts_addresses_in_what_the_registry_said() -> None:
    error = fail(500, body(("UNKNOWN", "Get https://u:p@s3.example.com/k?X-Sig=hush: timeout")))
    assert "https://s3.example.com/k" in error.why
    assert "hush" not in error.why
    assert "u:p" not in error.why


def test_is_brief() -> None:
    assert len(fail(400, body(("X", "long " * 1000))).why) <= 400


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"3", b'{"errors": 3}', b'{"errors": [3]}', b'{"errors": null}', b"\xff", b"{" * 60_000],
)
def test_bodies_that_are_not_the_specifications(content: bytes) -> None:
    assert error_codes(answer(502, content)) == frozenset()
    assert fail(502, content).why == "502 Bad Gateway"


def test_codes() -> None:
    assert error_codes(answer(404, body(("A", ""), ("B", "x")))) == {"A", "B"}


def test_who_to_log_in_to() -> None:
    assert login_advice("r.example.com:5000").endswith("docker login r.example.com:5000")
    assert login_advice("docker.io").endswith("docker login")
