from __future__ import annotations

import pytest

from rayimage.http.urls import (
    Origin,
    bare,
    basic_authorization,
    credentials_in,
    host_and_port,
    is_http,
    is_this_machine,
    origin,
    redact,
    split_url,
)

MALFORMED = ["http://[", "http://a:99999/x", "https://u:p@[::1"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://u:p@a.com/x?sig=1#f", "https://a.com/x"),
        ("https://u:p@example.com:8443/a/b?x=1#y", "https://example.com:8443/a/b"),
        ("http://a:5000/v2/", "http://a:5000/v2/"),
        ("http://u:p@a:99999/x?s=1", "http://a:99999/x"),
        ("https://[", "(a malformed URL)"),
        ("https://u:p@[::1", "(a malformed URL)"),
    ],
)
def test_redact(url: str, expected: str) -> None:
    assert redact(url) == expected


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_has_no_parts(url: str) -> None:
    assert split_url(url).geturl() == ""
    assert host_and_port(url) == ""
    assert credentials_in(url) is None
    assert not is_http(url)
    assert bare(url) == url


@pytest.mark.parametrize(
    ("url", "host"), [("http://u:p@a.com:80/x", "a.com:80"), ("http://a.com", "a.com"), ("http://[::1]:5/", "[::1]:5")]
)
def test_host_and_port(url: str, host: str) -> None:
    assert host_and_port(url) == host


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://A.example.com:443/other", True),
        ("https://me:pw@a.example.com", True),
        ("http://a.example.com", False),
        ("https://a.example.com:8443", False),
        ("https://a.example.com.evil.com", False),
        ("https://a.example.com@evil.com", False),
    ],
)
def test_origin(url: str, same: bool) -> None:
    assert (origin(url) == Origin("https", "a.example.com", 443)) == same


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://u:p@a.com/x?sig=%2B1#f", "https://a.com/x?sig=%2B1"),
        ("http://a:5000/v2/?a=b%3D%3D&c", "http://a:5000/v2/?a=b%3D%3D&c"),
    ],
)
def test_bare_keeps_the_query(url: str, expected: str) -> None:
    assert bare(url) == expected


def test_credentials_are_decoded_and_sent_in_utf8() -> None:
    assert credentials_in("https://us%40er:p%C3%A4ss@a.com/") == ("us@er", "päss")
    assert credentials_in("https://token@a.com/") == ("token", "")
    assert credentials_in("https://a.com/") is None
    assert basic_authorization("us@er", "päss") == "Basic dXNAZXI6cMOkc3M="


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_is_this_machine(host: str, here: bool) -> None:
    assert is_this_machine(host) == here
