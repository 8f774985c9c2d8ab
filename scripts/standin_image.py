"""An OCI image that grows by commits of a directory tree, as ``docker commit`` would make its layers."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from isal import igzip

__all__ = ["Image"]

MEDIA_TYPE = "application/vnd.oci.image."
LEFT_EMPTY = ("dev", "proc", "sys", "run", "tmp")
LEFT_OUT = frozenset({"wheels", "etc/resolv.conf", "etc/hostname", "etc/apt/sources.list", "etc/apt/sources.list.d"})
"""What belongs to the host (mmdebstrap copies it), to the runtime, or to the build itself."""


class Image:
    """Layers of what changed below ``root`` since the last commit, then config, manifest and index, in ``layout``.

    ``owned`` maps a directory (relative, without a slash at either end) to the uid and gid of all that is in it;
    everything else keeps its owner. No time stamp is later than ``epoch`` (seconds), and files are sorted, so the same
    tree gives the same bytes.
    """

    def __init__(self, root: Path, layout: Path, *, owned: dict[str, tuple[int, int]], epoch: int) -> None:
        self.root = root
        self.layout = layout
        self.blobs = layout / "blobs/sha256"
        self.blobs.mkdir(parents=True)
        self.owned = owned
        self.epoch = epoch
        self.created = datetime.fromtimestamp(epoch, tz=timezone.utc).isoformat()
        self.seen: dict[str, tuple[int, ...]] = {}
        self.layers: list[dict[str, Any]] = []
        self.diff_ids: list[str] = []
        self.history: list[dict[str, str]] = []

    def commit(self, comment: str) -> None:
        """Add a gzip layer with what is new or changed, its directories, and a whiteout for what is gone.

        The directories are repeated because Docker's overlay2 unpacks a layer by itself: one that the layer does not
        describe becomes root's, and hides the owner that the layer below gave it.
        """
        now = dict(snapshot(self.root))
        changed = {path for path, identity in now.items() if self.seen.get(path) != identity}
        gone = {path for path in self.seen.keys() - now.keys() if parent(path) in now or not parent(path)}
        changed.update(directory for path in (*changed, *gone) for directory in parents(path))
        temporary = self.blobs / "layer"
        with temporary.open("wb") as raw:
            compressed = HashingWriter(raw)
            with igzip.IGzipFile("", "wb", compresslevel=2, fileobj=compressed, mtime=0) as stream:
                plain = HashingWriter(stream)
                self.write_tar(plain, changed, gone)
        temporary.rename(self.blobs / compressed.sha256.hexdigest())
        self.layers.append(descriptor("layer.v1.tar+gzip", compressed))
        self.diff_ids.append(f"sha256:{plain.sha256.hexdigest()}")
        self.history.append({"created": self.created, "created_by": comment})
        self.seen = now

    def write_tar(self, target: HashingWriter, changed: set[str], gone: set[str]) -> None:
        """Write the layer's tar: parents before children, whiteouts among their siblings."""
        whiteouts = {f"{parent(path)}/.wh.{path.rpartition('/')[2]}".lstrip("/") for path in gone}
        with tarfile.open(mode="w", fileobj=target, format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(changed | whiteouts):
                entry = tarfile.TarInfo(path) if path in whiteouts else tar.gettarinfo(self.root / path, path)
                entry.uid, entry.gid = self.owner(path) or (entry.uid, entry.gid)
                entry.uname = entry.gname = ""
                entry.mtime = min(int(entry.mtime), self.epoch)
                if entry.isreg() and path not in whiteouts:
                    with (self.root / path).open("rb") as content:
                        tar.addfile(entry, content)
                else:
                    tar.addfile(entry)

    def owner(self, path: str) -> tuple[int, int] | None:
        """The owner that ``owned`` gives to a path, if any."""
        return next((ids for top, ids in self.owned.items() if f"{path}/".startswith(f"{top}/")), None)

    def finish(self, architecture: str, runtime: dict[str, Any]) -> None:
        """Write config (with ``runtime`` as its ``config``), manifest and an index that names it without a tag."""
        image_platform = {"architecture": architecture, "os": "linux"}
        rootfs = {"type": "layers", "diff_ids": self.diff_ids}
        config = {
            "created": self.created,
            **image_platform,
            "config": runtime,
            "rootfs": rootfs,
            "history": self.history,
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{MEDIA_TYPE}manifest.v1+json",
            "config": self.write_document("config.v1+json", config),
            "layers": self.layers,
        }
        entry = self.write_document("manifest.v1+json", manifest) | {"platform": image_platform}
        index = {"schemaVersion": 2, "mediaType": f"{MEDIA_TYPE}index.v1+json", "manifests": [entry]}
        (self.layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
        (self.layout / "index.json").write_text(json.dumps(index), encoding="utf-8")

    def write_document(self, kind: str, document: dict[str, Any]) -> dict[str, Any]:
        """Store a JSON document as a blob; returns its descriptor."""
        data = json.dumps(document, separators=(",", ":")).encode()
        with (self.blobs / hashlib.sha256(data).hexdigest()).open("wb") as raw:
            writer = HashingWriter(raw)
            writer.write(data)
        return descriptor(kind, writer)


class HashingWriter:
    """Passes bytes on, counts them and keeps their SHA-256."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target = target
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Write all of ``data``."""
        self.target.write(data)
        self.sha256.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """The number of bytes written, which tarfile and gzip ask for."""
        return self.size

    def flush(self) -> None:
        """Nothing is held back here."""


def descriptor(kind: str, writer: HashingWriter) -> dict[str, Any]:
    """The descriptor of what went through ``writer``."""
    return {"mediaType": MEDIA_TYPE + kind, "digest": f"sha256:{writer.sha256.hexdigest()}", "size": writer.size}


def parent(path: str) -> str:
    """The directory of a relative path, or the empty string."""
    return path.rpartition("/")[0]


def parents(path: str) -> Iterator[str]:
    """The directories above a relative path, nearest first."""
    while path := parent(path):
        yield path


def snapshot(root: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Relative path and identity of everything below ``root`` that belongs into a layer."""
    for directory, names, files in os.walk(root):
        relative = os.path.relpath(directory, root)
        if relative in LEFT_EMPTY:
            names.clear()
            continue
        prefix = "" if relative == "." else f"{relative}/"
        names[:] = [name for name in names if prefix + name not in LEFT_OUT]
        for path in (prefix + name for name in (*names, *files)):
            info = os.lstat(root / path)
            content = () if stat.S_ISDIR(info.st_mode) else (info.st_size, info.st_ino, info.st_mtime_ns)
            if path not in LEFT_OUT:
                yield path, (info.st_mode, info.st_uid, info.st_gid, *content)
