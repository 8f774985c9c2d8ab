"""A strict registry in memory, on a port of 127.0.0.1, with a switch for each way in which real ones differ.

    with FakeRegistry(auth="bearer", cut_blob_after=1000) as registry:
        digest = registry.put_blob("team/app", b"...")
        ...                                    # speak to registry.host
        assert registry.blobs["team/app"]      # {"sha256:...": bytes}
        assert registry.count("PUT") == 1      # registry.requests holds every request, in order

It follows the OCI distribution specification where real registries are lenient: a manifest with absent blobs or
children, a wrong digest or content type is refused, and so is a chunk out of order. Leaving the ``with`` block fails
when credentials reached the storage host that blobs redirect to, or when a handler crashed.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from rayimage.model import media
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FakeRegistry", "Request", "StoredManifest"]

_ROUTE = re.compile(
    r"/v2/(?P<repo>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)/(?P<kind>manifests|blobs/uploads|blobs|tags)/(?P<rest>.*)"
)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_BLOCK = 64 * 1024


class Request(NamedTuple):
    """A request as it came; ``path`` has the query, header names are lower-case, ``length`` is the body's."""

    method: str
    path: str
    headers: Mapping[str, str]
    length: int


class StoredManifest(NamedTuple):
    """A manifest's bytes and the media type they were pushed with."""

    media_type: str
    raw: bytes


