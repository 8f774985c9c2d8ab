"""Ports where nobody listens, and servers that answer one connection with any bytes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Once:
    host: str
    received: bytearray = field(default_factory=bytearray)


@contextmanager
def serve_once(reply: bytes, tls: ssl.SSLContext | None = None) -> Iterator[Once]:
    """A server on loopback that reads once, sends ``reply`` and hangs up; with ``tls`` it only shakes hands."""
    server = socket.create_server(("127.0.0.1", 0))
    once = Once(f"127.0.0.1:{server.getsockname()[1]}")

    def run() -> None:
        with server:
            server.settimeout(5)
            try:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(5)
                    if tls:
                        tls.wrap_socket(connection, server_side=True).close()
                    else:
                        once.received += connection.recv(65536)
                        connection.sendall(reply)
            except OSError:
                pass

    thread = Thread(target=run)
    thread.start()
    try:
        yield once
    finally:
        thread.join()
