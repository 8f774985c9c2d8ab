"""Wheels of the packages that lie beside the project, built once for each state of their source.

A wheel is made from a copy of the files that count (what git ignores does not), so that it is a function of what is
digested: no stale ``build/lib``, no ``egg-info`` left in the tree. Then it is written anew in one form, because
backends differ in order, times, modes and their own name, none of which should make another image layer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from rayimage.builders.wheel_build import EPOCH, build_wheel, fits_everywhere, last_words, rewrite_wheel
from rayimage.cachedir import CacheDir, Kind
from rayimage.errors import WheelError
from rayimage.layers import CodeTree, collect_code
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedWheel, RoleLock
from rayimage.model.manifest import canonical_json
from rayimage.model.progress import SILENT, Progress
from rayimage.specs import LocalPackage

__all__ = ["build_local_wheels", "with_local_wheels"]

_FORMAT: Final = 1
"""Version of how wheels come about here; part of their place in the cache."""
_SEAL: Final = "digest"
"""The file beside a wheel that tells whether it still has the bytes that were written."""
_MADE: Final = ("build", "dist", "**/*.egg-info")
"""What backends leave behind in trees without a .gitignore."""


def build_local_wheels(
    packages: Sequence[LocalPackage], cache_dir: Path, progress: Progress = SILENT
) -> tuple[LocalPackage, ...]:
    """``packages`` with their digests and wheels; the wheels lie below ``cache_dir``, named by their sources.

    Raises WheelError with the backend's last words when a build fails, and for a wheel that is not for every platform;
    UsageError for a tree that cannot be read.
    """
    return tuple(_built(package, CacheDir(cache_dir), progress) for package in packages)


def with_local_wheels(lock: RoleLock, packages: Sequence[LocalPackage]) -> RoleLock:
    """``lock`` with the wheels of its local packages as they were built here.

    The source is what is locked (its digest is part of the lock's inputs). The wheel of another machine is not here,
    and that of another version of the build backend may differ.
    """
    built = {package.name: package.wheel for package in packages if package.wheel}
    return replace(lock, wheels=tuple(_here(wheel, built.get(wheel.name)) for wheel in lock.wheels))


def _here(wheel: LockedWheel, file: Path | None) -> LockedWheel:
    if wheel.directory is None or file is None:
        return wheel
    digest, size = Digest.of_file(file), file.stat().st_size
    return replace(wheel, filename=file.name, digest=digest, size=size, url=file.as_uri())


def _built(package: LocalPackage, cache: CacheDir, progress: Progress) -> LocalPackage:
    tree = collect_code(package.directory, exclude=_MADE)
    digest = Digest.of(canonical_json({"format": _FORMAT, "files": [_identity(tree, path) for path in tree.files]}))
    place = cache.path(Kind.LOCAL_WHEELS, digest.hex)
    wheel = _kept(cache, place)
    if wheel is None:
        progress.note(f"building {package.name} in {package.directory}")
        try:
            cache.make(place, lambda target: _build(package, tree, target))
        except OSError as error:
            raise WheelError(
                f"{package.name} in {package.directory} could not be built",
                why=f"{error.strerror or error} ({error.filename or place})",
                fix="make room (`rayimage cache prune`), or choose another directory with RAYIMAGE_CACHE_DIR",
            ) from error
        [wheel] = place.glob("*.whl")
    return replace(package, digest=digest, wheel=wheel)


def _kept(cache: CacheDir, place: Path) -> Path | None:
    """The wheel of an earlier build, if it has the bytes that were written; one that has not is discarded."""
    if not cache.use(place):
        return None
    try:
        [wheel] = place.glob("*.whl")
        if (place / _SEAL).read_text(encoding="ascii") == Digest.of_file(wheel).hex:
            return wheel
    except (OSError, ValueError):
        pass
    cache.discard(place)
    return None


def _identity(tree: CodeTree, path: str) -> list[str]:
    """Of a file its name, whether it is a program, and its content; of a link its target."""
    file = tree.root / path
    if file.is_symlink():
        return [path, "link", os.readlink(file)]  # noqa: PTH115 - as written, not normalised
    kind = "program" if file.stat().st_mode & 0o100 else "file"
    return [path, kind, hashlib.sha256(file.read_bytes()).hexdigest()]


def _build(package: LocalPackage, tree: CodeTree, target: Path) -> None:
    """Build into the directory ``target``: the wheel, and its digest."""
    # Not in the cache, which may lie in a repository: hatchling heeds the .gitignore files above the tree.
    with TemporaryDirectory(prefix="rayimage-build-", ignore_cleanup_errors=True) as outside:
        source, made = Path(outside) / "source", Path(outside) / "made"
        for path in tree.files:
            _copy(tree.root / path, source / path)
        wheel = _run(package, source, made)
        _check(package, wheel)
        rewrite_wheel(wheel, target / wheel.name)
        (target / _SEAL).write_text(Digest.of_file(target / wheel.name).hex, encoding="ascii")


def _copy(file: Path, target: Path) -> None:
    """What is digested and nothing else: content, whether it is a program; times and other bits are one's own."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target, follow_symlinks=False)
    if not target.is_symlink():
        target.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
        os.utime(target, (EPOCH, EPOCH))


def _run(package: LocalPackage, source: Path, made: Path) -> Path:
    # The copy lies in no workspace, and is none of its members.
    wheel, words = build_wheel(source, made, directory=package.directory)
    if wheel is None:
        raise WheelError(
            f"{package.name} in {package.directory} could not be built",
            why=last_words(words.replace(str(source), str(package.directory))),
            fix="run `uv build --wheel` there and mend what it says; a version that is taken from git must be written"
            " down for this",
        )
    return wheel


def _check(package: LocalPackage, wheel: Path) -> None:
    try:
        name, _, _, tags = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise WheelError(
            f"{package.directory} builds no wheel", why=str(error), fix="mend its build backend"
        ) from error
    if name != canonicalize_name(package.name):
        raise WheelError(
            f"{package.directory} is not {package.name}",
            why=f"the wheel that it builds is one of {name}",
            fix=f"require {name}, or correct the name in its pyproject.toml",
        )
    if not fits_everywhere(tags):
        raise WheelError(
            f"{package.name} in {package.directory} compiles code",
            why=f"its wheel is {wheel.name}: built for this machine, not for the image",
            fix="build its wheels for the image's platforms, require these, or give their directory with --find-links",
        )
