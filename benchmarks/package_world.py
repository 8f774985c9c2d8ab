"""A package index on loopback with a made-up world of packages, so that the lock's benchmark needs no network."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

__all__ = ["BASE_MINOR", "direct", "requires", "serving"]

_VERSIONS: Final = 25
BASE_MINOR: Final = 12
"""The base has version 1.12 of the packages that it has; 1.0 to 1.24 exist."""
_DESCRIPTION: Final = "A line of prose, as in the descriptions that real packages carry along.\n" * 60


def direct(size: int) -> list[str]:
    """The requirements of a project of ``size`` packages: a fifth of them; the rest follow."""
    return [f"p{number:03}>=1.{number % 7}" for number in range(max(4, size // 5))]


def requires(number: int, size: int) -> list[str]:
    """What package ``number`` requires: four of its own, and some that others require too."""
    own = [child for child in range(number * 4 + 1, number * 4 + 5) if child < size]
    shared = [child for child in (number * 7 + 3, number * 11 + 5) if number < child < size]
    needs = [f"p{child:03}>=1.{(child + number) % 9}" for child in dict.fromkeys([*own, *shared])]
    return [*needs, "nothing; sys_platform == 'win32'", "p-extra; extra == 'more'"]


@contextmanager
def serving(size: int) -> Iterator[str]:
    """The URL of an index (PEP 691, with PEP 658 metadata) of ``size`` packages."""
    files, pages = _world(size)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.strip("/")
            body = pages.get(path.removeprefix("simple/")) or files.get(path.removeprefix("files/"))
            self.send_response(200 if body else 404)
            kind = "application/vnd.pypi.simple.v1+json" if path.startswith("simple/") else "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "max-age=3600")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _world(size: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    files: dict[str, bytes] = {}
    pages: dict[str, bytes] = {}
    for number in range(size):
        name, entries = f"p{number:03}", []
        for minor in range(_VERSIONS):
            filename = f"{name}-1.{minor}-py3-none-any.whl"
            metadata = _metadata(name, f"1.{minor}", requires(number, size))
            wheel = _wheel(name, f"1.{minor}", metadata)
            files[filename], files[f"{filename}.metadata"] = wheel, metadata
            entries.append(
                {
                    "filename": filename,
                    "url": f"/files/{filename}",
                    "hashes": {"sha256": hashlib.sha256(wheel).hexdigest()},
                    "core-metadata": {"sha256": hashlib.sha256(metadata).hexdigest()},
                    "size": len(wheel),
                    "upload-time": f"2026-01-{minor + 1:02}T00:00:00Z",
                }
            )
        pages[name] = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": entries}).encode()
    return files, pages


def _metadata(name: str, version: str, needs: list[str]) -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Requires-Python: >=3.9"]
    lines += ["Provides-Extra: more", *(f"Requires-Dist: {need}" for need in needs), "", _DESCRIPTION]
    return "\n".join(lines).encode()


def _wheel(name: str, version: str, metadata: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, data in (("METADATA", metadata), ("WHEEL", b"Wheel-Version: 1.0\n"), ("RECORD", b"")):
            archive.writestr(zipfile.ZipInfo(f"{name}-{version}.dist-info/{member}"), data)
    return buffer.getvalue()
