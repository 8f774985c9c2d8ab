"""A code tree to a layer: a function of names, contents, executable bits and the directory it goes to."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rayimage.errors import UsageError
from rayimage.layers.code_tree import CodeTree
from rayimage.layers.encode import Entry
from rayimage.layers.layer import FileInLayer, Layer, key_of
from rayimage.layers.names import fault_in
from rayimage.layers.tar import DIRECTORY, REGULAR, SYMLINK, TarEntry
from rayimage.layers.writer import write_layer
from rayimage.layers.zip_member import record_hash
from rayimage.model.digest import Digest
from rayimage.model.inventory import InstallLayout
from rayimage.model.layering import Compression

__all__ = ["code_layer_key", "write_code_layer"]

_BLOCK: Final = 1 << 20


def code_layer_key(tree: CodeTree, workdir: str, layout: InstallLayout, compression: Compression = "gzip") -> Digest:
    """The key of a tree's layer; reads every file. Raises UsageError when one cannot be read."""
    return _key([_identity(_Source.at(tree.root, path)) for path in tree.files], workdir, layout, compression)


def write_code_layer(  # noqa: PLR0913, PLR0917 - the parts of its key, the key and the file
    tree: CodeTree,
    workdir: str,
    layout: InstallLayout,
    key: Digest,
    target: Path,
    compression: Compression = "gzip",
) -> Layer:
    """Copy ``tree`` to the absolute directory ``workdir`` of the image, in a new layer at ``target``.

    ``workdir`` and the directories in it belong to the layout's uid:gid, what lies above is left as the base has it
    (where the base has these, a later layer restates them). Of a file's mode the owner's executable bit counts.

    Raises UsageError when a file cannot be read, and when the files are not those of ``key`` any more: under it the
    layer would pass for what they were.
    """
    workdir = _checked(workdir)
    sources = {f"{workdir}/{path}": _Source.at(tree.root, path) for path in tree.files}
    directories = {workdir, *_directories(sources, workdir)}
    files: list[FileInLayer] = []
    identities: dict[str, list[str]] = {}

    def entries() -> Iterator[Entry]:
        for path in sorted([*sources, *directories]):
            if path in directories:
                yield Entry(TarEntry(path=path, kind=DIRECTORY, uid=layout.uid, gid=layout.gid))
                continue
            written = _Written(sources[path])
            yield written.entry(path, layout)
            files.append(FileInLayer(path, written.record_hash))
            identities[sources[path].path] = written.identity
        if _key([identities[path] for path in tree.files], workdir, layout, compression) != key:
            raise _changed(tree.root)

    return write_layer(target, entries(), files, compression=compression)


@dataclass(frozen=True, slots=True)
class _Source:
    """A file as it was when looked at."""

    path: str
    file: Path
    is_link: bool
    executable: bool
    size: int

    @classmethod
    def at(cls, root: Path, path: str) -> _Source:
        file = root / path
        try:
            info = file.lstat()
        except OSError as error:
            raise _unreadable(file, error) from error
        is_link = stat.S_ISLNK(info.st_mode)
        if not is_link and not stat.S_ISREG(info.st_mode):
            raise _changed(file)
        return cls(path, file, is_link, bool(info.st_mode & stat.S_IXUSR) and not is_link, info.st_size)

    @property
    def kind(self) -> str:
        return "link" if self.is_link else "program" if self.executable else "file"

    def target(self) -> str:
        try:
            target = os.readlink(self.file)  # noqa: PTH115 - as written, not normalised
            target.encode()
        except (OSError, UnicodeEncodeError) as error:
            raise _unreadable(self.file, error) from error
        return target

    def blocks(self) -> Iterator[bytes]:
        """Exactly ``size`` bytes: the tar header has promised them."""
        left = self.size
        try:
            with self.file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    left -= len(block)
                    if left < 0:
                        break
                    yield block
        except OSError as error:
            raise _unreadable(self.file, error) from error
        if left:
            raise _changed(self.file)


def _key(entries: list[list[str]], workdir: str, layout: InstallLayout, compression: Compression) -> Digest:
    return key_of("code", compression, workdir=_checked(workdir), uid=layout.uid, gid=layout.gid, entries=entries)


def _identity(source: _Source) -> list[str]:
    if source.is_link:
        return [source.path, source.kind, source.target()]
    digest = hashlib.sha256()
    for block in source.blocks():
        digest.update(block)
    return [source.path, source.kind, digest.hexdigest()]


class _Written:
    """A file as it was written, once its entry's content has been taken."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._link = source.target() if source.is_link else ""
        self._digest = hashlib.sha256()

    def entry(self, path: str, layout: InstallLayout) -> Entry:
        source, uid, gid = self._source, layout.uid, layout.gid
        if source.is_link:
            return Entry(TarEntry(path=path, kind=SYMLINK, link=self._link, uid=uid, gid=gid))
        header = TarEntry(path=path, kind=REGULAR, size=source.size, executable=source.executable, uid=uid, gid=gid)
        return Entry(header, self._content())

    @property
    def record_hash(self) -> str:
        return "" if self._source.is_link else record_hash(self._digest.digest())

    @property
    def identity(self) -> list[str]:
        return [self._source.path, self._source.kind, self._link or self._digest.hexdigest()]

    def _content(self) -> Iterator[tuple[bytes, bytes]]:
        for block in self._source.blocks():
            self._digest.update(block)
            yield b"", block


def _directories(paths: dict[str, _Source], workdir: str) -> set[str]:
    found: set[str] = set()
    for path in paths:
        directory = path.rpartition("/")[0]
        while directory != workdir and directory not in found:
            found.add(directory)
            directory = directory.rpartition("/")[0]
    return found


def _checked(workdir: str) -> str:
    why = fault_in(workdir[1:]) if workdir.startswith("/") else "the path is not absolute"
    if why:
        fix = "name a plain absolute directory below /, for example /home/ray/app"
        raise UsageError(f"cannot copy code to {workdir!r}", why=why, fix=fix)
    return workdir


def _unreadable(file: Path, error: OSError | UnicodeError) -> UsageError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UsageError(f"cannot read {file}", why=why, fix="make it readable, or list it in .dockerignore")


def _changed(file: Path) -> UsageError:
    return UsageError(f"{file} changed while it was read", fix="run again when nothing writes to the code")
