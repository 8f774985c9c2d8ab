"""GET with patience: index pages, and files that continue where they were cut (RFC 9110, 14)."""

from __future__ import annotations

import netrc
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from rayimage.builders.keyring import keyring_password
from rayimage.http import patience
from rayimage.http.failures import ConnectionFailed
from rayimage.http.redirects import BadRedirect, follow
from rayimage.http.response import BLOCK, Answer, Response
from rayimage.http.transport import Transport
from rayimage.http.urls import basic_authorization, credentials_in, host_and_port, origin, split_url

__all__ = ["Downloader", "Unavailable"]

_Result = TypeVar("_Result")

_REDIRECTS = 10
_PAGE_LIMIT = 128 * 1024 * 1024


class Unavailable(Exception):
    """A URL did not give what was asked of it, which is no error yet: the file may be elsewhere.

    The text is fit for a message; ``wait`` is the server's Retry-After in seconds.
    """

    def __init__(self, reason: str, *, temporary: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.temporary = temporary
        self.wait = wait


class Downloader:
    """HTTP for files and index pages; thread-safe. ``pause`` waits for seconds between tries.

    ``accounts`` are URLs with credentials in them: they hold for every URL of the same scheme, host and port, as in uv
    those of a configured index do. After them netrc is asked (``NETRC``, or the file in the home directory), then, for
    the password of a user who is named without one, the keyring.
    """

    def __init__(self, accounts: Sequence[str] = (), pause: Callable[[float], None] = patience.pause) -> None:
        self._accounts = {origin(url): found for url in accounts if (found := credentials_in(url))}
        self._services = {origin(url): url for url in accounts}
        # One connection for each thread of a build, so that none waits for another's file.
        connections = max(16, os.cpu_count() or 1)
        self._transport = Transport(policy=patience.RetryPolicy(base=1.0, sleep=pause), connections=connections)

    def page(self, url: str, *, accept: str) -> Answer:
        """A small document, unpacked; its ``url`` is the one it came from in the end. Raises Unavailable."""

        def attempt() -> Answer:
            with self._get(url, {"Accept": accept, "Accept-Encoding": "gzip"}) as response:
                answer = Answer.read(response, _PAGE_LIMIT, decode=True)
            if answer.truncated:
                raise Unavailable(f"{host_and_port(url)} sent a page of more than {_PAGE_LIMIT} bytes")
            return answer

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
            with self._get(url, headers, resume=bool(offset)) as response:
                continues = joined = _continues(response, offset, target)
                tag = response.headers.get("ETag", "")
                etag = "" if tag.startswith("W/") else tag
                with target.open("ab" if continues else "wb") as file:
                    _copy(response, file, size, heard)

        self._patiently(attempt, lambda: _length(target))
        return joined

    def _patiently(self, attempt: Callable[[], _Result], reached: Callable[[], int]) -> _Result:
        """Try until it works, a failure is final, or several tries in a row brought nothing new."""
        left = patience.Patience(self._transport.policy)
        while True:
            try:
                return attempt()
            except Unavailable as failure:  # noqa: PERF203 - a loop of tries
                if not failure.temporary:
                    raise
                left.wait(failure, reached=reached(), retry_after=failure.wait)

    @contextmanager
    def _get(self, url: str, headers: Mapping[str, str], *, resume: bool = False) -> Iterator[Response]:
        """A successful answer (with ``resume`` also 416), redirects followed; everything else is Unavailable."""
        credentials, home = self.credentials(url), origin(url)

        def send(url: str) -> Response:
            own = {"Authorization": basic_authorization(*credentials)} if credentials and origin(url) == home else {}
            return self._transport.send("GET", url, headers={**headers, **own})

        try:
            # Plain http may follow https: credentials stay behind, and the digest decides about what comes.
            response = follow(send, url, most=_REDIRECTS, downgrade=True)
            try:
                if response.status not in (200, 206) and not (resume and response.status == 416):
                    raise _refusal(response)
                yield response
            finally:
                response.close()
        except BadRedirect as bad:
            raise Unavailable(str(bad)) from bad
        except ConnectionFailed as lost:
            # What a wait may mend needs no advice.
            reason = lost.why if lost.temporary else f"{lost.why} ({lost.fix})"
            raise Unavailable(reason, temporary=lost.temporary) from lost

    def credentials(self, url: str) -> tuple[str, str] | None:
        """User and password for ``url``, if there are any."""
        found = credentials_in(url) or self._accounts.get(origin(url))
        if found and found[1]:
            return found
        if there := _netrc_credentials(url):
            return there
        if found and (password := keyring_password(self._services.get(origin(url), url), found[0])):
            return found[0], password
        return found


def _netrc_credentials(url: str) -> tuple[str, str] | None:
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        found = netrc.netrc(str(path)).authenticators(split_url(url).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None  # like curl and pip: a file that cannot be read holds no credentials
    return (found[0], found[2] or "") if found else None


def _refusal(response: Response) -> Unavailable:
    said = f"{host_and_port(response.url)} answered {response.status}"
    if response.status in (401, 403):
        return Unavailable(f"{said}: credentials are missing or not accepted")
    return Unavailable(said, temporary=response.retryable, wait=response.retry_after)


def _continues(response: Response, offset: int, target: Path) -> bool:
    """Whether the answer starts at ``offset``; what cannot be continued is dropped, and the next try starts anew."""
    if response.status == 200 or not offset:
        return False
    given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if response.status == 206 and given and int(given[1]) == offset:
        return True
    target.unlink()
    raise Unavailable(f"{host_and_port(response.url)} cannot continue a download", temporary=True)


def _copy(response: Response, file: BinaryIO, size: int | None, heard: Callable[[int], None]) -> None:
    reached = file.tell()
    while block := response.read(BLOCK):
        file.write(block)
        reached += len(block)
        heard(reached)
        if size is not None and reached > size:
            return


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
