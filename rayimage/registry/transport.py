"""One HTTP request, and the patience to make it again. urllib3 underneath; redirects and retries are ours.

urllib3's own ``Retry`` is switched off: an upload's body must never be replayed blindly
(GoogleContainerTools/jib#4526), and a redirect must not carry ``Authorization`` along.
"""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from urllib3 import exceptions as faults

from rayimage import __version__
from rayimage.errors import RegistryError
from rayimage.registry.quirks import INSECURE_REGISTRIES, is_loopback

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["Answer", "ConnectionFailed", "Patience", "RetryPolicy", "Transport", "redact"]

BLOCK: Final = 256 * 1024
ERROR_LIMIT: Final = 64 * 1024
RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_PROGRESS: Final = 1024 * 1024
_CONNECT_SECONDS: Final = 20.0
_READ_SECONDS: Final = 60.0
# The last request of an upload waits while the registry hashes and moves the blob.
_COMMIT_SECONDS: Final = 300.0
_WRITES: Final = frozenset({"POST", "PUT", "PATCH"})

Body = bytes | Iterable[bytes] | None


class ConnectionFailed(RegistryError):
    """No answer at all; ``temporary`` when another try may help."""

    def __init__(self, what: str, *, why: str = "", fix: str = "", temporary: bool = True) -> None:
        super().__init__(what, why=why, fix=fix)
        self.temporary = temporary


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often to try (the first time included) and how long to wait in between, in seconds."""

    attempts: int = 5
    base: float = 0.4
    cap: float = 20.0
    retry_after_cap: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random

    def delay(self, failures: int, retry_after: float = 0.0) -> float:
        """The wait after so many failures: exponential with jitter, and at least what the registry asked for."""
        backoff: float = min(self.cap, self.base * 2.0 ** (failures - 1)) * (0.5 + self.random() / 2)
        return max(backoff, min(retry_after, self.retry_after_cap))


class Patience:
    """Counts the failures of one operation; a megabyte of progress makes it fresh again."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._reached = 0

    def wait(self, failure: RegistryError, *, reached: int = 0, retry_after: float = 0.0) -> None:
        """Sleep before the next try, or raise ``failure`` when there have been enough or it cannot go away."""
        if isinstance(failure, ConnectionFailed) and not failure.temporary:
            raise failure
        if not self.again(reached=reached, retry_after=retry_after):
            raise failure

    def again(self, *, reached: int = 0, retry_after: float = 0.0) -> bool:
        """Sleep and answer True, or False when there have been enough tries.

        ``reached`` is how many bytes have passed so far: a long transfer may be cut more often than a short one.
        """
        if reached >= self._reached + _PROGRESS:
            self._failures, self._reached = 0, reached
        self._failures += 1
        if self._failures >= self._policy.attempts:
            return False
        self._policy.sleep(self._policy.delay(self._failures, retry_after))
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response whose body has been read (at most as much as was allowed)."""

    method: str
    url: str
    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes
    truncated: bool = False

    @classmethod
    def read(cls, method: str, url: str, response: BaseHTTPResponse, limit: int = ERROR_LIMIT) -> Answer:
        """Read at most ``limit`` bytes of the response and give its connection back."""
        body = bytearray()
        try:
            # A body that was cut shows only on the read after its last bytes.
            while len(body) <= limit and (block := response.read(limit + 1 - len(body), decode_content=False)):
                body += block
        except (faults.HTTPError, OSError) as error:
            raise connection_failed(url, error) from error
        finally:
            discard(response)
        return cls(
            method=method,
            url=url,
            status=response.status,
            headers=urllib3.HTTPHeaderDict(response.headers),
            body=bytes(body[:limit]),
            truncated=len(body) > limit,
        )

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in RETRYABLE

    @property
    def retry_after(self) -> float:
        """The ``Retry-After`` header in seconds (a number or a date), 0 without one."""
        value = self.headers.get("Retry-After", "")
        if value.isdecimal():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (TypeError, ValueError):
            return 0.0


class Transport:
    """Connections to any number of hosts, at most ``connections`` to each at a time. Thread-safe."""

    def __init__(self, *, policy: RetryPolicy | None = None, connections: int = 16) -> None:
        self.policy = policy or RetryPolicy()
        self._connections = connections
        self._managers: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def send(self, method: str, url: str, *, headers: Mapping[str, str], body: Body = None) -> BaseHTTPResponse:
        """One request, one response (any status, no redirect followed, body not read yet).

        An iterable ``body`` needs a ``Content-Length`` header; what it raises passes through.
        Raises ConnectionFailed when there is no response.
        """
        read = _COMMIT_SECONDS if method in _WRITES else _READ_SECONDS
        try:
            return self._manager(url).request(
                method,
                url,
                body=body,
                headers={"User-Agent": f"rayimage/{__version__}", **headers},
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=read),
                pool_timeout=_COMMIT_SECONDS,
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
            )
        except (faults.HTTPError, OSError) as error:
            raise connection_failed(url, error) from error

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            managers = list(self._managers.values())
            self._managers.clear()
        for manager in managers:
            manager.clear()

    def _manager(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        key = (parts.scheme, _proxy(parts.scheme, parts.hostname or ""))
        with self._lock:
            if key not in self._managers:
                self._managers[key] = self._connect(*key)
            return self._managers[key]

    def _connect(self, scheme: str, proxy: str) -> urllib3.PoolManager:
        tls = ssl.create_default_context() if scheme == "https" else None
        if not proxy:
            return urllib3.PoolManager(maxsize=self._connections, block=True, blocksize=BLOCK, ssl_context=tls)
        parts = urlsplit(proxy)
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else None
        return urllib3.ProxyManager(
            redact(proxy),
            maxsize=self._connections,
            block=True,
            blocksize=BLOCK,
            ssl_context=tls,
            proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if login else None,
        )


def discard(response: BaseHTTPResponse) -> None:
    """Give the connection back; close it first when some of the response was not read."""
    if not response.closed:
        response.close()
    response.release_conn()


def redact(url: str) -> str:
    """The URL without user, password, query and fragment: signed storage URLs carry secrets there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(a malformed URL)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def connection_failed(url: str, error: BaseException) -> ConnectionFailed:
    """Say what a urllib3 or socket error means; URLs are left out, they may hold secrets."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    unreachable = f"cannot reach {host}"
    if isinstance(error, faults.ProxyError):
        fix = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
        return ConnectionFailed(unreachable, why="the proxy cannot be used", fix=fix)
    if isinstance(error, faults.SSLError):
        return _tls_failed(host, str(error))
    if isinstance(error, faults.NameResolutionError):
        cause = error.__cause__
        temporary = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
        fix = "check how the registry is written, and this machine's DNS"
        return ConnectionFailed(unreachable, why="the host name does not resolve", fix=fix, temporary=temporary)
    if isinstance(error, faults.ConnectTimeoutError):
        reason = _os_reason(error) or "the connection timed out"
        fix = "check that the registry runs there, its port, the network and proxy settings"
        return ConnectionFailed(unreachable, why=reason, fix=fix)
    if isinstance(error, faults.EmptyPoolError):
        return ConnectionFailed(unreachable, why="every connection is in use", fix="use fewer jobs", temporary=False)
    reason = "no answer in time" if isinstance(error, faults.TimeoutError) else "the connection was cut"
    fix = "run the command again; if it repeats, look for a proxy or firewall that limits time or size"
    return ConnectionFailed(f"lost the connection to {host}", why=_os_reason(error) or reason, fix=fix)


def _tls_failed(host: str, text: str) -> ConnectionFailed:
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER" in text:
        why, fix = "it does not speak TLS", f"if the registry serves plain http, set {INSECURE_REGISTRIES}={host}"
    else:
        why = text[:200]
        fix = "add the registry's certificate authority to the system's certificates, or name it in SSL_CERT_FILE"
    return ConnectionFailed(f"no trusted connection to {host}", why=why, fix=fix, temporary=False)


def _os_reason(error: BaseException | None) -> str:
    """The words of the operating system, from wherever urllib3 wrapped them."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror.lower()
        error = error.__cause__ or error.__context__
    return ""


def _proxy(scheme: str, host: str) -> str:
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all", "")
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"
