"""Images in a directory: the OCI image layout (OCI image specification, image-layout.md)."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from rayimage.errors import ContentError, RayimageError, UsageError
from rayimage.files import locked, write_atomic
from rayimage.model import media
from rayimage.model.content import Blob, ByteStream, Outcome
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest, canonical_json, parse_manifest

__all__ = ["REF_NAME", "OciLayout"]

REF_NAME: Final = "org.opencontainers.image.ref.name"
"""The annotation of an index.json entry that holds its tag."""

_VERSION: Final = "1.0.0"
_MODE: Final = 0o644
"""Of every file, whatever the umask: layouts are shared between users and mounted into containers."""

_SCRATCH: Final = ".rayimage-"
_UNFINISHED: Final = (".index.json.", ".oci-layout.")
"""Beginnings of names that ``write_atomic`` uses on its way."""

_CHUNK: Final = 1 << 20
_MANIFEST_LIMIT: Final = 4 << 20
"""Bytes; registries accept manifests up to 4 MiB (OCI distribution specification)."""


class OciLayout:
    """An OCI image layout directory as a content store.

    Every file appears under its name whole or not at all. Threads and processes may write to it at once: its directory
    is locked while the index changes, ``blobs/sha256`` is shared by those who write blobs.
    """

    def __init__(self, path: Path) -> None:
        """Open the layout at ``path``; raises ContentError when it is none."""
        self.path = path
        marker = _read_json(path / "oci-layout", f"not an OCI image layout: {path}")
        version = marker.get("imageLayoutVersion")
        if not isinstance(version, str) or not version.startswith("1."):
            raise ContentError(
                f"unsupported OCI image layout: {path}", why=f"its version is {version!r}, {_VERSION} is known"
            )
        self._entries()

    @classmethod
    def create(cls, path: Path) -> OciLayout:
        """Open the layout at ``path``, or make an empty one there; removes what killed processes left in it.

        Raises ContentError if other files are there, RayimageError when it cannot be written.
        """
        if path.exists() and not path.is_dir():
            raise _something_else(path)
        with _writing(path):
            path.mkdir(parents=True, exist_ok=True)
            with locked(path):
                marker = path / "oci-layout"
                if not marker.exists():
                    if not all(map(_is_begun, path.iterdir())):
                        raise _something_else(path)
                    write_atomic(path / "index.json", canonical_json(_index_json({}, [])), mode=_MODE)
                    # Last, so that an interrupted start is not taken for a layout.
                    write_atomic(marker, canonical_json({"imageLayoutVersion": _VERSION}), mode=_MODE)
                _sweep(path)
        return cls(path)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags there are, sorted."""
        return tuple(sorted({tag for entry in self._entries() if (tag := entry.annotations.get(REF_NAME))}))

    def get_manifest(self, target: str = "") -> Manifest | Index:
        """The manifest or index under a tag or digest; ``""`` means the only one there is.

        Raises UsageError when the tag is not there or ``""`` could mean several, ContentError when a blob is
        absent or is not what its digest says.
        """
        descriptor = self._find(target)
        with self._file(descriptor.digest) as file:
            raw = file.read(_MANIFEST_LIMIT + 1)
        if Digest.of(raw) != descriptor.digest:
            raise ContentError(
                f"damaged blob {descriptor.digest} in OCI image layout {self.path}",
                why="the file's content has another digest",
                fix="write the image to the layout again",
            )
        return parse_manifest(raw, descriptor.media_type)

    def head(self, target: str) -> Descriptor | None:
        """What a tag or digest points at, None when it is not there."""
        try:
            return self.get_manifest(target).descriptor
        except (UsageError, ContentError):
            return None

    def open_blob(self, descriptor: Descriptor) -> AbstractContextManager[ByteStream]:
        """A stream of exactly the blob's bytes; raises ContentError if absent, or when size or digest differ."""
        return self._open(descriptor)

    def put_blob(self, blob: Blob, advance: Callable[[int], None] | None = None) -> Outcome:
        """Make the blob exist; raises ContentError when its bytes are not what its descriptor says."""
        descriptor = blob.descriptor
        path = self._blob_path(descriptor.digest)
        if path.is_file() and path.stat().st_size == descriptor.size:
            return Outcome.EXISTS
        with _writing(self.path), blob.open() as stream, _new_blob(path, self.path) as file:
            verified = _Verified(stream, descriptor, f"blob {descriptor.digest}")
            while chunk := verified.read(_CHUNK):
                file.write(chunk)
                if advance:
                    advance(len(chunk))
        return Outcome.UPLOADED

    def put_manifest(self, manifest: Manifest | Index, tag: str = "") -> None:
        """Store a manifest or index; a ``tag`` makes it an entry of index.json in place of the tag's former one.

        Without a tag it is a blob only, reachable by digest: the children of an index are stored so.
        """
        path = self._blob_path(manifest.digest)
        if not path.is_file() or path.read_bytes() != manifest.raw:
            with _writing(self.path), _new_blob(path, self.path) as file:
                file.write(manifest.raw)
        if not tag:
            return
        entry = manifest.descriptor.annotated(**{REF_NAME: tag}).to_json()
        with _writing(self.path), locked(self.path):
            data = self._read_index()
            others = [e for e in data["manifests"] if (e.get("annotations") or {}).get(REF_NAME) != tag]
            index = canonical_json(_index_json(data, [*others, entry]))
            write_atomic(self.path / "index.json", index, mode=_MODE)

    def _find(self, target: str) -> Descriptor:
        entries = self._entries()
        if target.startswith("sha256:"):
            digest = Digest.parse(target)
            known = next((entry for entry in entries if entry.digest == digest), None)
            return known or Descriptor(media_type="", digest=digest, size=0)
        found = [entry for entry in entries if not target or entry.annotations.get(REF_NAME) == target]
        if len({entry.digest for entry in found}) == 1:
            return found[0]
        tags = ", ".join(self.tags) or "none"
        if target:
            problem = "is there more than once" if found else "is not there"
            raise UsageError(
                f"no image {target!r} in OCI image layout {self.path}",
                why=f"the tag {problem}; tags in it: {tags}",
                fix=f"name one of them, as in oci:{self.path}:TAG, or a digest",
            )
        if not entries:
            raise ContentError(f"no image in OCI image layout {self.path}", why="its index.json lists none")
        raise UsageError(
            f"which image of OCI image layout {self.path}?",
            why=f"it holds {len(entries)}; tags in it: {tags}",
            fix=f"name one, as in oci:{self.path}:TAG",
        )

    def _entries(self) -> tuple[Descriptor, ...]:
        return tuple(Descriptor.from_json(entry) for entry in self._read_index()["manifests"])

    def _read_index(self) -> dict[str, Any]:
        path = self.path / "index.json"
        data = _read_json(path, f"damaged OCI image layout: {self.path}")
        entries = data.get("manifests")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ContentError(f"damaged OCI image layout: {self.path}", why="index.json has no list of manifests")
        return data

    @contextmanager
    def _open(self, descriptor: Descriptor) -> Iterator[ByteStream]:
        with self._file(descriptor.digest) as file:
            yield _Verified(file, descriptor, f"blob {descriptor.digest} in OCI image layout {self.path}")

    def _blob_path(self, digest: Digest) -> Path:
        return self.path / "blobs" / "sha256" / digest.hex

    def _file(self, digest: Digest) -> BinaryIO:
        try:
            return self._blob_path(digest).open("rb")
        except FileNotFoundError as error:
            raise ContentError(
                f"blob {digest} is not in OCI image layout {self.path}",
                why=f"there is no file blobs/sha256/{digest.hex}",
                fix="write the image to the layout again, or check the digest",
            ) from error
        except OSError as error:
            why = f"{error.strerror or error}: {error.filename}"
            what = f"cannot read blob {digest} of OCI image layout {self.path}"
            raise ContentError(what, why=why, fix="check its permissions") from error


