"""A package index on loopback (PEP 503) that serves wheels from disk: the same source for every contender.

Its cache headers are those of large public indexes, since pip keeps only what it is allowed to keep.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

from packaging.utils import canonicalize_name

__all__ = ["WheelIndex", "running_index"]


class WheelIndex:
    """What an index serves; ``url`` is that of its simple API. Wheels may be added while it runs."""

    def __init__(self, root_url: str) -> None:
        self._root_url = root_url
        self.url = f"{root_url}/simple"
        self._wheels: dict[str, tuple[Path, str]] = {}

    def add(self, path: Path, sha256: str | None = None) -> str:
        """Serve a wheel; returns its URL."""
        if sha256 is None:
            with path.open("rb") as stream:
                digest = hashlib.sha256()
                while block := stream.read(1 << 20):
                    digest.update(block)
            sha256 = digest.hexdigest()
        self._wheels[path.name] = (path, sha256)
        return f"{self._root_url}/files/{quote(path.name)}"

    def page(self, project: str) -> bytes | None:
        """The project's page; None if it has no file here."""
        links = [
            f'<a href="/files/{quote(name)}#sha256={sha256}">{name}</a><br>'
            for name, (_, sha256) in sorted(self._wheels.items())
            if canonicalize_name(name.split("-")[0]) == project
        ]
        return f"<!DOCTYPE html><body>{''.join(links)}</body>".encode() if links else None

    def file(self, name: str) -> Path | None:
        """The wheel of that name."""
        return self._wheels[name][0] if name in self._wheels else None


@contextmanager
def running_index() -> Iterator[WheelIndex]:
    """An empty index on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind, _, name = self.path.strip("/").partition("/")
            path = index.file(unquote(name)) if kind == "files" else None
            if path is not None:
                self._head("application/octet-stream", path.stat().st_size, "max-age=365000000, immutable, public")
                if self.command == "GET":
                    with path.open("rb") as stream:
                        shutil.copyfileobj(stream, self.wfile, 1 << 20)
            elif kind == "simple" and (page := index.page(name)):
                self._head("text/html", len(page), "max-age=600, public")
                self.wfile.write(page if self.command == "GET" else b"")
            else:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def do_HEAD(self) -> None:
            self.do_GET()

        def _head(self, kind: str, size: int, caching: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(size))
            self.send_header("Cache-Control", caching)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing on the terminal, where the results go."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    index = WheelIndex(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
