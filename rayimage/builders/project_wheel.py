"""The project itself as a wheel (``code = "wheel"``), built in isolation by its own build backend."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from rayimage.errors import WheelError
from rayimage.layers import WheelOnDisk
from rayimage.model.digest import Digest

__all__ = ["build_project_wheel"]


def build_project_wheel(project: Path, target: Path, *, created: str) -> WheelOnDisk:
    """Build ``project``'s wheel into the empty directory ``target``.

    ``created`` (RFC 3339) becomes SOURCE_DATE_EPOCH, so that backends which honour it give the same bytes again.
    Raises WheelError with the backend's last words when the build fails or the wheel needs a compiler's platform.
    """
    epoch = int(datetime.fromisoformat(created.replace("Z", "+00:00")).timestamp())
    run = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(target), str(project)],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = sorted(target.glob("*.whl"))
    if run.returncode or len(wheels) != 1:
        raise WheelError(
            f"the wheel of {project.name} could not be built",
            why="\n".join((run.stdout + run.stderr).strip().splitlines()[-8:]),
            fix="run `python -m build --wheel` in the project and mend what it says",
        )
    [wheel] = wheels
    if not wheel.name.endswith("-none-any.whl"):
        raise WheelError(
            f"{wheel.name} is built for this machine",
            why="the project compiles code, which must happen inside the base image",
            fix="use code = \"copy\", or publish the project's wheel for the image's platform and require it",
        )
    return WheelOnDisk(path=wheel, filename=wheel.name, digest=Digest(hashlib.sha256(wheel.read_bytes()).hexdigest()))
