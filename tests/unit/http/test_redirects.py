from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import urllib3

from rayimage.http.redirects import BadRedirect, follow
from rayimage.http.response import Response

START = "https://a.example.com/x"


def script(answers: Mapping[str, tuple[int, str]], asked: list[str] | None = None) -> Callable[[str], Response]:
    def send(url: str) -> Response:
        (asked if asked is not None else []).append(url)
        status, location = answers[url]
        headers = {"Location": location} if location else {}
        raw = urllib3.HTTPResponse(status=status, headers=headers, preload_content=False)
        return Response(raw, method="GET", url=url)

    return send


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/y?a=b", "https://a.example.com/y?a=b"),
        ("y", "https://a.example.com/y"),
        ("//b.example.com", "https://b.example.com"),
    ],
)
def test_are_followed(status: int, location: str, target: str) -> None:
    asked: list[str] = []
    response = follow(script({START: (status, location), target: (404, "")}, asked), START, most=2)
    assert (response.status, response.url) == (404, target)
    assert asked == [START, target]


@pytest.mark.parametrize("status", [200, 201, 300, 304, 401, 500])
def test_a_location_alone_is_no_redirect(status: int) -> None:
    assert follow(script({START: (status, "/y")}), START, most=1).status == status


@pytest.mark.parametrize(
    "location", ["", "ftp://b.example.com/", "file:///etc/passwd", "http://b.example.com/?s3cret", "http://["]
)
def test_from_https_only_https_is_followed(location: str) -> None:
    with pytest.raises(
        BadRedirect, match=r"^https://a\.example\.com/x redirects to .*: that is no https address"
    ) as bad:
        follow(script({START: (302, location)}), START, most=5)
    assert "s3cret" not in str(bad.value)


@pytest.mark.parametrize("location", ["", "ftp://b.example.com/", "http://["])
def test_from_http_and_where_a_downgrade_is_allowed_http_is(location: str) -> None:
    plain = "http://a.example.com/x"
    answers = {START: (302, plain), plain: (302, location)}
    for start in (START, plain):
        with pytest.raises(BadRedirect, match=r"^http://a\.example\.com/x redirects .* not an http or https URL"):
            follow(script(answers), start, most=5, downgrade=True)


def test_have_an_end() -> None:
    asked: list[str] = []
    with pytest.raises(BadRedirect, match=r"/x redirects without end: more than 3 redirects"):
        follow(script({START: (302, "/x")}, asked), START, most=3)
    assert len(asked) == 3
