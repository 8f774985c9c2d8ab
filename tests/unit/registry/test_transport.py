from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from rayimage import __version__
from rayimage.errors import RegistryError
from rayimage.registry.transport import Answer, ConnectionFailed, Patience, RetryPolicy, Transport, redact
from tests.support.fake_registry import FakeRegistry
from tests.unit.registry.conftest import Connect


def answer(status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(method="GET", url="https://a", status=status, headers=urllib3.HTTPHeaderDict(named), body=b"")


class TestPatience:
    def test_ends(self) -> None:
        naps: list[float] = []
        patience = Patience(RetryPolicy(attempts=3, sleep=naps.append, random=lambda: 1.0))
        error = RegistryError("no")
        patience.wait(error)
        patience.wait(error)
        with pytest.raises(RegistryError):
            patience.wait(error)
        assert naps == [0.4, 0.8]

    def test_progress_begins_anew_but_only_once_for_the_same_bytes(self) -> None:
        patience = Patience(RetryPolicy(attempts=2, sleep=lambda _: None))
        error = RegistryError("no")
        patience.wait(error)
        patience.wait(error, reached=2_000_000)
        with pytest.raises(RegistryError):
            patience.wait(error, reached=2_000_000)

    def test_there_is_none_for_what_cannot_change(self) -> None:
        patience = Patience(RetryPolicy(sleep=lambda _: None))
        with pytest.raises(ConnectionFailed):
            patience.wait(ConnectionFailed("no", temporary=False))

    @given(st.integers(1, 60), st.floats(0, 1), st.floats(0, 1e6))
    def test_delays_are_bounded(self, failures: int, luck: float, asked: float) -> None:
        policy = RetryPolicy(random=lambda: luck)
        assert 0 < policy.delay(failures, asked) <= policy.retry_after_cap
        assert policy.delay(failures) <= policy.cap


@pytest.mark.parametrize(
    ("value", "seconds"), [("", 0.0), ("12", 12.0), ("soon", 0.0), ("-3", 0.0), (formatdate(0), 0.0)]
)
def test_retry_after(value: str, seconds: float) -> None:
    assert answer(429, Retry_After=value).retry_after == seconds


def test_retry_after_a_date() -> None:
    assert 20 < answer(429, Retry_After=formatdate(time() + 30, usegmt=True)).retry_after <= 30


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://u:p@a.com/x?sig=1#f", "https://a.com/x"),
        ("http://a:5000/v2/", "http://a:5000/v2/"),
        ("https://[", "(a malformed URL)"),
    ],
)
def test_redact(url: str, expected: str) -> None:
    assert redact(url) == expected


def test_names_itself(connect: Connect) -> None:
    with FakeRegistry() as registry:
        connect(registry).find_manifest("v1")
        assert registry.requests[0].headers["user-agent"] == f"rayimage/{__version__}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nobody_listens(connect: Connect, naps: list[float]) -> None:
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(RegistryError, match=f"cannot reach {host}: connection refused") as caught:
        connect(host).get_manifest("v1")
    assert "registry runs there" in caught.value.fix
    assert len(naps) == 4


def test_no_such_host(connect: Connect, monkeypatch: pytest.MonkeyPatch, naps: list[float]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(RegistryError, match=r"cannot reach nowhere\.invalid: the host name does not resolve") as caught:
        connect("nowhere.invalid").get_manifest("v1")
    assert "DNS" in caught.value.fix
    assert not naps


def serve_once(reply: bytes, tls: ssl.SSLContext | None = None) -> tuple[str, threading.Thread]:
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with server:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(5)
                try:
                    if tls:
                        tls.wrap_socket(connection, server_side=True).close()
                    else:
                        connection.recv(65536)
                        connection.sendall(reply)
                except OSError:
                    pass

    thread = threading.Thread(target=run)
    thread.start()
    return f"127.0.0.1:{server.getsockname()[1]}", thread


def send(url: str) -> None:
    transport = Transport()
    try:
        Answer.read("GET", url, transport.send("GET", url, headers={}))
    finally:
        transport.close()


def test_plain_http_where_tls_is_expected() -> None:
    host, thread = serve_once(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ConnectionFailed, match="it does not speak TLS") as caught:
        send(f"https://{host}/v2/")
    thread.join()
    assert caught.value.fix == f"if the registry serves plain http, set RAYIMAGE_INSECURE_REGISTRIES={host}"
    assert not caught.value.temporary


def test_a_certificate_of_nobody(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    made = subprocess.run([*command, "-keyout", key, "-out", certificate], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("openssl is not installed")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    host, thread = serve_once(b"", tls)
    with pytest.raises(ConnectionFailed, match=f"no trusted connection to {host}") as caught:
        send(f"https://{host}/v2/?secret=1")
    thread.join()
    assert "SSL_CERT_FILE" in caught.value.fix
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"SSH-2.0-OpenSSH\r\n"])
def test_nonsense_and_cut_answers(reply: bytes) -> None:
    host, thread = serve_once(reply)
    with pytest.raises(ConnectionFailed, match=f"lost the connection to {host}") as caught:
        send(f"http://{host}/v2/?secret=1")
    thread.join()
    assert caught.value.temporary
    assert "secret" not in str(caught.value)


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    host, thread = serve_once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    monkeypatch.setenv("http_proxy", f"http://me:s3cret@{host}")
    monkeypatch.setenv("no_proxy", "")
    transport = Transport()
    url = "http://registry.example.com/v2/"
    assert Answer.read("GET", url, transport.send("GET", url, headers={})).body == b"hi"
    transport.close()
    thread.join()


def test_a_broken_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:s3cret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ConnectionFailed, match="the proxy cannot be used") as caught:
        send("http://registry.example.com/v2/")
    assert "s3cret" not in str(caught.value)


def test_loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with FakeRegistry() as registry:
        assert connect(registry).find_manifest("v1") is None
