"""One HTTP request. urllib3 underneath, with its own redirects and retries off.

An upload's body must never be replayed blindly (GoogleContainerTools/jib#4526), a redirect must not carry
``Authorization`` along, and a retry of a download asks for the rest of the file only (RFC 9110, 14).
"""

from __future__ import annotations

import ssl
import threading
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Final

import urllib3
from urllib3 import exceptions as faults

from rayimage import __version__
from rayimage.http.failures import SERVER, Peer, connection_failed
from rayimage.http.patience import RetryPolicy
from rayimage.http.response import BLOCK, Response
from rayimage.http.urls import (
    bare,
    basic_authorization,
    credentials_in,
    host_and_port,
    is_http,
    is_this_machine,
    redact,
    split_url,
)

__all__ = ["Body", "Transport"]

_CONNECT_SECONDS: Final = 20.0
_READ_SECONDS: Final = 60.0
# The last request of an upload waits while the registry hashes and moves the blob.
_COMMIT_SECONDS: Final = 300.0
_WRITES: Final = frozenset({"POST", "PUT", "PATCH"})

Body = bytes | Iterable[bytes] | None


class Transport:
    """Connections to any number of hosts, at most ``connections`` to each at a time. Thread-safe.

    ``peer`` words the errors; ``policy`` is kept for those who send, a transport itself tries once. Proxies come from
    the environment (``HTTPS_PROXY`` and its kin), certificates from the system or ``SSL_CERT_FILE``.
    """

    def __init__(self, peer: Peer = SERVER, *, policy: RetryPolicy | None = None, connections: int = 16) -> None:
        self.policy = policy or RetryPolicy()
        self._peer = peer
        self._connections = connections
        self._managers: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def send(self, method: str, url: str, *, headers: Mapping[str, str], body: Body = None) -> Response:
        """One request, one response (any status, no redirect followed, body not read yet).

        An iterable ``body`` needs a ``Content-Length`` header; what it raises passes through. Credentials in the URL
        are not sent. Raises ConnectionFailed when there is no response.
        """
        read = _COMMIT_SECONDS if method in _WRITES else _READ_SECONDS
        try:
            if not is_http(url):
                raise faults.URLSchemeUnknown(split_url(url).scheme)
            raw = self._manager(url).request(
                method,
                bare(url),
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
            raise connection_failed(url, error, self._peer) from error
        return Response(raw, method=method, url=url, peer=self._peer)

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            managers = list(self._managers.values())
            self._managers.clear()
        for manager in managers:
            manager.clear()

    def _manager(self, url: str) -> urllib3.PoolManager:
        key = (split_url(url).scheme, _proxy(url))
        with self._lock:
            if key not in self._managers:
                self._managers[key] = self._connect(*key)
            return self._managers[key]

    def _connect(self, scheme: str, proxy: str) -> urllib3.PoolManager:
        tls = ssl.create_default_context() if scheme == "https" else None
        if not proxy:
            return urllib3.PoolManager(maxsize=self._connections, block=True, blocksize=BLOCK, ssl_context=tls)
        if not is_http(proxy):
            raise faults.ProxyError("only http and https proxies are known", faults.LocationValueError(redact(proxy)))
        login = credentials_in(proxy)
        return urllib3.ProxyManager(
            redact(proxy),
            maxsize=self._connections,
            block=True,
            blocksize=BLOCK,
            ssl_context=tls,
            proxy_headers={"Proxy-Authorization": basic_authorization(*login)} if login else None,
        )


def _proxy(url: str) -> str:
    """The proxy that the environment names for this URL; none for this machine and what ``NO_PROXY`` exempts."""
    parts = split_url(url)
    if is_this_machine(parts.hostname or "") or urllib.request.proxy_bypass(host_and_port(url)):
        return ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all", "")
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"
