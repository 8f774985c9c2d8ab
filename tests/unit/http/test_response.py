from __future__ import annotations

import gzip
from email.utils import formatdate
from io import BytesIO
from time import time

import pytest
import urllib3

from rayimage.http.failures import ConnectionFailed
from rayimage.http.response import BLOCK, Answer, Headers, Response


def answer(status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(method="GET", url="https://a", status=status, headers=Headers(named), body=b"")


def response(body: bytes, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = urllib3.HTTPResponse(BytesIO(body), headers=named, status=200, preload_content=False, request_method="GET")
    return Response(raw, method="GET", url="https://a.example.com/x?sig=s3cret")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0.0),
        ("12", 12.0),
        ("soon", 0.0),
        ("-3", 0.0),
        (formatdate(0), 0.0),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0.0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    assert answer(429, Retry_After=value).retry_after == seconds


def test_retry_after_a_date() -> None:
    assert 20 < answer(429, Retry_After=formatdate(time() + 30, usegmt=True)).retry_after <= 30


@pytest.mark.parametrize(("status", "expected"), [(200, False), (404, False), (501, False), (429, True), (503, True)])
def test_retryable(status: int, expected: bool) -> None:
    assert answer(status).retryable is expected


@pytest.mark.parametrize(
    ("length", "limit", "truncated"),
    [(0, 10, False), (10, 10, False), (11, 10, True), (BLOCK * 3 + 1, BLOCK * 3, True)],
)
def test_a_body_is_read_to_its_limit(length: int, limit: int, truncated: bool) -> None:
    read = Answer.read(response(b"x" * length), limit)
    assert (len(read.body), read.truncated) == (min(length, limit), truncated)
    assert (read.method, read.url) == ("GET", "https://a.example.com/x?sig=s3cret")


def test_a_body_is_unpacked_on_demand_only_and_its_limit_is_that_of_the_unpacked() -> None:
    packed = gzip.compress(b"x" * 100_000)
    assert Answer.read(response(packed, Content_Encoding="gzip")).body == packed
    assert Answer.read(response(packed, Content_Encoding="gzip"), 100_000, decode=True).body == b"x" * 100_000
    assert Answer.read(response(packed, Content_Encoding="gzip"), 99_999, decode=True).truncated


def test_a_damaged_body() -> None:
    with pytest.raises(ConnectionFailed, match=r"what a\.example\.com sent: its compression is damaged") as caught:
        Answer.read(response(b"not gzip", Content_Encoding="gzip"), decode=True)
    assert "s3cret" not in str(caught.value)


def test_a_body_that_is_cut() -> None:
    cut = response(b"short", Content_Length="100")
    assert cut.read(100) == b"short"
    with pytest.raises(ConnectionFailed, match=r"lost the connection to a\.example\.com: the connection was cut"):
        cut.read(100)
    cut.close()
