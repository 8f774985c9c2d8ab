"""What a container changed in its image, as a layer.

The Engine has no call for a single layer: ``docker save`` takes the whole image along. So it is asked for the names of
what changed, and tar, in an image committed from the container, for their contents: owners, modes, links and extended
attributes as they are.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, cast

from rayimage.builders.docker.step import WORK, Step, engine_failure, run_step
from rayimage.builders.wheel_build import EPOCH, last_words
from rayimage.errors import ConfigError, EngineError
from rayimage.model.digest import Digest

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

__all__ = ["Changes", "changes_of", "write_layer"]

_LIST, _TAR = f"{WORK}/list", f"{WORK}/layer.tar"
# What the Engine mounts, what is of the run and not of its result, and what no two runs have alike.
_LEFT_OUT: Final = (
    "/.dockerenv",
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/run",
    "/sys",
    "/tmp",  # noqa: S108 - in the image
    "/var/cache/apt",
    "/var/cache/debconf",
    "/var/cache/ldconfig",
    "/var/lib/apt/lists",
    "/var/lib/dpkg/lock",
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/triggers/Lock",
    "/var/log",
    "/var/tmp",  # noqa: S108 - in the image
)
_GUESSED: Final = 6
"""Bytes; shorter secrets are found everywhere."""
_OLD: Final = ("/var/lib/dpkg/status-old", "/var/lib/dpkg/diversions-old", "/var/lib/dpkg/statoverride-old")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Absolute paths in the image: what is new or different, and what is gone."""

    there: tuple[str, ...]
    gone: tuple[str, ...]


def changes_of(container: Container) -> Changes:
    """What ``container`` changed and a layer should have. Raises EngineError."""
    from docker.errors import DockerException

    try:
        entries: Iterable[Mapping[str, Any]] = container.diff() or ()
    except DockerException as error:
        raise engine_failure("the Docker Engine does not say what a step changed", error) from error
    kept = [(str(entry["Path"]), int(entry["Kind"])) for entry in entries if not _is_left_out(str(entry["Path"]))]
    gone = {path for path, kind in kept if kind == 2}
    return Changes(
        there=tuple(sorted(path for path, kind in kept if kind != 2)),
        # A directory that is gone takes what was in it along.
        gone=tuple(sorted(path for path in gone if not gone & {str(up) for up in PurePosixPath(path).parents})),
    )


def _is_left_out(path: str) -> bool:
    return path in _OLD or any(path == place or path.startswith(f"{place}/") for place in _LEFT_OUT)


def write_layer(  # noqa: PLR0913, PLR0917 - what to write, from where, whereto
    client: docker.DockerClient,
    image: str,
    changes: Changes,
    target: Path,
    started: float,
    secrets: Sequence[bytes] = (),
) -> Digest:
    """Write ``changes``, as they are in ``image``, to ``target`` as a gzipped layer; gives its diffID.

    What is younger than ``started`` (seconds since 1970) gets one time, so that two runs differ in what differs only.
    Raises EngineError, and ConfigError for a file with one of ``secrets`` in it.
    """
    names = "".join(f"{path.lstrip('/') or '.'}\0" for path in changes.there).encode()
    tar = "tar --create --no-recursion --numeric-owner --format=pax --xattrs --xattrs-include='*'"
    script = f"{tar} --directory=/ --file={_TAR} --null --files-from={_LIST}\n"
    with run_step(client, Step(image=image, script=script, user="0", files={_LIST: names})) as ran:
        if ran.code:
            fix = "the base needs GNU tar for this"
            raise EngineError("what a step changed cannot be packed", why=last_words(ran.output), fix=fix)
        blocks, _ = ran.container.get_archive(_TAR)
        with tarfile.open(fileobj=_stream(blocks), mode="r|") as outer:
            member = outer.next()
            content = outer.extractfile(member) if member else None
            if content is None:
                raise EngineError("what a step changed cannot be read", why="the Engine sent no archive")
            with tarfile.open(fileobj=content, mode="r|") as inner:
                return _written(inner, changes.gone, target, started, [s for s in secrets if len(s) >= _GUESSED])


def _written(
    inner: tarfile.TarFile, gone: Iterable[str], target: Path, started: float, secrets: Sequence[bytes]
) -> Digest:
    with target.open("wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as zipped:
        tee = _Tee(zipped)
        with tarfile.open(fileobj=cast("BinaryIO", tee), mode="w|", format=tarfile.PAX_FORMAT) as layer:
            for path in gone:
                place = PurePosixPath(path.lstrip("/"))
                layer.addfile(_plain(tarfile.TarInfo(str(place.with_name(f".wh.{place.name}"))), started))
            for info in inner:
                content = inner.extractfile(info) if info.isreg() else None
                watched = cast("IO[bytes]", _Watched(content, f"/{info.name}", secrets)) if content else None
                layer.addfile(_plain(info, started), watched)
    return Digest(tee.hash.hexdigest())


def _plain(info: tarfile.TarInfo, started: float) -> tarfile.TarInfo:
    info.uname = info.gname = ""
    info.mtime = EPOCH if info.mtime >= int(started) - 1 or info.isdir() else int(info.mtime)
    info.pax_headers = {key: value for key, value in info.pax_headers.items() if key.startswith("SCHILY.xattr.")}
    return info


class _Watched:
    """A file on its way into a layer, in which no secret may be."""

    def __init__(self, content: IO[bytes], path: str, secrets: Sequence[bytes]) -> None:
        self._content, self._path, self._secrets = content, path, secrets
        self._kept = max(map(len, secrets), default=1) - 1
        self._before = b""

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes."""
        data = self._content.read(size)
        seen = self._before + data
        if any(secret in seen for secret in self._secrets):
            raise ConfigError(
                f"a step writes a secret into {self._path}",
                why="everyone who pulls the image could read it",
                fix="keep it out of files, or in /tmp, which is not part of the layer",
            )
        self._before = seen[-self._kept :] if self._kept else b""
        return data


class _Tee:
    """Hashes what goes by."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._stream.write(data)


def _stream(blocks: Iterator[bytes]) -> io.BufferedReader:
    """Blocks as a file."""

    class Blocks(io.RawIOBase):
        rest = b""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            while not self.rest:
                block = next(blocks, None)
                if block is None:
                    return 0
                self.rest = block
            part, self.rest = self.rest[: len(buffer)], self.rest[len(buffer) :]
            buffer[: len(part)] = part
            return len(part)

    return io.BufferedReader(Blocks(), 1 << 20)
