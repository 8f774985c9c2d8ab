"""Wheels of the packages that lie beside the project, built once for each state of their source.

A wheel is made from a copy of the files that count (what git ignores does not), so that it is a function of what is
digested: no stale ``build/lib``, no ``egg-info`` left in the tree. Then it is written anew in one form, because
backends differ in order, times, modes and their own name, none of which should make another image layer.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from rayimage.cachedir import CacheDir, Kind
from rayimage.errors import WheelError
from rayimage.layers import CodeTree, collect_code
from rayimage.layers.zip_member import record_hash
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedWheel, RoleLock
from rayimage.model.manifest import canonical_json
from rayimage.model.progress import SILENT, Progress
from rayimage.specs import LocalPackage
from rayimage.specs.exporters import find_uv
from rayimage.specs.findings import without_secrets

__all__ = ["build_local_wheels", "with_local_wheels"]

_FORMAT: Final = 1
"""Version of how wheels come about here; part of their place in the cache."""
_SEAL: Final = "digest"
"""The file beside a wheel that tells whether it still has the bytes that were written."""
_EPOCH: Final = 315619200
"""1980-01-02, the first whole day that a zip file can state in any time zone."""
_TIME: Final = (1980, 1, 2, 0, 0, 0)
_MADE: Final = ("build", "dist", "**/*.egg-info")
"""What backends leave behind in trees without a .gitignore."""
_DIRECT: Final = re.compile(r"^(Requires-Dist: [^@;\n]+?) ?@ ?file:[^;\n]*", re.MULTILINE)
_GENERATOR: Final = re.compile(r"^Generator: .*$", re.MULTILINE)


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
    data = file.read_bytes()
    return replace(wheel, filename=file.name, digest=Digest.of(data), size=len(data), url=file.as_uri())


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
        if (place / _SEAL).read_text(encoding="ascii") == Digest.of(wheel.read_bytes()).hex:
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
        _rewrite(wheel, target / wheel.name)
        (target / _SEAL).write_text(Digest.of((target / wheel.name).read_bytes()).hex, encoding="ascii")


def _copy(file: Path, target: Path) -> None:
    """What is digested and nothing else: content, whether it is a program; times and other bits are one's own."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target, follow_symlinks=False)
    if not target.is_symlink():
        target.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
        os.utime(target, (_EPOCH, _EPOCH))


def _run(package: LocalPackage, source: Path, made: Path) -> Path:
    """Build in isolation: by uv, whose indexes and credentials are those of the lock."""
    command = [find_uv(), "build", "--wheel", "--no-progress", "--no-python-downloads", "--python", sys.executable]
    # The copy lies in no workspace, and is none of its members.
    done = subprocess.run(
        [*command, "--out-dir", str(made), str(source)],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(_EPOCH), "NO_COLOR": "1"},
        cwd=package.directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    wheels = sorted(made.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        words = (done.stdout + done.stderr).replace(str(source), str(package.directory)).strip().splitlines()
        raise WheelError(
            f"{package.name} in {package.directory} could not be built",
            why=without_secrets("\n".join(words[-8:])),
            fix="run `uv build --wheel` there and mend what it says; a version that is taken from git must be written"
            " down for this",
        )
    return wheels[0]


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
    if any(tag.abi != "none" or tag.platform != "any" for tag in tags):
        raise WheelError(
            f"{package.name} in {package.directory} compiles code",
            why=f"its wheel is {wheel.name}: built for this machine, not for the image",
            fix="build its wheels for the image's platforms, require these, or give their directory with --find-links",
        )


def _rewrite(wheel: Path, target: Path) -> None:
    """The same wheel in one form: sorted, with one time, plain modes, no generator, and no path of this machine."""
    with zipfile.ZipFile(wheel) as archive:
        members = {info.filename: (info, archive.read(info)) for info in archive.infolist() if not info.is_dir()}
    record = next(name for name in members if name.endswith(".dist-info/RECORD"))
    names = sorted(members.keys() - {record}, key=lambda name: (".dist-info/" in name, name))
    contents = {name: _settled(name, members[name][1]) for name in names}
    contents[record] = "".join(_record(contents, record)).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in contents.items():
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system = 3
            program = (members[name][0].external_attr >> 16) & 0o100
            info.external_attr = (0o100755 if program else 0o100644) << 16
            # Stored: deflate's output is a matter of the zlib at hand.
            archive.writestr(info, data, compress_type=zipfile.ZIP_STORED)


def _settled(name: str, data: bytes) -> bytes:
    if name.endswith(".dist-info/WHEEL"):
        return _GENERATOR.sub("Generator: rayimage", data.decode()).encode()
    if name.endswith(".dist-info/METADATA"):
        # ``Requires-Dist: common @ file:///…`` of a sibling would be this machine's path.
        return _DIRECT.sub(r"\1", data.decode()).encode()
    return data


def _record(contents: dict[str, bytes], record: str) -> Iterator[str]:
    for name, data in contents.items():
        quoted = f'"{name}"' if "," in name else name
        yield f"{quoted},{record_hash(hashlib.sha256(data).digest())},{len(data)}\n"
    yield f"{record},,\n"
