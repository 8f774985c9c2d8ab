"""``docker build`` with BuildKit, and ``docker push``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders.checkout import context, uv_version, warm_up_context
from benchmarks.contenders.contender import Machine, Site, World
from benchmarks.dockerfiles import INDEX_ARGUMENT, Installer
from benchmarks.process import BuildFailedError, run
from benchmarks.projects import Project, State
from tests.support.services import Engine, MissingPartError, own_engine

__all__ = ["ENGINE_OPTIONS", "Docker"]

ENGINE_OPTIONS = ("--bridge=none", "--iptables=false")
"""Builds use the host's network, and two Engines at once would fight over one bridge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _EngineMachine:
    world: World
    project: Project
    engine: Engine
    installer: Installer
    options: tuple[str, ...] = ()

    def lay_out(self, state: State, edit: str) -> Site:
        directory = context(self.world, self.project, self.installer, state, edit)
        return Site(directory=directory, reference=f"{self.world.stage.repository}:bench")

    def build(self, site: Site) -> None:
        # The inline cache is what lets a fresh runner find the packages' layer in the image that was pushed before.
        inline = ("--build-arg", "BUILDKIT_INLINE_CACHE=1", *self.options)
        self._docker_build(site.directory, "--tag", site.reference, *inline)
        self.docker("push", "--quiet", site.reference)

    def forget(self) -> None:
        with suppress(BuildFailedError):
            self.docker("image", "rm", "--force", f"{self.world.stage.repository}:bench")
        self.docker("image", "prune", "--force")
        # Of the build cache only the layers: cache mounts, with the wheels in them, are of another type.
        self.docker("builder", "prune", "--all", "--force", "--filter", "type=regular")

    def warm_up(self) -> None:
        """Base and wheels."""
        for image in (self.world.stage.base, self.world.stage.uv_image):
            self.docker("pull", "--quiet", image)
        self._docker_build(warm_up_context(self.world, self.project, self.installer))
        self.forget()

    def _docker_build(self, directory: Path, *options: str) -> None:
        argument = f"{INDEX_ARGUMENT}={self.world.index_url}"
        self.docker("build", "--quiet", "--network", "host", "--build-arg", argument, *options, str(directory))

    def docker(self, *arguments: str) -> str:
        environment = {"DOCKER_HOST": self.engine.docker_host, "DOCKER_CONFIG": "/nonexistent", "DOCKER_BUILDKIT": "1"}
        return run([self.engine.client, *arguments], environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """``docker build`` with BuildKit, and ``docker push``."""

    installer: str

    def version(self) -> str:
        names = [shutil.which(name, path="/usr/bin:/usr/sbin") or shutil.which(name) for name in ("docker", "dockerd")]
        if None in names or os.geteuid() != 0:
            raise MissingPartError("docker build: needs root, and dockerd (Debian package docker.io)")
        engine = run([str(names[1]), "--version"]).split(",")[0].replace("Docker version", "Docker Engine")
        return f"{engine}, BuildKit, {uv_version() if self.installer == 'uv' else 'pip of the base'}"

    @contextmanager
    def warm(self, world: World, project: Project) -> Iterator[Machine]:
        if world.engine is None:
            raise MissingPartError("docker build: no Engine")
        installer = _installer(self.installer, world)
        machine = _EngineMachine(world=world, project=project, engine=world.engine, installer=installer)
        machine.warm_up()
        yield machine
        machine.forget()

    @contextmanager
    def fresh(self, world: World, project: Project) -> Iterator[Machine]:
        installer = _installer(self.installer, world)
        with own_engine(*ENGINE_OPTIONS) as engine:
            yield _EngineMachine(
                world=world,
                project=project,
                engine=engine,
                installer=installer,
                options=("--cache-from", f"{world.stage.repository}:bench"),
            )


def _installer(name: str, world: World) -> Installer:
    return Installer.uv(world.stage.uv_image) if name == "uv" else Installer.pip()