@dataclass
class FakeRegistry:
    """The switches are the constructor's arguments; the content may be read and changed at any time."""

    auth: str = "none"  # none | basic | bearer
    username: str = "user"
    password: str = "secret"
    identity_token: str = ""  # accepted by the token server's oauth2 POST
    anonymous: bool = True  # bearer: whether strangers may pull
    token_life: float = 300.0  # seconds
    announce_life: bool = True
    refuse_push: bool = False  # 403 to everything that writes
    refuse_tag: str = ""  # 403 to a manifest under this tag
    refuse_mounts: bool = False  # 202 for ever
    mount_status: int = 0  # this error instead of an answer to a mount
    patch: bool = True
    patch_status: int = 405  # the answer to PATCH without `patch`
    body_limit: int | None = None  # 413 to longer bodies
    chunk_least: int = 0  # OCI-Chunk-Min-Length
    rate_limit: int = 0  # this many requests get 429
    retry_after: str = "0"
    server_errors: int = 0  # this many requests get 500
    cut_blob_after: int | None = None  # bytes of a blob's GET, `cuts` times
    cut_upload_after: int | None = None  # bytes of an upload's body, `cuts` times
    cuts: int = 1
    keep_cut_uploads: bool = True  # distribution 2.8 forgets them
    stall_upload_after: int | None = None  # bytes of an upload's body, once; see `stalled` and `go_on`
    lost_commits: int = 0  # this many uploads are complete, but nobody is told
    told_range: str = ""  # what uploads answer as Range, whatever they hold
    absolute_locations: bool = False
    redirect_blobs: bool = False
    ranges: bool = True
    digest_header: bool = True
    lie_about_digest: bool = False
    lie_about_blobs: bool = False

    stalled: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    received: int = 0  # bytes of uploads' bodies, also of those that were cut
    requests: list[Request] = field(default_factory=list)
    blobs: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    manifests: dict[str, dict[str, StoredManifest]] = field(default_factory=lambda: defaultdict(dict))
    tags: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    mounts: list[tuple[str, str, str]] = field(default_factory=list)  # (from, to, digest)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._lock = threading.RLock()
        self._tokens: dict[str, tuple[float, frozenset[tuple[str, str]]]] = {}
        self._server = _Server(self, _RegistryHandler)
        self._storage = _Server(self, _StorageHandler)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._server.stop()
        self._storage.stop()
        if kind is None and self.violations:
            raise AssertionError("; ".join(self.violations))

    @property
    def host(self) -> str:
        """``127.0.0.1:port``, as it stands in a reference."""
        return self._server.host

    @property
    def storage_host(self) -> str:
        """Where blobs are when ``redirect_blobs`` is set."""
        return self._storage.host

    def put_blob(self, repository: str, data: bytes) -> Digest:
        """Put a blob there without a request."""
        digest = Digest.of(data)
        self.blobs[repository][str(digest)] = data
        return digest

    def put_manifest(self, repository: str, manifest: Manifest | Index, tag: str = "") -> Digest:
        """Put a manifest or index there without a request or a check."""
        self.manifests[repository][str(manifest.digest)] = StoredManifest(manifest.media_type, manifest.raw)
        if tag:
            self.tags[repository][tag] = str(manifest.digest)
        return manifest.digest

    def count(self, method: str, part: str = "") -> int:
        """How many requests had this method and ``part`` in their path."""
        return sum(request.method == method and part in request.path for request in self.requests)

    def expire_tokens(self) -> None:
        """Forget every token that was given out."""
        self._tokens.clear()

    # What the handlers ask.

    def take(self, counter: str) -> bool:
        """Use up one of a counted failure."""
        with self._lock:
            left = getattr(self, counter)
            if left > 0:
                setattr(self, counter, left - 1)
            return bool(left > 0)

    def grant(self, scopes: list[str], *, known: bool) -> str:
        """A token for as much of the scopes as the asker may have."""
        allowed = set()
        for scope in scopes:
            _, repository, actions = scope.split(":", 2)
            wanted = set(actions.split(","))
            rights = wanted if known else wanted & ({"pull"} if self.anonymous else set())
            allowed |= {(repository, action) for action in rights}
        token = secrets.token_hex(8)
        self._tokens[token] = (time.monotonic() + self.token_life, frozenset(allowed))
        return token

    def may(self, authorization: str, repository: str, action: str) -> bool:
        """Whether an ``Authorization`` header allows an action."""
        if self.auth == "none":
            return True
        scheme, _, value = authorization.partition(" ")
        if self.auth == "basic":
            return scheme == "Basic" and self.knows(value)
        until, rights = self._tokens.get(value, (0.0, frozenset()))
        return scheme == "Bearer" and time.monotonic() < until and (repository, action) in rights

    def knows(self, basic: str) -> bool:
        """Whether these are the right user and password."""
        return base64.b64decode(basic).decode() == f"{self.username}:{self.password}"


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, registry: FakeRegistry, handler: type[BaseHTTPRequestHandler]) -> None:
        self.registry = registry
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), handler)
        self.host = f"127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        import sys

        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            self.registry.violations.append(f"the fake registry crashed: {error!r}")

    def stop(self) -> None:
        self.shutdown()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *args: object) -> None:
        """Quiet."""

    @property
    def registry(self) -> FakeRegistry:
        return self.server.registry

    def record(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.unread = int(headers.get("content-length", 0))
        self.registry.requests.append(Request(self.command, self.path, headers, self.unread))
        url = urlsplit(self.path)
        self.route, self.query = url.path, parse_qs(url.query)

    def answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        early = self.unread > 0
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        if early:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if early:  # linger as nginx does, or the client would meet a reset instead of the answer
            self.wfile.flush()
            while self.unread and self.read_block():
                pass

    def refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.answer(status, {"Content-Type": "application/json", **(headers or {})}, body)

    def read_block(self) -> bytes:
        block = self.rfile.read1(min(self.unread, _BLOCK))
        self.unread = self.unread - len(block) if block else 0
        return block

    def read_body(self) -> bytes:
        return b"".join(iter(self.read_block, b"")) if self.unread else b""

    def cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def send_blob(self, data: bytes) -> None:
        first, status, headers = 0, 200, {"Content-Type": "application/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.registry.ranges:
            first, status = int(asked[1]), 206
            if first >= len(data):
                return self.refuse(416, "RANGE_INVALID", "beyond the end")
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        limit = self.registry.cut_blob_after
        if limit is not None and self.command == "GET" and len(data) - first > limit and self.registry.take("cuts"):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data) - first), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[first : first + limit])
            return self.cut()
        return self.answer(status, headers, data[first:])


