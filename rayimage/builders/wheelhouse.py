"""Locked wheels on the local disk, every byte verified.

A wheel's hash is its identity; its URL is only a hint. Where the hint leads nowhere, the configured indexes are asked
for the same file, and the hash decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.request import url2pathname

from rayimage.builders.download import Downloader, Unavailable
from rayimage.builders.simple_index import configured_indexes, find_wheel
from rayimage.cachedir import CacheDir, Kind, Room
from rayimage.errors import WheelError
from rayimage.files import write_atomic
from rayimage.http import patience
from rayimage.http.urls import host_and_port, redact, split_url
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedWheel

__all__ = ["Wheelhouse"]

_END: Final = "end"
"""The file beside a stored wheel that has the digest of its last bytes. There lies the zip file's directory: RECORD
covers what it points to, and nothing but this covers the modes and names in it, short of reading the wheel twice."""
_END_SIZE: Final = 2 << 20
"""Bytes; the directory of torch's 12 000 files has 1.3 MB."""

Advance = Callable[[int], None]


class Wheelhouse:
    """Fetches wheels into ``cache_dir/wheels/sha256/<hex>/<filename>``; safe for threads and processes.

    ``room`` is where wheels go that ``cache_dir`` has no room for, for as long as the command runs.
    ``indexes`` are simple-API URLs, credentials allowed; without any, uv's and pip's environment variables name them.
    ``accounts`` are other URLs with credentials, for files of the same host. A file gets its name in the cache only
    after its hash is verified, so whatever is there is right. Partial downloads stay for the next run to continue.
    """

    def __init__(  # noqa: PLR0913 - places to look in, each by its name
        self,
        cache_dir: Path,
        *,
        indexes: Sequence[str] = (),
        accounts: Sequence[str] = (),
        build: Mapping[Digest, Callable[[LockedWheel], Path]] = MappingProxyType({}),
        pause: Callable[[float], None] = patience.pause,
        room: Room | None = None,
    ) -> None:
        """``build`` makes the wheels that are built from sources, by their digests."""
        self.cache_dir = cache_dir
        self._root = cache_dir
        self._room = room or Room(cache_dir)
        self._indexes = tuple(indexes) or configured_indexes()
        self._build = build
        self._downloader = Downloader((*accounts, *self._indexes), pause)

    def fetch(self, wheel: LockedWheel, advance: Advance | None = None) -> Path:
        """The wheel's file; ``advance`` hears how many more bytes are there, in total the wheel's size.

        A wheel with a file: URL or a path is hashed and used where it is: do not change it while it is in use.
        Raises WheelError when it cannot be had, when its bytes are not the locked ones, or when it cannot be stored.
        """
        _check_filename(wheel, ".whl")
        if wheel.source and wheel.digest in self._build:
            return _Meter(advance).whole(self._build[wheel.digest](wheel))
        return self._fetch(wheel, advance)

    def fetch_archive(self, file: LockedWheel) -> Path:
        """A source archive, which is had and verified as a wheel is; ``file`` stands for it. Raises WheelError."""
        _check_filename(file, "")
        return self._fetch(file, None)

    def _fetch(self, wheel: LockedWheel, advance: Advance | None) -> Path:
        meter = _Meter(advance)
        place = CacheDir(self._root)
        try:
            if found := self._find(wheel):
                return meter.whole(found)
            local = _local_path(wheel.url)
            if local and local.is_file():
                _verify(local, wheel, "the local file")
                return meter.whole(local)
            try:
                return self._stored(wheel, place, meter)
            except OSError as error:
                place = self._room.after(error)
                return self._stored(wheel, place, meter)
        except OSError as error:
            raise WheelError(
                f"cannot read or store {wheel.filename}",
                why=f"{error.strerror or error} ({error.filename or place.root})",
                fix="make room (`rayimage cache prune`), or choose another directory with RAYIMAGE_CACHE_DIR",
            ) from error

    def forget_damaged(self, wheels: Sequence[LockedWheel]) -> bool:
        """Remove stored wheels whose bytes are not the locked ones any more (a bad disk); whether there were any."""
        stored = [(_target(place, wheel), wheel) for wheel in wheels for place in self._room.places]
        damaged = [path for path, wheel in stored if path.is_file() and not _is_right(path, wheel)]
        for path in damaged:
            path.unlink(missing_ok=True)
        return bool(damaged)

    def _find(self, wheel: LockedWheel) -> Path | None:
        for place in self._room.places:
            target = _target(place, wheel)
            if place.use(target.parent) and _is_whole(target, wheel) and _has_its_end(target, wheel):
                return target
        return None

    def _stored(self, wheel: LockedWheel, place: CacheDir, meter: _Meter) -> Path:
        with place.lock(f"wheel-{wheel.digest.hex}"):
            # Another thread or process may have been faster.
            if found := self._find(wheel):
                return meter.whole(found)
            target = _target(place, wheel)
            self._download(wheel, place, meter)
            if place.root == self._root:
                self._room.added(target.stat().st_size)
            return meter.whole(target)

    def _download(self, wheel: LockedWheel, place: CacheDir, meter: _Meter) -> None:
        reasons: list[str] = []
        for url in self._candidates(wheel, reasons):
            try:
                self._download_from(url, wheel, place, meter)
            except Unavailable as failure:  # noqa: PERF203 - one place after the other
                reasons.append(f"{redact(url)}: {failure}")
            else:
                return
        raise WheelError(f"cannot download {wheel.filename}", why="; ".join(reasons), fix=self._fix())

    def _candidates(self, wheel: LockedWheel, reasons: list[str]) -> Iterator[str]:
        """URLs in the order to try; an index is asked only when what came before did not work."""
        tried = set()
        local = _local_path(wheel.url)
        if local:
            reasons.append(f"there is no file {local}")
        elif wheel.url:
            tried.add(wheel.url)
            yield wheel.url
        else:
            reasons.append("the lock has no URL for it")
        for index in self._indexes:
            try:
                urls = find_wheel(index, wheel, self._downloader)
            except Unavailable as failure:
                reasons.append(f"index {redact(index)}: {failure}")
                continue
            yield from (url for url in urls if url not in tried)
            tried.update(urls)

    def _download_from(self, url: str, wheel: LockedWheel, place: CacheDir, meter: _Meter) -> None:
        partial, target = place.path(Kind.UNFINISHED, f"{wheel.digest.hex}.whl"), _target(place, wheel)
        partial.parent.mkdir(parents=True, exist_ok=True)
        joined = self._downloader.file(url, partial, size=wheel.size, heard=meter.reached)
        if joined and not _is_right(partial, wheel):
            # Parts of different files may have been joined: once more, from the start.
            partial.unlink()
            self._downloader.file(url, partial, size=wheel.size, heard=meter.reached)
        try:
            _verify(partial, wheel, host_and_port(url))
        except WheelError:
            partial.unlink()
            raise
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target.with_name(_END), _end_of(partial).encode(), mode=0o644)
        partial.replace(target)

    def _fix(self) -> str:
        if self._indexes:
            return "check the network and the credentials, or run `rayimage lock` to find the file's new place"
        return (
            "name a package index for it to be looked up in: set UV_DEFAULT_INDEX or PIP_INDEX_URL to the URL of its"
            " simple API; or run `rayimage lock` to find the file's new place"
        )


