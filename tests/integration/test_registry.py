"""The client against Debian's docker-registry (distribution 2.8), read back with skopeo where that is installed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from contextlib import nullcontext, suppress
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from rayimage.errors import RegistryError
from rayimage.model import media
from rayimage.model.content import Blob, Outcome
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest
from rayimage.model.platform import Platform
from rayimage.model.reference import Reference
from rayimage.registry import Repository, open_repository
from tests.support.services import Registry

if TYPE_CHECKING:
    from typing_extensions import Self

pytestmark = pytest.mark.registry

CONFIG = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'
LAYER = b"".join(number.to_bytes(4, "big") for number in range(700_000))


def blob(media_type: str, data: bytes, origin: Reference | None = None) -> Blob:
    descriptor = Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data))
    return Blob(descriptor=descriptor, open=lambda: nullcontext(BytesIO(data)), origin=origin)


def push(repository: Repository, *, origin: Reference | None = None) -> tuple[Index, list[Outcome]]:
    """An image of one layer and its index; the tag ``v1`` is written last."""
    config, layer = blob(media.OCI_CONFIG, CONFIG, origin), blob(media.OCI_LAYER_GZIP, LAYER, origin)
    outcomes = [repository.put_blob(part) for part in (config, layer)]
    manifest = Manifest.build(
        config=config.descriptor, layers=(layer.descriptor.annotated(key="ü"),), annotations={"made-by": "a test"}
    )
    repository.put_manifest(manifest)
    child = Descriptor(
        media_type=manifest.media_type,
        digest=manifest.digest,
        size=len(manifest.raw),
        platform=Platform("linux", "amd64"),
    )
    index = Index.build(manifests=(child,), annotations={})
    repository.put_manifest(index, "v1")
    return index, outcomes


def test_push_pull_and_mount(registry: Registry) -> None:
    source, target = (Reference(registry.host, f"room/{name}") for name in ("source", "target"))
    with open_repository(source) as repository:
        assert repository.find_manifest("v1") is None
        assert repository.head("v1") is None
        index, outcomes = push(repository)
        assert outcomes == [Outcome.UPLOADED] * 2
        assert push(repository) == (index, [Outcome.EXISTS] * 2)
        assert repository.get_manifest("v1") == index
        assert repository.head("v1") == index.descriptor
        manifest = repository.get_manifest(str(index.manifests[0].digest))
        assert isinstance(manifest, Manifest)
        with repository.open_blob(manifest.layers[0]) as stream:
            assert b"".join(iter(lambda: stream.read(100_000), b"")) == LAYER
    with open_repository(target, mount_from=[source]) as repository:
        mounted, outcomes = push(repository, origin=source)
        assert outcomes == [Outcome.MOUNTED] * 2
        assert repository.get_manifest("v1").raw == mounted.raw == index.raw


def test_a_blob_that_cannot_be_mounted_is_uploaded(registry: Registry) -> None:
    with open_repository(Reference(registry.host, "room/lonely")) as repository:
        part = blob(media.OCI_LAYER_GZIP, b"not there", Reference(registry.host, "room/nowhere"))
        assert repository.put_blob(part) is Outcome.UPLOADED
        assert repository.has_blob(part.descriptor.digest)


def test_a_manifest_with_absent_blobs_is_refused(registry: Registry) -> None:
    absent = blob(media.OCI_CONFIG, b"absent").descriptor
    with open_repository(Reference(registry.host, "room/dangling")) as repository:
        with pytest.raises(RegistryError, match="unknown"):
            repository.put_manifest(Manifest.build(config=absent, layers=(), annotations={}), "v1")
        assert repository.find_manifest("v1") is None


def test_chunks(registry: Registry) -> None:
    with open_repository(Reference(registry.host, "room/chunks")) as repository:
        repository._uploader._learned.chunk = 1_000_000
        part = blob(media.OCI_LAYER_GZIP, LAYER[::-1])
        assert repository.put_blob(part) is Outcome.UPLOADED
        with repository.open_blob(part.descriptor) as stream:
            assert b"".join(iter(lambda: stream.read(65536), b"")) == LAYER[::-1]


class CuttingProxy:
    """A way to ``host`` that cuts one connection after so many bytes up, and one after so many bytes down."""

    def __init__(self, host: str, *, up: int, down: int) -> None:
        self._limits = {"up": up, "down": down}
        self._lock = threading.Lock()
        self._upstream = (host.partition(":")[0], int(host.partition(":")[2]))
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self._threads = [threading.Thread(target=self._accept)]
        self.host = f"127.0.0.1:{self._sockets[0].getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._sockets:
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._sockets[0].accept()
                upstream = socket.create_connection(self._upstream)
                self._sockets += (client, upstream)
                for ends in ((client, upstream, "up"), (upstream, client, "down")):
                    self._threads.append(threading.Thread(target=self._pump, args=ends))
                    self._threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        passed = 0
        with suppress(OSError):
            while (data := source.recv(65536)) and not self._is_over(way, passed := passed + len(data)):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @property
    def cuts(self) -> set[str]:
        """The ways on which a connection has been cut."""
        return {way for way, limit in self._limits.items() if not limit}

    def _is_over(self, way: str, passed: int) -> bool:
        with self._lock:
            over = passed > self._limits[way] > 0
            self._limits[way] = 0 if over else self._limits[way]
            return over


def test_cut_connections_up_and_down(registry: Registry) -> None:
    part = blob(media.OCI_LAYER_GZIP, LAYER[1:])
    with (
        CuttingProxy(registry.host, up=1_500_000, down=1_200_000) as proxy,
        open_repository(Reference(proxy.host, "room/cut")) as repository,
    ):
        sent: list[int] = []
        assert repository.put_blob(part, sent.append) is Outcome.UPLOADED
        assert sum(sent) == part.descriptor.size
        with repository.open_blob(part.descriptor) as stream:
            assert b"".join(iter(lambda: stream.read(65536), b"")) == LAYER[1:]
        assert proxy.cuts == {"up", "down"}


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
def test_skopeo_reads_what_was_pushed(registry: Registry) -> None:
    with open_repository(Reference(registry.host, "room/foreign")) as repository:
        index, _ = push(repository)
    image = f"docker://{registry.host}/room/foreign@{index.digest}"
    command = ["skopeo", "inspect", "--tls-verify=false", "--override-os=linux", "--override-arch=amd64"]
    raw = subprocess.run([*command, "--raw", image], check=True, capture_output=True).stdout
    assert raw == index.raw
    seen = json.loads(subprocess.run([*command, image], check=True, capture_output=True).stdout)
    assert seen["Layers"] == [str(Digest.of(LAYER))]
    assert seen["Architecture"] == "amd64"
