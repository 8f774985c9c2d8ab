"""A registry that does not answer, in a registry's words."""

from __future__ import annotations

import socket

import pytest

from rayimage import __version__
from rayimage.errors import RegistryError
from rayimage.http.transport import Transport
from rayimage.registry.failures import REGISTRY, RegistryUnreachable
from tests.support.fake_registry import FakeRegistry
from tests.support.sockets import free_port, serve_once
from tests.unit.registry.conftest import Connect


def test_names_itself(connect: Connect) -> None:
    with FakeRegistry() as registry:
        connect(registry).find_manifest("v1")
        assert registry.requests[0].headers["user-agent"] == f"rayimage/{__version__}"


def test_nobody_listens(connect: Connect, naps: list[float]) -> None:
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(RegistryError, match=f"cannot reach {host}: connection refused") as caught:
        connect(host).get_manifest("v1")
    assert "registry runs there" in caught.value.fix
    assert caught.value.exit_code == RegistryError.exit_code
    assert len(naps) == 4


def test_no_such_host(connect: Connect, monkeypatch: pytest.MonkeyPatch, naps: list[float]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(RegistryError, match=r"cannot reach nowhere\.invalid: the host name does not resolve") as caught:
        connect("nowhere.invalid").get_manifest("v1")
    assert "DNS" in caught.value.fix
    assert not naps


def test_plain_http_where_tls_is_expected() -> None:
    transport = Transport(REGISTRY)
    with (
        serve_once(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server,
        pytest.raises(RegistryUnreachable, match="it does not speak TLS") as caught,
    ):
        transport.send("GET", f"https://{server.host}/v2/", headers={})
    transport.close()
    assert caught.value.fix == f"if the registry serves plain http, set RAYIMAGE_INSECURE_REGISTRIES={server.host}"
    assert not caught.value.temporary


def test_loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with FakeRegistry() as registry:
        assert connect(registry).find_manifest("v1") is None
