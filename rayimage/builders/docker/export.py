"""A built image out of the Engine: the layers above its base, as blobs that can be sent anywhere.

The Engine's save API knows whole images only, as a tar archive of their layers in no useful order. What belongs to the
base is read past: its blobs are had from where the base came, with the digests they have there, which an Engine that
pushes does not promise (it compresses anew what it did not pull from the same registry).
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, cast

from rayimage.cachedir import CacheDir, cannot_write
from rayimage.errors import EngineError
from rayimage.layers import Layer, LayerCache
from rayimage.layers.layer import WheelMetadata, key_of
from rayimage.layers.wheel_metadata import parse_metadata
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.progress import SILENT, Progress

if TYPE_CHECKING:
    import docker

__all__ = ["EngineImage", "export_layers", "inspect_image"]

_BLOCK: Final = 1 << 20
_LEVEL: Final = 2
"""isal's best trade for code and libraries; its levels are 0 to 3."""
_GZIP: Final = 31
"""zlib's way to ask for a gzip wrapper; its header then names no file and no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineImage:
    """An image as the Engine describes it; ``config`` is the part that a runtime reads."""

    id: str
    diff_ids: tuple[Digest, ...]
    config: Mapping[str, Any]


def inspect_image(client: docker.DockerClient, name: str) -> EngineImage:
    """What the Engine says of an image; raises EngineError when it has none of that name."""
    from docker.errors import DockerException

    try:
        attributes = client.images.get(name).attrs
    except DockerException as error:
        raise EngineError(f"the Docker Engine does not have {name}", why=str(error), fix="see its log") from error
    diff_ids = tuple(Digest.parse(text) for text in attributes["RootFS"]["Layers"])
    return EngineImage(id=str(attributes["Id"]), diff_ids=diff_ids, config=attributes.get("Config") or {})


def export_layers(
    client: docker.DockerClient,
    image: EngineImage,
    wanted: Iterable[Digest],
    cache: LayerCache,
    progress: Progress = SILENT,
) -> dict[Digest, Layer]:
    """The layers of ``image`` with the diffIDs ``wanted``; those in the cache are not asked for.

    Raises EngineError when the Engine does not give one of them.
    """
    keys = {diff_id: key_of("docker", "gzip", diff_id=str(diff_id)) for diff_id in wanted}
    found = {diff_id: layer for diff_id, key in keys.items() if (layer := cache.get(key))}
    missing = keys.keys() - found.keys()
    if missing:
        task = progress.task("reading the image out of the Engine")
        for diff_id, file in _saved(client, image, missing, cache.root):
            found[diff_id] = cache.build(keys[diff_id], partial(_compress, file))
            task.advance(found[diff_id].unpacked_size)
        task.done()
    if lost := keys.keys() - found.keys():
        raise EngineError(
            f"the Docker Engine did not give all of {image.id}",
            why=f"{', '.join(sorted(map(str, lost)))} is not among the layers it saved",
            fix="use the direct builder, or an Engine of Docker's",
        )
    return found


def _saved(
    client: docker.DockerClient, image: EngineImage, wanted: Iterable[Digest], root: Path
) -> Iterator[tuple[Digest, Path]]:
    """The wanted layers as uncompressed files, each until the next one is asked for."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    left = set(wanted)
    try:
        with CacheDir(root).scratch("docker-save") as scratch:
            spool = scratch / "layer.tar"
            chunks = _Chunks(client.api.get_image(image.id, chunk_size=_BLOCK))
            stream = cast("BinaryIO", io.BufferedReader(chunks, _BLOCK))
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    content = archive.extractfile(member) if _is_layer(member) else None
                    if content is not None and (digest := _spool(content, spool)) in left:
                        left.discard(digest)
                        yield digest, spool
    except (DockerException, RequestException, tarfile.TarError, zlib.error) as error:
        raise EngineError(
            f"the Docker Engine did not save {image.id}", why=str(error), fix="see the Engine's log"
        ) from error
    except OSError as error:
        raise cannot_write("a layer", root, error) from error


def _is_layer(member: tarfile.TarInfo) -> bool:
    """``<id>/layer.tar``, and since Engine 25 ``blobs/sha256/<hex>``, where small files are configs."""
    return member.isreg() and (member.name.endswith("/layer.tar") or member.name.startswith("blobs/sha256/"))


def _spool(content: IO[bytes], target: Path) -> Digest:
    """Write a layer's tar to ``target``; what it is. The containerd image store saves layers as it keeps them: gzip."""
    digest = hashlib.sha256()
    block = content.read(_BLOCK)
    inflate = zlib.decompressobj(_GZIP) if block.startswith(b"\x1f\x8b") else None
    with target.open("wb") as file:
        while block:
            plain = inflate.decompress(block) if inflate else block
            digest.update(plain)
            file.write(plain)
            block = content.read(_BLOCK)
    return Digest(digest.hexdigest())


def _compress(file: Path, target: Path) -> Layer:
    from isal import isal_zlib

    plain, packed, size, length = hashlib.sha256(), hashlib.sha256(), 0, 0
    deflate = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
    with file.open("rb") as source, target.open("wb") as stream:
        for block in iter(partial(source.read, _BLOCK), b""):
            plain.update(block)
            size += len(block)
            data = deflate.compress(block)
            packed.update(data)
            length += stream.write(data)
        data = deflate.flush()
        packed.update(data)
        length += stream.write(data)
    return Layer(
        descriptor=Descriptor(media_type=media.OCI_LAYER_GZIP, digest=Digest(packed.hexdigest()), size=length),
        diff_id=Digest(plain.hexdigest()),
        unpacked_size=size,
        path=target,
        files=(),
        packages=tuple(_packages(file)),
    )


def _packages(layer: Path) -> Iterator[WheelMetadata]:
    """What the distributions that a layer installs say about themselves, with their dist-info for a file name."""
    with tarfile.open(layer, "r:") as archive:
        for member in archive:
            directory, _, name = member.name.rpartition("/")
            if name == "METADATA" and directory.endswith(".dist-info") and (content := archive.extractfile(member)):
                yield parse_metadata(directory.rpartition("/")[2], content.read())


class _Chunks(io.RawIOBase):
    """The chunks of an HTTP body as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
