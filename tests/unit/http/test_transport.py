from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from rayimage import __version__
from rayimage.http.failures import ConnectionFailed
from rayimage.http.response import Answer
from rayimage.http.transport import Transport
from tests.support.sockets import free_port, serve_once

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def get(transport: Transport, url: str, **headers: str) -> Answer:
    return Answer.read(transport.send("GET", url, headers=headers))


def test_what_is_sent(transport: Transport) -> None:
    with serve_once(HI) as server:
        answer = get(transport, f"http://me:s3cret@{server.host}/x?a=b#f", Accept="text/html")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"hi", "2")
    lines = server.received.decode().lower().split("\r\n")
    assert lines[0] == "get /x?a=b http/1.1"
    assert f"user-agent: rayimage/{__version__}" in lines
    assert "accept: text/html" in lines
    assert not any("authorization" in line or "s3cret" in line for line in lines)


def test_a_redirect_is_an_answer_like_any_other(transport: Transport) -> None:
    with serve_once(b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n") as server:
        answer = get(transport, f"http://{server.host}/x")
    assert (answer.status, answer.headers["Location"]) == (302, "/y")


def test_nobody_listens(transport: Transport) -> None:
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(ConnectionFailed, match=f"cannot reach {host}: connection refused") as caught:
        get(transport, f"http://{host}/")
    assert "server runs there" in caught.value.fix
    assert caught.value.temporary


@pytest.mark.parametrize(
    "url", ["http://[::1/x", "http://127.0.0.1:99999/x", "ftp://127.0.0.1/x", "http:///x", "x", ""]
)
def test_a_url_of_no_use(transport: Transport, url: str) -> None:
    with pytest.raises(ConnectionFailed, match="malformed, or not an http or https URL") as caught:
        get(transport, url)
    assert not caught.value.temporary


def test_plain_http_where_tls_is_expected(transport: Transport) -> None:
    with (
        serve_once(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server,
        pytest.raises(ConnectionFailed, match="it does not speak TLS") as caught,
    ):
        get(transport, f"https://{server.host}/v2/")
    assert caught.value.fix == "if it serves plain http, write http:// in its URL"
    assert not caught.value.temporary


def test_a_certificate_of_nobody(transport: Transport, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    made = subprocess.run([*command, "-keyout", key, "-out", certificate], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("openssl is not installed")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with (
        serve_once(b"", tls) as server,
        pytest.raises(ConnectionFailed, match=f"no trusted connection to {server.host}") as caught,
    ):
        get(transport, f"https://{server.host}/v2/?secret=1")
    assert "SSL_CERT_FILE" in caught.value.fix
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"SSH-2.0-OpenSSH\r\n"])
def test_nonsense_and_cut_answers(transport: Transport, reply: bytes) -> None:
    with (
        serve_once(reply) as server,
        pytest.raises(ConnectionFailed, match=f"lost the connection to {server.host}") as caught,
    ):
        get(transport, f"http://{server.host}/v2/?secret=1")
    assert caught.value.temporary
    assert "secret" not in str(caught.value)


def test_a_proxy_of_the_environment_is_used(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_once(HI) as server:
        monkeypatch.setenv("http_proxy", f"http://m%C3%A9:s3cret@{server.host}")
        assert get(transport, "http://you:hush@registry.example.com/v2/?a=b#f").body == b"hi"
    lines = server.received.decode().split("\r\n")
    assert lines[0] == "GET http://registry.example.com/v2/?a=b HTTP/1.1"
    assert "Proxy-Authorization: Basic bcOpOnMzY3JldA==" in lines


def test_a_broken_proxy_is_named_without_its_password(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:s3cret@127.0.0.1:{free_port()}")
    with pytest.raises(ConnectionFailed, match="the proxy cannot be used") as caught:
        get(transport, "http://registry.example.com/v2/")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://me:s3cret@127.0.0.1:1", "http://["])
def test_a_proxy_of_another_kind_is_refused_at_once(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("all_proxy", proxy)
    with pytest.raises(ConnectionFailed, match=r"registry\.example\.com: the proxy cannot be used") as caught:
        get(transport, "http://registry.example.com/v2/")
    assert not caught.value.temporary
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("exempt", ["", "127.0.0.1"])
def test_loopback_needs_no_proxy(transport: Transport, monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", exempt)
    with serve_once(HI) as server:
        assert get(transport, f"http://{server.host}/").body == b"hi"


def test_no_proxy_may_name_a_port(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    port = free_port()
    monkeypatch.setenv("no_proxy", f"nowhere.invalid:{port}")
    with pytest.raises(ConnectionFailed, match="the host name does not resolve"):
        get(transport, f"http://nowhere.invalid:{port}/")
    with pytest.raises(ConnectionFailed, match="the proxy cannot be used"):
        get(transport, "http://nowhere.invalid:1/")
