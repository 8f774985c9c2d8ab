"""Package indexes: which ones are configured, and where in them a wheel is (PEP 503 HTML, PEP 691 JSON)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urljoin, urlunsplit

from rayimage.builders.download import Downloader, Unavailable
from rayimage.http.urls import is_http, split_url
from rayimage.model.lock import LockedWheel
from rayimage.specs.indexes import user_indexes

__all__ = ["ACCEPT", "DEFAULT_INDEX_VARIABLES", "IndexFile", "configured_indexes", "find_wheel", "parse_page"]

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

DEFAULT_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
_EXTRAS = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL")
_NAMED = re.compile(r"([A-Za-z0-9_.-]+)=(?=[a-z]+:)")


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file that an index offers; ``sha256`` is empty when the index does not say."""

    filename: str
    url: str
    sha256: str


def configured_indexes(environ: Mapping[str, str] = os.environ, *, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The http and https indexes of uv's and pip's variables, in that order, then ``more``, then of the user's uv.toml.

    Credentials are in the URLs; uv's ``name=URL`` takes them from ``UV_INDEX_<NAME>_USERNAME`` and ``_PASSWORD``.
    """
    defaults = [environ[name] for name in DEFAULT_INDEX_VARIABLES if environ.get(name)]
    extras = [url for name in _EXTRAS for url in environ.get(name, "").split()]
    found = (_index(text.strip(), environ) for text in (*defaults, *extras, *more, *user_indexes(environ)))
    return tuple(dict.fromkeys(url for url in found if is_http(url)))


def _index(text: str, environ: Mapping[str, str]) -> str:
    named = _NAMED.match(text)
    if not named:
        return text
    url = split_url(text[named.end() :])
    prefix = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", named[1].upper())
    user, password = (quote(environ.get(f"{prefix}_{part}", ""), safe="") for part in ("USERNAME", "PASSWORD"))
    if (user or password) and not url.username:
        url = url._replace(netloc=f"{user}:{password}@{url.netloc}")
    return urlunsplit(url)


def find_wheel(index: str, wheel: LockedWheel, downloader: Downloader) -> list[str]:
    """URLs in ``index`` where the wheel may be: files with its hash, then files with its name and no stated hash.

    Raises Unavailable when there is none, or the index does not answer.
    """
    page = f"{urlunsplit(split_url(index)._replace(query='', fragment='')).rstrip('/')}/{wheel.name}/"
    answer = downloader.page(page, accept=ACCEPT)
    files = parse_page(answer.body, answer.headers.get("Content-Type", ""), answer.url)
    exact = [file.url for file in files if file.sha256 == wheel.digest.hex]
    named = [file for file in files if file.filename == wheel.filename]
    if found := exact + [file.url for file in named if not file.sha256]:
        return found
    if named:
        raise Unavailable(f"has {wheel.filename}, but with another sha256: {named[0].sha256}")
    raise Unavailable(f"does not have {wheel.filename}")


def parse_page(body: bytes, content_type: str, url: str) -> tuple[IndexFile, ...]:
    """The files of a project's page, ``url`` being where it came from; raises Unavailable when it is malformed."""
    text = body.decode(errors="replace")
    try:
        if "json" in content_type.partition(";")[0]:
            return tuple(_json_files(json.loads(text)["files"], url))
        page = _Anchors(url)
        page.feed(text)
        return tuple(page.files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable("sent a malformed page") from error


def _json_files(files: Iterable[Mapping[str, Any]], url: str) -> Iterable[IndexFile]:
    for file in files:
        sha256 = str(file.get("hashes", {}).get("sha256", ""))
        yield IndexFile(str(file["filename"]), urljoin(url, str(file["url"])), sha256.lower())


class _Anchors(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._base = url
        self.files: list[IndexFile] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect ``<a href=…/file#sha256=…>``; ``<base href>`` counts as in a browser."""
        href = dict(attrs).get("href") or ""
        if tag == "base" and href:
            self._base = urljoin(self._base, href)
        if tag == "a" and href:
            url = split_url(urljoin(self._base, href))
            sha256 = "".join(parse_qs(url.fragment).get("sha256", [])[:1]).lower()
            filename = unquote(url.path.rpartition("/")[2])
            self.files.append(IndexFile(filename, urlunsplit(url._replace(fragment="")), sha256))
