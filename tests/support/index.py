"""A package index (the HTML form of the simple repository API, PEP 503) on loopback, with small wheels in it."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from packaging.utils import canonicalize_name, parse_wheel_filename

__all__ = ["PackageIndex", "running_index", "sdist", "wheel"]


def wheel(filename: str, *requires: str) -> tuple[str, bytes]:
    """A wheel of that name with nothing but metadata in it: file name and content."""
    name, version, _, tags = parse_wheel_filename(filename)
    info = f"{filename.split('-', maxsplit=1)[0]}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    files = {
        "METADATA": "\n".join([*metadata, *(f"Requires-Dist: {item}" for item in requires), ""]),
        "WHEEL": "\n".join(["Wheel-Version: 1.0", "Root-Is-Purelib: true", *(f"Tag: {tag}" for tag in tags), ""]),
        "RECORD": "",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{info}/{member}"), text)
    return filename, buffer.getvalue()


def sdist(name: str, version: str) -> tuple[str, bytes]:
    """A source distribution with nothing but metadata in it."""
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return f"{name}-{version}.tar.gz", buffer.getvalue()


class PackageIndex:
    """The files of an index, by name; ``requests`` are the paths that were asked for."""

    def __init__(self, url: str, files: Mapping[str, bytes]) -> None:
        self.url = url
        self.files = dict(files)
        self.requests: list[str] = []

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Content type and body for a path, None where there is nothing."""
        self.requests.append(path)
        kind, _, name = path.strip("/").partition("/")
        if kind == "files" and name in self.files:
            return "application/octet-stream", self.files[name]
        here = [file for file in self.files if canonicalize_name(file.split("-")[0]) == name]
        if kind == "simple" and here:
            links = [
                f'<a href="/files/{file.replace("+", "%2B")}#sha256={hashlib.sha256(self.files[file]).hexdigest()}">{file}</a>'
                for file in here
            ]
            return "text/html", f"<!DOCTYPE html><body>{'<br>'.join(links)}</body>".encode()
        return None


@contextmanager
def running_index(*files: tuple[str, bytes], account: tuple[str, str] | None = None) -> Iterator[PackageIndex]:
    """An index of ``files`` on a free port of 127.0.0.1; with ``account``, for this user and password only."""
    allowed = f"Basic {base64.b64encode(':'.join(account).encode()).decode()}" if account else None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if allowed and self.headers.get("Authorization") != allowed:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            found = index.answer(self.path.replace("%2B", "+").partition("?")[0])
            self.send_response(200 if found else 404)
            kind, body = found or ("text/plain", b"")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index = PackageIndex(f"http://127.0.0.1:{server.server_port}/simple", dict(files))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
