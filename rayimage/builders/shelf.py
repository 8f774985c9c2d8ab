"""What was made once, in the repository, so that no one makes it twice: artifacts (OCI image specification 1.1) by key.

An artifact is one file. Its tag is its kind and its key, a digest of all that it was made of.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Final, Protocol

from rayimage.errors import RayimageError
from rayimage.model import media
from rayimage.model.content import Blob, ContentStore
from rayimage.model.descriptor import EMPTY, EMPTY_CONFIG, Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest
from rayimage.model.progress import SILENT, Progress

__all__ = ["STEP", "WHEEL", "ArtifactStore", "Kind", "Shelf", "Shelved"]

_TITLE: Final = "org.opencontainers.image.title"
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What an artifact is: how its tag begins, its artifact type, and the media type of its file."""

    tag: str
    artifact_type: str
    media_type: str
    what: str


WHEEL: Final = Kind(
    tag="wheel",
    artifact_type="application/vnd.rayimage.wheel.v1",
    media_type="application/vnd.rayimage.wheel.v1+zip",
    what="built wheels",
)
STEP: Final = Kind(
    tag="system",
    artifact_type="application/vnd.rayimage.system.v1",
    media_type=media.OCI_LAYER_GZIP,
    what="layers of the operating system",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """A file that was taken from a shelf, and what stands on it."""

    path: Path
    annotations: Mapping[str, str] = field(default_factory=dict)


class ArtifactStore(ContentStore, Protocol):
    """A repository that can be asked for what it may not have."""

    def find_manifest(self, target: str) -> Manifest | Index | None:
        """As ``get_manifest``, but None when there is no such manifest."""
        ...


class Shelf:
    """The artifacts in a repository, which ``open_store`` opens when it is needed; None: there is no repository.

    A repository that cannot be read or written is as good as none: that is said once, and it is not asked again.
    Thread-safe.
    """

    def __init__(self, open_store: Callable[[], ArtifactStore] | None = None, progress: Progress = SILENT) -> None:
        self._open = open_store
        self._store: ArtifactStore | None = None
        self._progress = progress
        self._lock = RLock()

    def find(self, kind: Kind, key: Digest, digest: Digest | None, directory: Path) -> Shelved | None:
        """The file that was pushed for ``key``, written into ``directory``; with ``digest``, no other one."""
        with self._lock, self._forgiving(f"{kind.what} cannot be taken from the repository"):
            store = self._opened()
            found = _find(store, kind, key) if store else None
            if store and found and digest in (None, found.digest):
                target = directory / found.annotations[_TITLE]
                with store.open_blob(found) as stream, target.open("wb") as file:
                    shutil.copyfileobj(stream, file, _BLOCK)
                return Shelved(path=target, annotations=found.annotations)
        return None

    def put(self, kind: Kind, key: Digest, file: Path, annotations: Mapping[str, str] | None = None) -> None:
        """Push ``file`` for ``key``, unless somebody was faster."""
        with self._lock, self._forgiving(f"{file.name} cannot be pushed, so others have to make it themselves"):
            store = self._opened()
            if store and _find(store, kind, key) is None:
                _put(store, kind, key, file, annotations or {})
                self._progress.note(f"pushed {file.name}, so that nobody has to make it again")

    def _opened(self) -> ArtifactStore | None:
        if self._store is None and self._open is not None:
            self._store = self._open()
        return self._store

    @contextmanager
    def _forgiving(self, what: str) -> Iterator[None]:
        try:
            yield
        except RayimageError as error:
            self._progress.warn(f"{what}: {error}")
            self._store = self._open = None


def _find(store: ArtifactStore, kind: Kind, key: Digest) -> Descriptor | None:
    """The descriptor of the artifact's file, with its name in the title annotation."""
    manifest = store.find_manifest(_tag(kind, key))
    if not isinstance(manifest, Manifest) or len(manifest.layers) != 1:
        return None
    [file] = manifest.layers
    name = file.annotations.get(_TITLE, "")
    return file if file.media_type == kind.media_type and name.strip(".") and name == Path(name).name else None


def _put(store: ContentStore, kind: Kind, key: Digest, file: Path, annotations: Mapping[str, str]) -> None:
    layer = Descriptor(
        media_type=kind.media_type,
        digest=Digest.of_file(file),
        size=file.stat().st_size,
        annotations={_TITLE: file.name, **annotations},
    )
    store.put_blob(Blob.of_bytes(EMPTY_CONFIG, EMPTY))
    store.put_blob(Blob(descriptor=layer, open=lambda: file.open("rb")))
    manifest = Manifest.build(config=EMPTY_CONFIG, layers=(layer,), annotations={}, artifact_type=kind.artifact_type)
    store.put_manifest(manifest, _tag(kind, key))


def _tag(kind: Kind, key: Digest) -> str:
    return f"{kind.tag}-{key.hex}"
