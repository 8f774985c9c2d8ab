"""KubeRay files on disk: read together, and replaced atomically."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rayimage.errors import KubeRayError
from rayimage.files import UNFINISHED
from rayimage.kuberay.emission import Emission, Images
from rayimage.kuberay.emit import emit_bytes

__all__ = ["emit_files", "write_emissions"]


def emit_files(files: Sequence[Path], images: Images) -> tuple[Emission, ...]:
    """Compute the new content of every file and write nothing. A file given twice, or through a link, counts once.

    Raises KubeRayError for a file that is missing, not YAML or not safe to edit, and when no file has a KubeRay
    document.
    """
    unique: dict[str, Path] = {}
    for file in files:
        unique.setdefault(os.path.realpath(file), file)
    emissions = tuple(emit_bytes(_read(file), images, file=file) for file in unique.values())
    if not any(emission.documents for emission in emissions):
        raise KubeRayError(
            "no KubeRay document to write images to",
            why=f"looked in {', '.join(map(str, files))}" if files else "no file was given",
            fix="give files with a RayCluster, RayJob, RayService or RayCronJob (apiVersion ray.io/…)",
        )
    return emissions


def write_emissions(emissions: Sequence[Emission]) -> None:
    """Replace the files that change, each atomically and with its mode; a symbolic link keeps pointing.

    All new content is on disk beside the files before the first is replaced. Raises KubeRayError, with no file
    replaced, when one changed since it was read or has no room or permission beside it.
    """
    with ExitStack() as stack:
        staged = [(emission, *stack.enter_context(_staged(emission))) for emission in emissions if emission.changed]
        for emission, _, _ in staged:
            if _read(emission.file) != emission.before:
                why, fix = "it changed on disk after it was read", "run the command again"
                raise KubeRayError(f"{emission.file}: not written", why=why, fix=fix)
        for emission, temporary, target in staged:
            with _named(emission.file, "written"):
                temporary.replace(target)


def _read(file: Path) -> bytes:
    with _named(file, "read"):
        return file.read_bytes()


@contextmanager
def _staged(emission: Emission) -> Iterator[tuple[Path, Path]]:
    """A complete temporary file, and the real file beside it that it is to replace, with that one's owner and mode."""
    with _named(emission.file, "written"):
        target = emission.file.resolve(strict=True)
        status = target.stat()
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=UNFINISHED)
    temporary = Path(name)
    try:
        with _named(emission.file, "written"), os.fdopen(descriptor, "wb") as stream:
            stream.write(emission.after)
            with suppress(OSError):  # root in a container gives the file back to its owner; others may not
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
            stream.flush()
            os.fsync(descriptor)
        yield temporary, target
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _named(file: Path, done: str) -> Iterator[None]:
    """Turn the system's errors into one that names the user's file."""
    try:
        yield
    except OSError as error:
        fix = "check the path, its permissions and the free space"
        raise KubeRayError(f"{file}: cannot be {done}", why=error.strerror or str(error), fix=fix) from error
