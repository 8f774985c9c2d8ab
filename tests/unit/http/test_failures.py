from __future__ import annotations

import socket
import ssl

import pytest
from urllib3 import exceptions as faults

from rayimage.errors import RegistryError
from rayimage.http.failures import ConnectionFailed, Peer, connection_failed

URL = "https://me:s3cret@a.example.com:8443/x?sig=s3cret"


class Unreachable(ConnectionFailed, RegistryError):
    pass


STORE = Peer(name="store", plain_http="say {host} is plain", error=Unreachable)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def no_name(code: int) -> Exception:
    cause = socket.gaierror(code, "no s3cret")
    return caused(faults.NameResolutionError("a.example.com", None, cause), cause)  # type: ignore[arg-type]


REFUSED = caused(faults.NewConnectionError(None, URL), ConnectionRefusedError(111, "Connection refused"))  # type: ignore[arg-type]
TLS = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
CASES = [
    (no_name(socket.EAI_NONAME), "cannot reach a.example.com:8443: the host name does not resolve", "DNS", False),
    (no_name(socket.EAI_AGAIN), "cannot reach a.example.com:8443: the host name does not resolve", "DNS", True),
    (REFUSED, "cannot reach a.example.com:8443: connection refused", "store runs there", True),
    (faults.ConnectTimeoutError(URL), "cannot reach a.example.com:8443: the connection timed out", "port", True),
    (faults.ProxyError(URL, OSError()), "cannot reach a.example.com:8443: the proxy cannot be used", "NO_PROXY", True),
    (faults.ProxyError(URL, faults.LocationValueError()), "the proxy cannot be used", "HTTPS_PROXY", False),
    (faults.SSLError(TLS), f"no trusted connection to a.example.com:8443: {TLS}", "SSL_CERT_FILE", False),
    (
        faults.SSLError("[SSL: WRONG_VERSION_NUMBER] wrong version number"),
        "no trusted connection to a.example.com:8443: it does not speak TLS",
        "say a.example.com:8443 is plain",
        False,
    ),
    (
        faults.SSLError(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")),
        "lost the connection to a.example.com:8443: the connection was cut",
        "firewall",
        True,
    ),
    (faults.LocationParseError(URL), "malformed, or not an http or https URL", "written", False),
    (faults.EmptyPoolError(None, URL), "every connection is in use", "fewer jobs", False),  # type: ignore[arg-type]
    (faults.DecodeError(URL), "cannot read what a.example.com:8443 sent: its compression is damaged", "again", True),
    (faults.ReadTimeoutError(None, URL, URL), "lost the connection to .*: no answer in time", "again", True),  # type: ignore[arg-type]
    (faults.ProtocolError(URL), "lost the connection to .*: the connection was cut", "again", True),
    (ConnectionResetError(104, "Connection reset by peer"), "lost .*: connection reset by peer", "again", True),
]


@pytest.mark.parametrize(("error", "text", "fix", "temporary"), CASES)
def test_thing_cause_and_next_step(error: Exception, text: str, fix: str, temporary: bool) -> None:
    with pytest.raises(Unreachable, match=text.replace("[", r"\[")) as caught:
        raise connection_failed(URL, error, STORE)
    assert fix in caught.value.fix
    assert caught.value.temporary == temporary
    assert caught.value.exit_code == RegistryError.exit_code
    assert "s3cret" not in f"{caught.value} {caught.value.fix}"


def test_a_url_without_a_host_is_shown_as_far_as_it_may_be() -> None:
    failure = connection_failed("http://me:s3cret@[", faults.LocationParseError("http://me:s3cret@["))
    assert failure.what == "cannot reach (a malformed URL)"
    assert type(failure) is ConnectionFailed