class _Verified:
    """A stream that raises ContentError before it hands out the last bytes of the wrong content."""

    def __init__(self, stream: ByteStream, descriptor: Descriptor, name: str) -> None:
        self._stream = stream
        self._descriptor = descriptor
        self._name = name
        self._hash = hashlib.sha256()
        self._left = descriptor.size
        self._checked = False

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes, all that is left if negative."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        if self._checked or not size:
            return b""
        wanted = min(size, self._left)
        data = self._stream.read(wanted) if wanted else b""
        self._hash.update(data)
        self._left -= len(data)
        if not data and self._left:
            raise self._wrong(f"it ends {self._left} bytes early")
        if not self._left:
            self._check()
        return data

    def _check(self) -> None:
        self._checked = True
        if self._stream.read(1):
            raise self._wrong(f"it is longer than {self._descriptor.size} bytes")
        if (actual := self._hash.hexdigest()) != self._descriptor.digest.hex:
            raise self._wrong(f"its content has the digest sha256:{actual}")

    def _wrong(self, why: str) -> ContentError:
        return ContentError(f"damaged {self._name}", why=why, fix="fetch or build it again")


def _is_begun(path: Path) -> bool:
    """Whether the file is what an interrupted ``create`` leaves."""
    return path.name in ("blobs", "index.json") or path.name.startswith((_SCRATCH, *_UNFINISHED))


def _index_json(data: Mapping[str, Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
    def order(entry: Mapping[str, Any]) -> tuple[str, bytes]:
        return str((entry.get("annotations") or {}).get(REF_NAME, "")), canonical_json(entry)

    return {**data, "schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": sorted(entries, key=order)}


def _read_json(path: Path, what: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        fix = "name a directory that holds oci-layout, index.json and blobs"
        raise ContentError(what, why=f"there is no {path.name} in it", fix=fix) from error
    except OSError as error:
        why = f"{path.name} cannot be read: {error.strerror or error}"
        raise ContentError(what, why=why, fix="check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise ContentError(what, why=f"{path.name} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ContentError(what, why=f"{path.name} is not a JSON object")
    return data


def _something_else(path: Path) -> ContentError:
    fix = "name a directory that is empty or does not exist yet"
    return ContentError(f"cannot make an OCI image layout at {path}", why="something else is there", fix=fix)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn the system's errors into one that names the layout."""
    try:
        yield
    except OSError as error:
        raise RayimageError(
            f"cannot write to OCI image layout {path}",
            why=": ".join(filter(None, (error.strerror or str(error), error.filename))),
            fix="make room, or name another directory",
        ) from error


def _sweep(layout: Path) -> None:
    """Remove what was not finished: of the index at once, whose lock is held, of blobs if nobody is at work on one."""
    for file in layout.iterdir():
        if file.name.startswith(_UNFINISHED):
            file.unlink()
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    with suppress(BlockingIOError), locked(blobs, wait=False):
        for file in layout.glob(f"{_SCRATCH}*"):
            file.unlink()


@contextmanager
def _new_blob(path: Path, scratch: Path) -> Iterator[BinaryIO]:
    """A new file that becomes ``path`` at the end, and is gone after an error.

    It is made in ``scratch`` (same file system), since blobs/sha256 must hold nothing but blobs even after a kill.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent, shared=True):
        handle, name = tempfile.mkstemp(prefix=_SCRATCH, dir=scratch)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            Path(name).chmod(_MODE)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
