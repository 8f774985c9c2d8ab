"""What it means when there is no answer, in words for the one who waits for it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

from urllib3 import exceptions as faults

from rayimage.errors import RayimageError
from rayimage.http.urls import host_and_port, redact

__all__ = ["SERVER", "ConnectionFailed", "Peer", "connection_failed"]

_PROXY_FIX: Final = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
_CUT_FIX: Final = "run the command again; if it repeats, look for a proxy or firewall that limits time or size"


class ConnectionFailed(RayimageError):
    """No answer, or not all of it; ``temporary`` when another try may help."""

    def __init__(self, what: str, *, why: str = "", fix: str = "", temporary: bool = True) -> None:
        super().__init__(what, why=why, fix=fix)
        self.temporary = temporary


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other end of a connection, as messages speak of it."""

    name: str
    """A noun: "server", "registry"."""
    plain_http: str
    """The next step when there is no TLS where it is expected; ``{host}`` stands for the host and port."""
    error: type[ConnectionFailed] = ConnectionFailed
    """The class to raise; it decides the exit code."""


SERVER: Final = Peer(name="server", plain_http="if it serves plain http, write http:// in its URL")


def connection_failed(url: str, error: BaseException, peer: Peer = SERVER) -> ConnectionFailed:
    """Say what an error of urllib3 or the socket means; their own texts are left out, they may repeat secrets."""
    host = host_and_port(url) or redact(url)
    if isinstance(error, faults.SSLError):
        return _tls_failed(host, error, peer)
    if isinstance(error, (faults.ProxyError, faults.NewConnectionError, faults.ConnectTimeoutError)):
        return _not_connected(host, error, peer)
    unreachable = f"cannot reach {host}"
    if isinstance(error, faults.LocationValueError):
        return peer.error(
            unreachable, why="malformed, or not an http or https URL", fix="check how it is written", temporary=False
        )
    if isinstance(error, faults.EmptyPoolError):
        return peer.error(unreachable, why="every connection is in use", fix="use fewer jobs", temporary=False)
    if isinstance(error, faults.DecodeError):
        return peer.error(f"cannot read what {host} sent", why="its compression is damaged", fix=_CUT_FIX)
    reason = "no answer in time" if isinstance(error, faults.TimeoutError) else "the connection was cut"
    return peer.error(f"lost the connection to {host}", why=_os_reason(error) or reason, fix=_CUT_FIX)


def _not_connected(host: str, error: faults.HTTPError, peer: Peer) -> ConnectionFailed:
    what = f"cannot reach {host}"
    if isinstance(error, faults.ProxyError):
        # What is no proxy's URL today is none in a second.
        temporary = not isinstance(error.original_error, faults.LocationValueError)
        return peer.error(what, why="the proxy cannot be used", fix=_PROXY_FIX, temporary=temporary)
    if isinstance(error, faults.NameResolutionError):
        cause = error.__cause__
        temporary = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
        fix = f"check how the {peer.name} is written, and this machine's DNS"
        return peer.error(what, why="the host name does not resolve", fix=fix, temporary=temporary)
    fix = f"check that the {peer.name} runs there, its port, the network and proxy settings"
    return peer.error(what, why=_os_reason(error) or "the connection timed out", fix=fix)


def _tls_failed(host: str, error: faults.SSLError, peer: Peer) -> ConnectionFailed:
    text = str(error)
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER" in text:
        why, fix = "it does not speak TLS", peer.plain_http.format(host=host)
    elif "EOF" in text:  # nobody said that the certificate is wrong
        return peer.error(f"lost the connection to {host}", why="the connection was cut", fix=_CUT_FIX)
    else:
        why = text[:200]
        fix = f"add the {peer.name}'s certificate authority to the system's certificates, or name it in SSL_CERT_FILE"
    return peer.error(f"no trusted connection to {host}", why=why, fix=fix, temporary=False)


def _os_reason(error: BaseException | None) -> str:
    """The words of the operating system, from wherever urllib3 wrapped them."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror.lower()
        error = error.__cause__ or error.__context__
    return ""