class _Meter:
    """Tells a listener how far a file is, and never the same byte twice, however often a download starts anew."""

    def __init__(self, advance: Advance | None) -> None:
        self._advance = advance
        self._told = 0

    def reached(self, position: int) -> None:
        if self._advance and position > self._told:
            self._advance(position - self._told)
            self._told = position

    def whole(self, path: Path) -> Path:
        """The file is there."""
        self.reached(path.stat().st_size)
        return path


def _check_filename(wheel: LockedWheel, suffix: str) -> None:
    name = wheel.filename
    if not name.strip(".") or not name.endswith(suffix) or "/" in name or "\\" in name or "\0" in name:
        raise WheelError(
            f"the lock names an impossible file for {wheel.name}",
            why=f"{name!r} is not the name of a {'wheel' if suffix else 'file'}",
            fix="run `rayimage lock` again",
        )


def _local_path(url: str) -> Path | None:
    """The path that a file: URL or a plain path names; None for any other URL and for none."""
    if url.startswith("file:"):
        return Path(url2pathname(split_url(url).path))
    return Path(url) if url and "://" not in url else None


def _target(place: CacheDir, wheel: LockedWheel) -> Path:
    return place.path(Kind.WHEELS, wheel.digest.hex) / wheel.filename


def _is_whole(path: Path, wheel: LockedWheel) -> bool:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return False
    return wheel.size is None or size == wheel.size


def _has_its_end(path: Path, wheel: LockedWheel) -> bool:
    """Whether a stored wheel still ends as it did when it was verified, or is verified again."""
    with suppress(OSError):
        if path.with_name(_END).read_text(encoding="ascii", errors="replace") == _end_of(path):
            return True
    return _is_right(path, wheel)


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _END_SIZE, 0))
        return hashlib.sha256(file.read()).hexdigest()


def _is_right(path: Path, wheel: LockedWheel) -> bool:
    return _is_whole(path, wheel) and Digest.of_file(path) == wheel.digest


def _verify(path: Path, wheel: LockedWheel, origin: str) -> None:
    digest, size = Digest.of_file(path), path.stat().st_size
    if digest == wheel.digest and wheel.size in (None, size):
        return
    # A download is stopped soon after the locked size, so a longer file's length is not known.
    lengths = f"; {wheel.size} bytes were expected, {size} or more came" if wheel.size not in (None, size) else ""
    raise WheelError(
        f"{wheel.filename} is not the file that was locked",
        why=f"{wheel.digest} was expected, {origin} gave {digest}{lengths}",
        fix=(
            f"do not install it; if its publisher replaced it, run `rayimage lock --upgrade-package {wheel.name}`,"
            " otherwise find out what changes files on the way (a mirror or a proxy)"
        ),
    )
