"""A small project on a small base, built offline: its wheels lie in a directory beside it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rayimage.__main__ import main
from tests.support.images import dist_info, make_image, make_layer, ray_base
from tests.support.wheelmaker import make_wheel

__all__ = ["Project", "Ran", "make_project"]

YAML = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: small}
spec:
  rayVersion: '2.0.0' # follows the image
  headGroupSpec:
    template:
      spec:
        containers:
          - name: ray-head
            image: rayproject/ray:2.0.0
  workerGroupSpecs:
    - groupName: cpu
      template:
        spec:
          containers:
            - {name: ray-worker, image: "rayproject/ray:2.0.0"}
"""
CONFIG = """\
repository   = "{repository}"
requirements = ["requirements.in"]
base         = "{base}"

[images.head]

[images.worker]
requirements = ["requirements-worker.in"]

[environments.dev]
manifests = ["deploy/ray.yaml"]
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Project:
    """The project's directory, and a cache of its own."""

    root: Path
    cache: Path

    @property
    def yaml(self) -> str:
        """The KubeRay file."""
        return (self.root / "deploy/ray.yaml").read_text(encoding="utf-8")

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ran:
        """Run a rayimage command on the project, in this process."""
        environment = {"RAYIMAGE_CACHE_DIR": str(self.cache), "DOCKER_CONFIG": str(self.root / "none"), "NO_COLOR": "1"}
        out, err = io.StringIO(), io.StringIO()
        code, here = 0, Path.cwd()
        with (
            mock.patch.dict(os.environ, environment | dict(env or {})),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main(["-C", str(self.root), *arguments])
            except SystemExit as exit_:
                code = int(exit_.code or 0)
            finally:
                os.chdir(here)
        return Ran(code, out.getvalue(), err.getvalue())


def make_project(directory: Path, repository: str, *, base: str | None = None, ray: str = "2.55.1") -> Project:
    """Head with `common`, worker with `common` and `extra`; the base's `old` 1.0 moves to 2.0."""
    installed = {
        **ray_base(ray=ray),
        **dist_info("click", "8.1.7", files={"click/__init__.py": ""}),
        **dist_info("pip", "24.3.1"),
        **dist_info("old", "1.0", files={"old/__init__.py": "1", "old/gone.py": "1"}),
    }
    make_image(directory / "base", [make_layer(installed)], user="1000", tag="2.55.1")
    root, wheels = directory / "project", directory / "wheels"
    make_wheel(wheels, {"common/__init__.py": b"VALUE = 1\n" * 100}, "common", "1.0")
    make_wheel(wheels, {"extra/__init__.py": b"VALUE = 2\n" * 100}, "extra", "1.0")
    make_wheel(wheels, {"old/__init__.py": b"2", "old/new.py": b"2"}, "old", "2.0")
    files = {
        "rayimage.toml": CONFIG.format(repository=repository, base=base or "oci:../base:2.55.1"),
        "requirements.in": "--no-index\n--find-links ../wheels\ncommon\nold>=2\n",
        "requirements-worker.in": "extra\n",
        "deploy/ray.yaml": YAML,
        "app/main.py": "print('hello')\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Project(root, directory / "cache")
