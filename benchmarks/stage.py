"""The registry of the benchmark: the same content before every sequence, base and uv already there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from benchmarks.process import run
from tests.support.base import TAG
from tests.support.services import MissingPartError, Registry, free_port, running_registry

__all__ = ["Stage", "set_stage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A registry that can be had anew again and again, always at ``host``."""

    scratch: Path
    template: Path
    port: int

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self.port}"

    @property
    def base(self) -> str:
        """The base's image."""
        return f"{self.host}/ray:{TAG}"

    @property
    def uv_image(self) -> str:
        """An image that is nothing but ``/uv``, like the one that uv's authors publish."""
        return f"{self.host}/uv:latest"

    @property
    def repository(self) -> str:
        """Where projects are pushed."""
        return f"{self.host}/team/app"

    @contextmanager
    def registry(self) -> Iterator[Registry]:
        """A registry that has the base and the uv image and nothing else."""
        storage = self.scratch / "registry"
        shutil.rmtree(storage, ignore_errors=True)
        shutil.copytree(self.template, storage, copy_function=os.link)  # A registry never changes a blob.
        try:
            with running_registry(storage=storage, port=self.port) as registry:
                yield registry
        finally:
            shutil.rmtree(storage, ignore_errors=True)


def set_stage(scratch: Path, base: str) -> Stage:
    """Fill the template's registry with ``base`` (a reference of rayimage's) and uv; raises MissingPartError."""
    stage = Stage(scratch=scratch, template=scratch / "template", port=free_port())
    with running_registry(storage=stage.template, port=stage.port):
        source = base if base.startswith("oci:") else f"docker://{base}"
        _copy(source, stage.base)
        _copy(f"oci:{_uv_layout(scratch)}:uv", stage.uv_image)
    return stage


def _copy(source: str, target: str) -> None:
    if shutil.which("skopeo") is None:
        raise MissingPartError("skopeo: not installed (Debian package skopeo)")
    where = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", "--preserve-digests"]
    run(["skopeo", *where, source, f"docker://{target}"])


def _uv_layout(scratch: Path) -> Path:
    """An OCI layout with the uv that rayimage uses, too."""
    if shutil.which("umoci") is None:
        raise MissingPartError("umoci: not installed (Debian package umoci)")
    layout = scratch / "uv-layout"
    for arguments in (
        ["init", "--layout", str(layout)],
        ["new", "--image", f"{layout}:uv"],
        ["insert", "--image", f"{layout}:uv", find_uv_bin(), "/uv"],
    ):
        run(["umoci", *arguments])
    return layout
