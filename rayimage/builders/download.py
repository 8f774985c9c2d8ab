"""GET with patience: redirects, credentials, bounded retries, and downloads that continue where they were cut.

urllib3 underneath, with its own redirects and retries off: a redirect must not carry credentials to another host, and
a retry of a download must ask for the rest of the file only (RFC 9110, section 14).
"""

from __future__ import annotations

import base64
import netrc
import os
import random
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

import urllib3
from urllib3 import BaseHTTPResponse, exceptions
from urllib3.util import Retry, make_headers

from rayimage import __version__

__all__ = ["Downloader", "Unavailable", "host_of", "shown", "split_url"]

_Result = TypeVar("_Result")

_BLOCK = 256 * 1024
_CONNECTIONS = 16
_TIMEOUT = urllib3.Timeout(connect=15, read=60)
_TRIES = 5
_REDIRECTS = 10
_PROGRESS = 1024 * 1024  # bytes that show that a connection is worth another round of tries
_PAGE_LIMIT = 128 * 1024 * 1024
_LONGEST_WAIT = 60.0
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Unavailable(Exception):
    """A URL did not give what was asked of it, which is no error yet: the file may be elsewhere.

    The text is fit for a message; ``wait`` is the server's Retry-After in seconds.
    """

    def __init__(self, reason: str, *, temporary: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.temporary = temporary
        self.wait = wait


def split_url(url: str) -> SplitResult:
    """The parts of a URL; all are empty when it is malformed."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # checked only when it is read
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def shown(url: str) -> str:
    """A URL without credentials, query and fragment, for people to read."""
    parts = split_url(url)
    return urlunsplit((parts.scheme, host_of(url), parts.path, "", "")) or "(malformed URL)"


def host_of(url: str) -> str:
    """The host of a URL, with its port if it is written."""
    return split_url(url).netloc.rpartition("@")[2]


class Downloader:
    """HTTP for files and index pages; thread-safe. ``pause`` waits for seconds between tries.

    ``accounts`` are URLs with credentials in them: they hold for every URL of the same scheme, host and port, as in uv
    those of a configured index do. After them netrc is asked (``NETRC``, or the file in the home directory).
    """

    def __init__(self, accounts: Sequence[str] = (), pause: Callable[[float], None] = time.sleep) -> None:
        self._pause = pause
        self._accounts = {_origin(url): found for url in accounts if (found := _written_credentials(url))}
        self._direct = urllib3.PoolManager(maxsize=_CONNECTIONS, timeout=_TIMEOUT)
        self._proxies = _proxies()

    def page(self, url: str, *, accept: str) -> tuple[bytes, str, str]:
        """A small document: its bytes, its Content-Type and the URL it came from in the end. Raises Unavailable."""

        def attempt() -> tuple[bytes, str, str]:
            with self._get(url, {"Accept": accept, "Accept-Encoding": "gzip"}) as (response, final):
                body = b"".join(_limited(_blocks(response, decode=True), url))
                return body, response.headers.get("Content-Type", ""), final

        return self._patiently(attempt, lambda: 0)

    def file(self, url: str, target: Path, *, size: int | None, heard: Callable[[int], None]) -> bool:
        """Download into ``target``, continuing what is there; returns whether the file was put together from parts.

        ``heard`` is told the length reached, in bytes. When ``size`` is known, nothing much longer is written. The
        caller verifies what came. Raises Unavailable; ``target`` then keeps what a later call can continue.
        """
        joined = False
        etag = ""

        def attempt() -> None:
            nonlocal joined, etag
            offset = _length(target)
            if offset and offset == size:
                joined = True
                heard(offset)
                return
            headers = {"Accept-Encoding": "identity"}
            if offset:
                headers |= {"Range": f"bytes={offset}-"} | ({"If-Range": etag} if etag else {})
            with self._get(url, headers, resume=bool(offset)) as (response, final):
                continues = joined = _continues(response, offset, target, final)
                tag = response.headers.get("ETag", "")
                etag = "" if tag.startswith("W/") else tag
                with target.open("ab" if continues else "wb") as file:
                    _copy(response, file, size, heard)

        self._patiently(attempt, lambda: _length(target))
        return joined

    def _patiently(self, attempt: Callable[[], _Result], reached: Callable[[], int]) -> _Result:
        """Try until it works, a failure is final, or several tries in a row brought nothing new."""
        tries, mark = 0, reached()
        while True:
            try:
                return attempt()
            except Unavailable as failure:  # noqa: PERF203 - a loop of tries
                if reached() - mark >= _PROGRESS:
                    tries, mark = 0, reached()
                tries += 1
                if not failure.temporary or tries == _TRIES:
                    raise
                backoff = min(0.5 * 2**tries, 20.0) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
                self._pause(backoff if failure.wait is None else min(failure.wait, _LONGEST_WAIT))

    @contextmanager
    def _get(
        self, url: str, headers: Mapping[str, str], *, resume: bool = False
    ) -> Iterator[tuple[BaseHTTPResponse, str]]:
        """A successful answer (with ``resume`` also 416) and the URL that gave it, redirects followed."""
        credentials, origin = self._credentials(url), _origin(url)
        for _ in range(_REDIRECTS):
            own = _basic(credentials) if credentials and _origin(url) == origin else {}
            response = self._request(url, {"User-Agent": f"rayimage/{__version__}", **headers, **own})
            try:
                location = response.headers.get("Location", "")
                if response.status in (301, 302, 303, 307, 308) and location:
                    url = _joined(url, location)
                    continue
                if response.status not in (200, 206) and not (resume and response.status == 416):
                    raise _refusal(response, url)
                try:
                    yield response, url
                except exceptions.HTTPError as error:
                    raise Unavailable(_reason(error), temporary=True) from error
                return
            finally:
                response.close()
                response.release_conn()
        raise Unavailable(f"more than {_REDIRECTS} redirects")

    def _request(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        parts = split_url(url)
        if parts.scheme not in ("http", "https"):
            raise Unavailable("not an http or https URL")
        proxy = self._proxies.get(parts.scheme)
        pool = self._direct if proxy is None or urllib.request.proxy_bypass(host_of(url)) else proxy
        bare = urlunsplit(parts._replace(netloc=host_of(url), fragment=""))
        try:
            return pool.request("GET", bare, headers=headers, redirect=False, retries=False, preload_content=False)
        except exceptions.HTTPError as error:
            raise Unavailable(_reason(error), temporary=not isinstance(error, exceptions.LocationParseError)) from error

    def _credentials(self, url: str) -> tuple[str, str] | None:
        return _written_credentials(url) or self._accounts.get(_origin(url)) or _netrc_credentials(url)


@dataclass(frozen=True, slots=True)
class _Origin:
    scheme: str
    host: str
    port: int | None


def _origin(url: str) -> _Origin:
    parts = split_url(url)
    return _Origin(parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme))


def _written_credentials(url: str) -> tuple[str, str] | None:
    parts = split_url(url)
    return (unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def _netrc_credentials(url: str) -> tuple[str, str] | None:
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        found = netrc.netrc(str(path)).authenticators(split_url(url).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None  # like curl and pip: a file that cannot be read holds no credentials
    return (found[0], found[2] or "") if found else None


def _basic(credentials: tuple[str, str]) -> dict[str, str]:
    # Not urllib3's make_headers, which encodes latin-1 (RFC 7617, section 2.1: UTF-8).
    return {"Authorization": f"Basic {base64.b64encode(':'.join(credentials).encode()).decode()}"}


def _proxies() -> dict[str, urllib3.PoolManager]:
    """Pools for the proxies of the environment (``HTTPS_PROXY`` and its kin), by the scheme they are for."""
    configured = urllib.request.getproxies()
    pools: dict[str, urllib3.PoolManager] = {}
    for scheme in ("http", "https"):
        url = configured.get(scheme) or configured.get("all") or ""
        url = url if "://" in url or not url else f"http://{url}"
        if split_url(url).scheme in ("http", "https"):
            credentials = _written_credentials(url)
            headers = make_headers(proxy_basic_auth=":".join(credentials)) if credentials else None
            pools[scheme] = urllib3.ProxyManager(url, proxy_headers=headers, maxsize=_CONNECTIONS, timeout=_TIMEOUT)
    return pools


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise Unavailable(f"{host_of(url)} redirects to a malformed URL") from error


def _refusal(response: BaseHTTPResponse, url: str) -> Unavailable:
    status = response.status
    if status in (401, 403):
        return Unavailable(f"{host_of(url)} answered {status}: credentials are missing or not accepted")
    wait = None
    if retry_after := response.headers.get("Retry-After"):
        try:
            wait = Retry().parse_retry_after(retry_after)
        except exceptions.InvalidHeader:
            wait = None
    return Unavailable(f"{host_of(url)} answered {status}", temporary=status in _TEMPORARY, wait=wait)


def _continues(response: BaseHTTPResponse, offset: int, target: Path, url: str) -> bool:
    """Whether the answer starts at ``offset``; what cannot be continued is dropped, and the next try starts anew."""
    if response.status == 200 or not offset:
        return False
    given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if response.status == 206 and given and int(given[1]) == offset:
        return True
    target.unlink()
    raise Unavailable(f"{host_of(url)} cannot continue a download", temporary=True)


def _copy(response: BaseHTTPResponse, file: BinaryIO, size: int | None, heard: Callable[[int], None]) -> None:
    reached = file.tell()
    for block in _blocks(response, decode=False):
        file.write(block)
        reached += len(block)
        heard(reached)
        if size is not None and reached > size:
            return


def _blocks(response: BaseHTTPResponse, *, decode: bool) -> Iterator[bytes]:
    yield from response.stream(_BLOCK, decode_content=decode)


def _limited(blocks: Iterator[bytes], url: str) -> Iterator[bytes]:
    total = 0
    for block in blocks:
        total += len(block)
        if total > _PAGE_LIMIT:
            raise Unavailable(f"{host_of(url)} sent a page of more than {_PAGE_LIMIT} bytes")
        yield block


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


_REASONS: tuple[tuple[type[exceptions.HTTPError], str], ...] = (
    (exceptions.NameResolutionError, "the host's name does not resolve"),
    (exceptions.NewConnectionError, "no connection"),
    (exceptions.TimeoutError, "timed out"),
    (exceptions.SSLError, "the TLS connection failed; for a private certificate authority set SSL_CERT_FILE"),
    (exceptions.ProxyError, "the proxy refused"),
    (exceptions.ProtocolError, "the connection was cut"),
)


def _reason(error: exceptions.HTTPError) -> str:
    """The cause in a few words: urllib3's texts are long, and some repeat the URL with its query."""
    return next((text for kind, text in _REASONS if isinstance(error, kind)), type(error).__name__)
