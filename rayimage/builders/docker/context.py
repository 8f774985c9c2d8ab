"""The build context of an image: a directory with its Dockerfile and everything that COPY and mounts read.

    Dockerfile
    packages/requirements.txt    the lock: name==version --hash=sha256:…
    packages/*.whl               wheels that no index has; with ``offline`` all of them
    project/                     the same for the project's own wheel (code = "wheel")
    code/                        the code, modes as in the code layer

No credential is in it, and no time of this machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from packaging.utils import canonicalize_name, parse_wheel_filename

from rayimage.builders.direct import BuildInput
from rayimage.builders.docker.dockerfile import Recipe, render
from rayimage.builders.project_wheel import build_project_wheel
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.errors import RayimageError, UsageError
from rayimage.http.urls import is_http, split_url
from rayimage.layers import CodeTree
from rayimage.model.lock import LockedWheel
from rayimage.model.progress import SILENT, Progress

__all__ = ["requirements_text", "write_context"]

_EPOCH: Final = 315619200
"""1980-01-02, as in the layers of the direct builder."""


def write_context(
    item: BuildInput, recipe: Recipe, directory: Path, wheelhouse: Wheelhouse, progress: Progress = SILENT
) -> None:
    """Make ``directory`` the context of ``item``; what lies in it is replaced.

    Wheels that go into it are fetched and verified. Raises WheelError, UsageError for code that cannot be read, and
    RayimageError when the directory cannot be written.
    """
    try:
        for part in ("packages", "project", "code"):
            shutil.rmtree(directory / part, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
        if recipe.packages:
            sent = [wheel for wheel in item.lock.wheels if recipe.offline or not _from_index(wheel, item)]
            wheels = [(wheel.filename, wheelhouse.fetch(wheel)) for wheel in sent]
            _write_packages(directory / "packages", requirements_text(item.lock.wheels), wheels)
        if recipe.project:
            built = build_project_wheel(item.project, wheelhouse.cache_dir, progress)
            name, version, _, _ = parse_wheel_filename(built.filename)
            own = LockedWheel(name=name, version=version, filename=built.filename, digest=built.digest)
            _write_packages(directory / "project", requirements_text([own]), [(built.filename, built.path)])
        if item.tree is not None:
            _write_code(directory / "code", item.tree)
        (directory / "Dockerfile").write_text(render(recipe), encoding="utf-8")
    except OSError as error:
        raise RayimageError(
            f"cannot write the build context {directory}",
            why=f"{error.strerror or error} ({error.filename})",
            fix="make room, or choose another directory",
        ) from error


def requirements_text(wheels: Iterable[LockedWheel]) -> str:
    """A hashed requirements file that only these very files meet. It names no index: indexes are a machine's."""
    return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.digest.hex}\n" for wheel in wheels)


def _from_index(wheel: LockedWheel, item: BuildInput) -> bool:
    """Whether an index has it. One from a file, made from a source, or required by its URL need be in none."""
    required = item.specs.requirements if item.specs else ()
    by_url = any(requirement.url and canonicalize_name(requirement.name) == wheel.name for requirement in required)
    is_wheel = unquote(split_url(wheel.url).path).endswith(f"/{wheel.filename}")
    return is_http(wheel.url) and is_wheel and wheel.directory is None and not by_url


def _write_packages(directory: Path, requirements: str, wheels: Sequence[tuple[str, Path]]) -> None:
    directory.mkdir()
    (directory / "requirements.txt").write_text(requirements, encoding="utf-8")
    for filename, path in wheels:
        _link(path, directory / filename)
    _settle(directory)


def _link(file: Path, target: Path) -> None:
    """The same file under another name, if the user in the container may read it there; else a copy."""
    if file.stat().st_mode & 0o004:
        try:
            target.hardlink_to(file.resolve())
        except OSError:  # another file system
            pass
        else:
            return
    shutil.copyfile(file, target)
    target.chmod(0o644)


def _write_code(directory: Path, tree: CodeTree) -> None:
    directory.mkdir()
    for path in tree.files:
        file, target = tree.root / path, directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(file, target, follow_symlinks=False)
            program = not file.is_symlink() and bool(file.stat().st_mode & 0o100)
        except FileNotFoundError as error:
            raise UsageError(
                f"{file} changed while it was read",
                why=error.strerror or str(error),
                fix="run again when nothing writes to the code",
            ) from error
        if not target.is_symlink():
            target.chmod(0o755 if program else 0o644)
    _settle(directory)


def _settle(directory: Path) -> None:
    """Modes and times that are the same everywhere, of directories too: COPY takes them over.

    Of a linked wheel neither: it is the cache's, and no part of the image.
    """
    for at, directories, names in os.walk(directory, topdown=False):
        for name in names:
            if not name.endswith(".whl"):
                os.utime(Path(at) / name, (_EPOCH, _EPOCH), follow_symlinks=False)
        for name in directories:
            if (Path(at) / name).is_symlink():
                os.utime(Path(at) / name, (_EPOCH, _EPOCH), follow_symlinks=False)
        Path(at).chmod(0o755)
        os.utime(at, (_EPOCH, _EPOCH))
