"""Images → a Docker Engine, as a docker-archive stream (``docker load``).

The archive's format predates OCI layouts, which Engines read only since 25.0. Layers may be gzip, also of many members.
Nothing is written to disk here: base layers stream from where they are.

An Engine opens the file of a layer only when it does not have the layer yet (moby, image/tarexport/load.go), so the
files of those that it has stay out of the archive, as bazelbuild/rules_docker's incremental loader does it. It knows a
layer by its chainID, which is of all layers below it as well: after the first layer that is new, all are sent.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import IO, TYPE_CHECKING, cast

from rayimage.builders.direct import BuiltImage
from rayimage.errors import ContentError, EngineError
from rayimage.model.content import Blob
from rayimage.model.digest import Digest
from rayimage.model.progress import SILENT, Progress
from rayimage.specs.findings import without_secrets

if TYPE_CHECKING:
    import docker

__all__ = [
    "archive",
    "archive_of",
    "connect",
    "engine_architecture",
    "known_layers",
    "load",
    "load_archive",
    "tag_image",
]

_BLOCK = 1 << 20
_CONTAINERD = "io.containerd.snapshotter"
"""In the driver status of an Engine with the containerd image store."""


def connect() -> docker.DockerClient:
    """A client for the Engine of DOCKER_HOST or the default socket; raises EngineError when none answers."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException as error:
        raise EngineError(
            "no Docker Engine answers",
            why=without_secrets(str(error)),
            fix="start Docker or set DOCKER_HOST; --output oci:DIR and a push need no Engine",
        ) from error
    return client


def engine_architecture(client: docker.DockerClient) -> str:
    """The Engine's architecture in OCI's words: ``amd64``, ``arm64``."""
    return str(client.version()["Arch"])


def tag_image(client: docker.DockerClient, image: str, name: str) -> None:
    """Call the Engine's ``image`` (an ID) ``name`` (``repository:tag``); raises EngineError."""
    from docker.errors import DockerException

    repository, _, tag = name.rpartition(":")
    try:
        client.images.get(image).tag(repository, tag)
    except DockerException as error:
        raise EngineError(f"the Docker Engine did not take the name {name}", why=str(error)) from error


def load(image: BuiltImage, name: str, client: docker.DockerClient, progress: Progress = SILENT) -> Digest:
    """Load ``image`` as ``name`` (``repository:tag``); gives the config's digest, the Engine's ID of the image.

    The containerd image store has other IDs, of manifests that it makes itself; there the layers are compared.
    Raises EngineError when the Engine refuses, also inside an answer with status 200 (docker/docker-py#1772).
    """
    expected = image.image.manifest.config.digest
    known = known_layers(client, image.image.config.diff_ids)
    layers = image.image.manifest.layers[known:]
    task = progress.task(name, sum(layer.size for layer in layers))
    try:
        found = load_archive(_counted(archive(image, name, known), task.advance), name, client)
    except ContentError:
        mended = [blob.descriptor.digest for blob in image.blobs if blob.mend and blob.mend()]
        if not mended:
            raise
        progress.warn(f"layer {mended[0].short} was damaged in the cache, and has been made again")
        found = load_archive(archive(image, name), name, client)
    except EngineError:
        if not known:
            raise
        # Somebody removed them meanwhile, or this Engine wants whole archives.
        found = load_archive(archive(image, name), name, client)
    if found != str(expected) and _layers_of(client, name) != list(map(str, image.image.config.diff_ids)):
        raise EngineError(
            f"the Docker Engine loaded {name} as another image",
            why=f"its ID is {found}, expected {expected}, and its layers are others, too",
            fix="see whether somebody else loads images of this name; or push to a registry instead",
        )
    task.done(f"loaded, {known} layers were there" if known else "loaded")
    return expected


def known_layers(client: docker.DockerClient, diff_ids: Sequence[Digest]) -> int:
    """How many of these layers, from the bottom, the Engine has on top of each other; 0 where it cannot be told."""
    from docker.errors import DockerException

    wanted = list(map(str, diff_ids))
    most = 0
    try:
        if _CONTAINERD in str(client.info().get("DriverStatus")):
            return 0  # it would take a short archive, and have an image that does not run
        for identity in dict.fromkeys(client.api.images(quiet=True)):
            most = max(most, _common(_layers_of(client, identity), wanted))
    except DockerException:  # an image that is removed while we look
        return most
    return most


def _layers_of(client: docker.DockerClient, name: str) -> list[str]:
    """The diffIDs of an image, bottom first."""
    return list((client.images.get(name).attrs.get("RootFS") or {}).get("Layers") or [])


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def load_archive(blocks: Iterator[bytes], name: str, client: docker.DockerClient) -> str:
    """Send an archive that holds the image ``name``; gives the ID that the Engine has for it. Raises EngineError."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        # requests sends any iterator as a chunked body; the SDK's annotation knows files only.
        client.images.load(cast("IO[bytes]", blocks))
        return str(client.images.get(name).id)
    except (DockerException, RequestException) as error:
        raise EngineError(
            f"the Docker Engine did not load {name}", why=str(error), fix="see the Engine's log"
        ) from error


def archive(image: BuiltImage, name: str, known: int = 0) -> Iterator[bytes]:
    """The docker-archive of ``image`` as a stream of blocks; the same image gives the same bytes.

    The lowest ``known`` layers are named in it, and not contained.
    """
    config = image.image.manifest.config
    layers = [blob for blob in image.blobs if blob.descriptor.digest != config.digest]
    return archive_of(image.image.config.raw, layers, name, known)


def archive_of(config: bytes, layers: Sequence[Blob], name: str, known: int = 0) -> Iterator[bytes]:
    """The docker-archive of an image config and its layers, bottom first, under ``name`` (``repository:tag``)."""
    config_name = f"{Digest.of(config).hex}.json"
    entry = {
        "Config": config_name,
        "RepoTags": [name],
        "Layers": [f"{blob.descriptor.digest.hex}.tar.gz" for blob in layers],
    }
    yield from _member("manifest.json", json.dumps([entry]).encode())
    yield from _member(config_name, config)
    for blob in {blob.descriptor.digest: blob for blob in layers[known:]}.values():
        yield from _blob_member(blob)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _member(name: str, data: bytes) -> Iterator[bytes]:
    yield _header(name, len(data))
    yield data
    yield _padding(len(data))


def _blob_member(blob: Blob) -> Iterator[bytes]:
    yield _header(f"{blob.descriptor.digest.hex}.tar.gz", blob.descriptor.size)
    digest = hashlib.sha256()
    with blob.open() as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            yield block
        if digest.hexdigest() != blob.descriptor.digest.hex:
            raise ContentError(
                f"layer {blob.descriptor.digest} is not what it should be",
                why=f"its bytes have the digest sha256:{digest.hexdigest()}",
                fix="run the same command again",
            )
    yield _padding(blob.descriptor.size)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)


def _counted(blocks: Iterator[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for block in blocks:
        advance(len(block))
        yield block
