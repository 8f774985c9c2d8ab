"""The project itself as a wheel (``code = "wheel"``): built as the packages beside it are."""

from __future__ import annotations

from pathlib import Path

from packaging.utils import canonicalize_name

from rayimage.builders.local_wheels import build_local_wheels
from rayimage.errors import WheelError
from rayimage.layers import WheelOnDisk
from rayimage.model.digest import Digest
from rayimage.model.progress import SILENT, Progress
from rayimage.specs import LocalPackage
from rayimage.specs.local import project_name

__all__ = ["build_project_wheel"]


def build_project_wheel(project: Path, cache_dir: Path, progress: Progress = SILENT) -> WheelOnDisk:
    """The wheel of ``project``, from ``cache_dir`` if its source has not changed.

    Raises WheelError with the backend's last words when the build fails, or the wheel is not for every platform.
    """
    name = project_name(project)
    if name is None:
        raise WheelError(
            f"the wheel of {project.name} cannot be built",
            why="no name is written in its pyproject.toml, setup.cfg or setup.py",
            fix='give [project] in pyproject.toml a name, or use code = "copy"',
        )
    local = LocalPackage(name=canonicalize_name(name), directory=project)
    [built] = build_local_wheels([local], cache_dir, progress)
    assert built.wheel is not None  # noqa: S101
    return WheelOnDisk(path=built.wheel, filename=built.wheel.name, digest=Digest.of_file(built.wheel))