class _StorageHandler(_Handler):
    """Object storage: signed URLs, and no business with anyone's credentials."""

    def do_GET(self) -> None:
        self.record()
        if "Authorization" in self.headers:
            self.registry.violations.append(f"credentials were sent to storage: {self.command} {self.route}")
        digest = self.route.rpartition("/")[2]
        found = next((blobs[digest] for blobs in self.registry.blobs.values() if digest in blobs), None)
        if found is None or self.query.get("signature") != ["hush"]:
            return self.answer(403, {}, b"<Error>AccessDenied</Error>")
        return self.send_blob(found)

    do_HEAD = do_GET  # noqa: N815 -- http.server calls it so


class _RegistryHandler(_Handler):
    def dispatch(self) -> None:
        self.record()
        registry = self.registry
        if registry.take("rate_limit"):
            return self.refuse(429, "TOOMANYREQUESTS", "slow down", {"Retry-After": registry.retry_after})
        if registry.take("server_errors"):
            return self.refuse(500, "UNKNOWN", "out of order")
        if self.route == "/token":
            return self.token()
        match = _ROUTE.fullmatch(self.route)
        if not match:
            return self.answer(200 if self.route == "/v2/" else 404)
        self.repo, self.rest = match["repo"], match["rest"]
        uploading = match["kind"] == "blobs/uploads"
        if not self.allowed("push" if uploading or self.command not in ("GET", "HEAD") else "pull"):
            return None
        if registry.body_limit is not None and self.unread > registry.body_limit:
            return self.answer(413, {"Content-Type": "text/html"}, b"<html>413 Request Entity Too Large</html>")
        method = getattr(self, f"{match['kind'].replace('/', '_')}_{self.command.lower()}", None)
        return method() if method else self.refuse(405, "UNSUPPORTED", "not here")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.dispatch
        raise AttributeError(name)

    # Authorisation

    def allowed(self, action: str) -> bool:
        registry = self.registry
        if not registry.may(self.headers.get("Authorization", ""), self.repo, action):
            challenge = 'Basic realm="fake"'
            if registry.auth == "bearer":
                scope = f"repository:{self.repo}:{'pull,push' if action == 'push' else 'pull'}"
                challenge = f'Bearer realm="http://{registry.host}/token",service="fake, quoted",scope="{scope}"'
            self.refuse(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})
            return False
        if action == "push" and registry.refuse_push:
            self.refuse(403, "DENIED", "requested access to the resource is denied")
            return False
        return True

    def token(self) -> None:
        registry = self.registry
        fields, known = self.query, False
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if self.command == "POST":
            fields = parse_qs(self.read_body().decode())
            known = bool(registry.identity_token) and fields.get("refresh_token") == [registry.identity_token]
            if not known or fields.get("grant_type") != ["refresh_token"] or not fields.get("client_id"):
                return self.refuse(401, "UNAUTHORIZED", "wrong identity token")
        elif scheme:
            known = scheme == "Basic" and registry.knows(value)
            if not known:
                return self.refuse(401, "UNAUTHORIZED", "incorrect username or password")
        if fields.get("service") != ["fake, quoted"]:
            return self.refuse(400, "UNSUPPORTED", "wrong service")
        scopes = " ".join(fields.get("scope", [])).split()
        answer: dict[str, Any] = {"token": registry.grant(scopes, known=known)}
        if registry.announce_life:
            answer["expires_in"] = registry.token_life
        return self.answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    # Blobs

    def blobs_get(self) -> None:
        data = self.registry.blobs[self.repo].get(self.rest)
        if data is None:
            return self.refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if self.registry.redirect_blobs:
            where = f"http://{self.registry.storage_host}/bucket/{self.rest}?signature=hush"
            return self.answer(307, {"Location": where})
        return self.send_blob(data)

    blobs_head = blobs_get

    # Uploads

    def blobs_uploads_post(self) -> None:
        registry = self.registry
        if "mount" in self.query:
            if "from" not in self.query:
                return self.refuse(400, "UNSUPPORTED", "mount without from")
            if registry.mount_status:
                return self.refuse(registry.mount_status, "DENIED", "no mounts")
            digest, source = self.query["mount"][0], self.query["from"][0]
            readable = registry.may(self.headers.get("Authorization", ""), source, "pull")
            if readable and digest in registry.blobs[source] and not registry.refuse_mounts:
                registry.blobs[self.repo][digest] = registry.blobs[source][digest]
                registry.mounts.append((source, self.repo, digest))
                return self.answer(201, {"Location": f"/v2/{self.repo}/blobs/{digest}"})
        name = secrets.token_hex(4)
        registry.uploads[name] = bytearray()
        headers = {"OCI-Chunk-Min-Length": str(registry.chunk_least)} if registry.chunk_least else {}
        return self.answer(202, self.where(name) | headers)

    def where(self, name: str) -> dict[str, str]:
        """A relative Location with a query, as the specification allows; it changes with every chunk."""
        size = len(self.registry.uploads[name])
        host = f"http://{self.registry.host}" if self.registry.absolute_locations else ""
        told = self.registry.told_range or f"0-{max(size - 1, 0)}"
        return {"Location": f"{host}/v2/{self.repo}/blobs/uploads/{name}?at={size}", "Range": told}

    def session(self) -> bytearray | None:
        upload = self.registry.uploads.get(self.rest)
        if upload is None:
            self.refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        return upload

    def receive(self, upload: bytearray) -> bool:
        """Append the body; False when the connection was cut on the way."""
        registry = self.registry
        limit = registry.cut_upload_after
        if limit is not None and self.unread > limit and registry.take("cuts"):
            while limit and (block := self.rfile.read(min(limit, _BLOCK))):
                upload += block
                registry.received += len(block)
                limit -= len(block)
            if not registry.keep_cut_uploads:
                del registry.uploads[self.rest]
            self.cut()
            return False
        announced, before = self.unread, len(upload)
        while block := self.read_block() if self.unread else b"":
            upload += block
            registry.received += len(block)
            if registry.stall_upload_after is not None and len(upload) >= registry.stall_upload_after:
                registry.stall_upload_after = None
                registry.stalled.set()
                registry.go_on.wait(60)
        if len(upload) - before < announced:
            self.close_connection = True
            return False
        return True

    def blobs_uploads_get(self) -> None:
        if self.session() is not None:
            self.answer(204, self.where(self.rest))

    def in_order(self, upload: bytearray) -> bool:
        told = self.headers.get("Content-Range")
        match = re.fullmatch(r"(\d+)-(\d+)", told or "")
        fits = (int(match[1]), int(match[2])) == (len(upload), len(upload) + self.unread - 1) if match else not told
        stale = self.query.get("at") != [str(len(upload))]
        if not fits or stale:
            self.refuse(416, "BLOB_UPLOAD_INVALID", "out of order", self.where(self.rest))
        return fits and not stale

    def blobs_uploads_patch(self) -> None:
        if not self.registry.patch:
            return self.refuse(self.registry.patch_status, "UNSUPPORTED", "no chunks here")
        upload = self.session()
        if upload is not None and self.in_order(upload) and self.receive(upload):
            self.answer(202, self.where(self.rest))
        return None

    def blobs_uploads_put(self) -> None:
        upload = self.session()
        if "Content-Length" not in self.headers:
            return self.refuse(411, "SIZE_INVALID", "no length")
        if upload is None or not self.in_order(upload) or not self.receive(upload):
            return None
        digest = self.query.get("digest", [""])[0]
        data = bytes(self.registry.uploads.pop(self.rest))
        if digest != f"sha256:{sha256(data).hexdigest()}":
            return self.refuse(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.registry.blobs[self.repo][digest] = data
        if self.registry.take("lost_commits"):
            return self.cut()
        told = f"sha256:{'0' * 64}" if self.registry.lie_about_blobs else digest
        return self.answer(201, {"Location": f"/v2/{self.repo}/blobs/{digest}", "Docker-Content-Digest": told})

    def blobs_uploads_delete(self) -> None:
        if self.session() is not None:
            del self.registry.uploads[self.rest]
            self.answer(204)

    # Manifests and tags

    def manifests_get(self) -> None:
        digest = self.rest if ":" in self.rest else self.registry.tags[self.repo].get(self.rest, "")
        stored = self.registry.manifests[self.repo].get(digest)
        if stored is None or stored.media_type not in self.headers.get("Accept", ""):
            return self.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return self.answer(200, {"Content-Type": stored.media_type, **self.told(digest)}, stored.raw)

    def manifests_head(self) -> None:
        digest = self.rest if ":" in self.rest else self.registry.tags[self.repo].get(self.rest, "")
        stored = self.registry.manifests[self.repo].get(digest)
        if stored is None or stored.media_type not in self.headers.get("Accept", ""):
            return self.answer(404)
        length = {"Content-Length": str(len(stored.raw))}
        return self.answer(200, {"Content-Type": stored.media_type, **length, **self.told(digest)})

    def told(self, digest: str) -> dict[str, str]:
        if not self.registry.digest_header:
            return {}
        return {"Docker-Content-Digest": f"sha256:{'0' * 64}" if self.registry.lie_about_digest else digest}

    def manifests_put(self) -> None:
        raw = self.read_body()
        digest = str(Digest.of(raw))
        fault = self.fault(raw)
        if self.registry.refuse_tag == self.rest:
            return self.refuse(403, "DENIED", "this tag cannot be written")
        if ":" in self.rest and self.rest != digest:
            return self.refuse(400, "DIGEST_INVALID", "the digest is not the body's")
        if ":" not in self.rest and not _TAG.fullmatch(self.rest):
            return self.refuse(400, "TAG_INVALID", "no tag")
        if fault:
            return self.refuse(400, *fault)
        self.registry.manifests[self.repo][digest] = StoredManifest(self.headers["Content-Type"], raw)
        if ":" not in self.rest:
            self.registry.tags[self.repo][self.rest] = digest
        return self.answer(201, {"Location": f"/v2/{self.repo}/manifests/{digest}", **self.told(digest)})

    def fault(self, raw: bytes) -> tuple[str, str] | None:
        """Why a manifest cannot be taken."""
        try:
            data = json.loads(raw)
        except ValueError:
            return "MANIFEST_INVALID", "not JSON"
        kind = self.headers.get("Content-Type", "")
        if kind not in media.ACCEPT or kind != data.get("mediaType", kind):
            return "MANIFEST_INVALID", f"content type {kind!r} is not the body's {data.get('mediaType')!r}"
        held: Mapping[str, object] = self.registry.blobs[self.repo]
        parts = [data["config"], *data["layers"]] if kind in media.MANIFESTS else data["manifests"]
        if kind in media.INDEXES:
            held = self.registry.manifests[self.repo]
        for part in parts:
            if media.is_distributable(part["mediaType"]) and part["digest"] not in held:
                return "MANIFEST_BLOB_UNKNOWN", f"{part['digest']} is unknown to registry"
        return None

    def tags_get(self) -> None:
        body = json.dumps({"name": self.repo, "tags": sorted(self.registry.tags[self.repo])}).encode()
        self.answer(200, {"Content-Type": "application/json"}, body)
