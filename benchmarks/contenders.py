"""Those who build: rayimage, docker build with uv or with pip, buildah. Each gets machines that know what it says.

A machine is either *warm* (it has the wheels and the base, and what it built since ``forget``) or *fresh* (nothing at
all, as a new CI runner). ``lay_out`` puts a checkout there, ``build`` is what is timed: it builds and pushes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.dockerfiles import INDEX_ARGUMENT, Installer, dockerfile, warm_up
from benchmarks.projects import ROLE, Project, State
from tests.support.services import Engine, MissingPartError, no_mount_left, own_engine

__all__ = ["CONTENDERS", "BuildFailedError", "Contender", "Machine", "Site", "World"]

TIMEOUT = 1200
NO_INDEX = re.compile(r"(UV|PIP)_")


class BuildFailedError(Exception):
    """A contender did not do its work; the message has the end of what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all contenders share: a scratch directory, the registry, its base and uv images, the package index."""

    scratch: Path
    base: str
    uv_image: str
    repository: str
    index_url: str
    engine: Engine | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A checkout, and the image that is made of it."""

    directory: Path
    reference: str


class Machine(Protocol):
    """Where a contender builds."""

    def lay_out(self, state: State, edit: str) -> Site:
        """A checkout of ``state`` whose code ends with the comment ``edit``."""

    def build(self, site: Site) -> None:
        """Build and push; raises BuildFailedError."""

    def forget(self) -> None:
        """Drop what was built here; wheels and base stay."""


class Contender(Protocol):
    """One way to make an image."""

    def version(self) -> str:
        """Programs and versions; raises MissingPartError when one is not here."""

    def warm(self, world: World, project: Project) -> AbstractContextManager[Machine]:
        """A machine that has the project's wheels and the base."""

    def fresh(self, world: World, project: Project) -> AbstractContextManager[Machine]:
        """A machine that has nothing."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run to the end and return what it printed; raises BuildFailedError."""
    env = {key: value for key, value in os.environ.items() if not NO_INDEX.match(key)} | dict(environment or {})
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT, errors="replace", check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BuildFailedError(f"{command[0]} took over {TIMEOUT} s") from error
    if done.returncode:
        tail = "\n".join([*done.stdout.splitlines()[-15:], *done.stderr.splitlines()[-25:]])
        raise BuildFailedError(f"{' '.join(command[:4])} … → {done.returncode}\n{tail}")
    return done.stdout


def _checkout(scratch: Path, project: Project, state: State, edit: str) -> Path:
    """A copy of the state's files in a new directory, edited."""
    directory = Path(tempfile.mkdtemp(prefix="site-", dir=scratch))
    shutil.copytree(state.directory, directory, dirs_exist_ok=True)
    with (directory / project.recipe.edited).open("a", encoding="utf-8") as code:
        code.write(f"\n# {edit}\n")
    return directory


@dataclass(frozen=True, slots=True, kw_only=True)
class _RayimageMachine:
    world: World
    project: Project
    cache: Path
    wheels: bool

    def lay_out(self, state: State, edit: str) -> Site:
        directory = _checkout(self.world.scratch, self.project, state, edit)
        return Site(directory=directory, reference=f"{self.world.repository}:bench-{ROLE}")

    def build(self, site: Site) -> None:
        # The time of a commit, which a checkout has and this copy has not.
        environment = {"RAYIMAGE_CACHE_DIR": str(self.cache), "SOURCE_DATE_EPOCH": "1700000000"}
        command = [sys.executable, "-m", "rayimage", "-q", "-C", str(site.directory)]
        run([*command, "build", "--no-emit", "--tag", "bench"], environment)

    def forget(self) -> None:
        shutil.rmtree(self.cache, ignore_errors=True)
        if self.wheels:  # Never written again once they are there: links do.
            shutil.copytree(self.project.cache, self.cache, copy_function=os.link)


class Rayimage:
    """The package beside this one."""

    def version(self) -> str:
        from rayimage import __version__

        return f"rayimage {__version__}, Python {sys.version.split()[0]}"

    @contextmanager
    def _machine(self, world: World, project: Project, *, wheels: bool) -> Iterator[Machine]:
        cache = Path(tempfile.mkdtemp(prefix="cache-", dir=world.scratch))
        machine = _RayimageMachine(world=world, project=project, cache=cache, wheels=wheels)
        try:
            machine.forget()
            yield machine
        finally:
            shutil.rmtree(cache, ignore_errors=True)

    def warm(self, world: World, project: Project) -> AbstractContextManager[Machine]:
        return self._machine(world, project, wheels=True)

    def fresh(self, world: World, project: Project) -> AbstractContextManager[Machine]:
        return self._machine(world, project, wheels=False)


def _installer(name: str, world: World) -> Installer:
    return Installer.uv(world.uv_image) if name == "uv" else Installer.pip()


def _context(world: World, project: Project, installer: Installer, state: State, edit: str, *, copied: bool) -> Path:
    """A build context: Dockerfile, requirements, and the code alone."""
    directory = _checkout(world.scratch, project, state, edit)
    code = project.recipe.edited.split("/", maxsplit=1)[0]
    (directory / "Dockerfile").write_text(dockerfile(world.base, installer, code, copied=copied))
    (directory / "requirements.txt").write_text(state.requirements)
    (directory / ".dockerignore").write_text(f"*\n!requirements.txt\n!{code}\n")
    return directory


def _warm_up_context(world: World, project: Project, installer: Installer) -> Path:
    directory = Path(tempfile.mkdtemp(prefix="warm-", dir=world.scratch))
    (directory / "Dockerfile").write_text(warm_up(world.base, installer))
    (directory / "before.txt").write_text(project.before.requirements)
    (directory / "after.txt").write_text(project.after.requirements)
    return directory


@dataclass(frozen=True, slots=True, kw_only=True)
class _EngineMachine:
    world: World
    project: Project
    engine: Engine
    installer: Installer
    options: tuple[str, ...] = ()

    def lay_out(self, state: State, edit: str) -> Site:
        directory = _context(self.world, self.project, self.installer, state, edit, copied=False)
        return Site(directory=directory, reference=f"{self.world.repository}:bench")

    def build(self, site: Site) -> None:
        # The inline cache is what lets a fresh runner find the packages' layer in the image that was pushed before.
        inline = ("--build-arg", "BUILDKIT_INLINE_CACHE=1", *self.options)
        self._docker_build(site.directory, "--tag", site.reference, *inline)
        self.docker("push", "--quiet", site.reference)

    def forget(self) -> None:
        with suppress(BuildFailedError):
            self.docker("image", "rm", "--force", f"{self.world.repository}:bench")
        self.docker("image", "prune", "--force")
        # Of the build cache only the layers: cache mounts, with the wheels in them, are of another type.
        self.docker("builder", "prune", "--all", "--force", "--filter", "type=regular")

    def warm_up(self) -> None:
        """Base and wheels."""
        self.docker("pull", "--quiet", self.world.base)
        self._docker_build(_warm_up_context(self.world, self.project, self.installer))
        self.forget()

    def _docker_build(self, directory: Path, *options: str) -> None:
        argument = f"{INDEX_ARGUMENT}={self.world.index_url}"
        self.docker("build", "--quiet", "--network", "host", "--build-arg", argument, *options, str(directory))

    def docker(self, *arguments: str) -> str:
        environment = {"DOCKER_HOST": self.engine.docker_host, "DOCKER_CONFIG": "/nonexistent", "DOCKER_BUILDKIT": "1"}
        return run([self.engine.client, *arguments], environment)


ENGINE_OPTIONS = ("--bridge=none", "--iptables=false")
"""Builds use the host's network, and two Engines at once would fight over one bridge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """``docker build`` with BuildKit, and ``docker push``."""

    installer: str

    def version(self) -> str:
        names = [shutil.which(name, path="/usr/bin:/usr/sbin") or shutil.which(name) for name in ("docker", "dockerd")]
        if None in names or os.geteuid() != 0:
            raise MissingPartError("docker build: needs root, and dockerd (Debian package docker.io)")
        engine = run([str(names[1]), "--version"]).split(",")[0].replace("Docker version", "Docker Engine")
        return f"{engine}, BuildKit, {_uv_version() if self.installer == 'uv' else 'pip of the base'}"

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
                options=("--cache-from", f"{world.repository}:bench"),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _BuildahMachine:
    world: World
    project: Project
    root: Path
    installer: Installer = field(default_factory=Installer.pip)

    def lay_out(self, state: State, edit: str) -> Site:
        directory = _context(self.world, self.project, self.installer, state, edit, copied=True)
        return Site(directory=directory, reference=f"{self.world.repository}:bench")

    def build(self, site: Site) -> None:
        self._bud(site.directory, "--tag", site.reference)
        self.buildah("push", "--quiet", "--tls-verify=false", site.reference, f"docker://{site.reference}")

    def forget(self) -> None:
        kept = self.buildah("images", "--quiet", "--no-trunc", self.world.base).split()
        for image in self.buildah("images", "--all", "--quiet", "--no-trunc").split():
            if image not in kept:
                with suppress(BuildFailedError):
                    self.buildah("rmi", "--force", image)

    def warm_up(self) -> None:
        """Base and wheels."""
        self.buildah("pull", "--quiet", "--tls-verify=false", self.world.base)
        self._bud(_warm_up_context(self.world, self.project, self.installer))
        self.forget()

    def _bud(self, directory: Path, *options: str) -> None:
        argument = f"{INDEX_ARGUMENT}={self.world.index_url}"
        common = ("--quiet", "--layers", "--isolation", "chroot", "--network", "host", "--tls-verify=false")
        self.buildah("bud", *common, "--build-arg", argument, *options, str(directory))

    def buildah(self, *arguments: str) -> str:
        # TMPDIR: where buildah keeps cache mounts.
        where = ["--root", f"{self.root}/storage", "--runroot", f"{self.root}/run", "--storage-driver", "overlay"]
        environment = {"TMPDIR": str(self.root), "REGISTRY_AUTH_FILE": f"{self.root}/auth.json"}
        return run(["buildah", *where, *arguments], environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """``buildah bud`` and ``buildah push``, as root, on the kernel's overlay file system."""

    installer: str = "uv"

    def version(self) -> str:
        if shutil.which("buildah") is None or os.geteuid() != 0:
            raise MissingPartError("buildah: needs root, and the Debian package buildah")
        return f"{' '.join(run(['buildah', '--version']).split()[::2][:2])}, {_uv_version()}"

    @contextmanager
    def _machine(self, world: World, project: Project) -> Iterator[_BuildahMachine]:
        with tempfile.TemporaryDirectory(prefix="buildah-", ignore_cleanup_errors=True) as scratch:
            root = Path(scratch)
            (root / "auth.json").write_text("{}")
            with no_mount_left(root):
                installer = _installer(self.installer, world)
                yield _BuildahMachine(world=world, project=project, root=root, installer=installer)

    @contextmanager
    def warm(self, world: World, project: Project) -> Iterator[Machine]:
        with self._machine(world, project) as machine:
            machine.warm_up()
            yield machine

    def fresh(self, world: World, project: Project) -> AbstractContextManager[Machine]:
        return self._machine(world, project)


def _uv_version() -> str:
    from uv import find_uv_bin

    return " ".join(run([find_uv_bin(), "--version"]).split()[:2])


CONTENDERS: Mapping[str, Contender] = {
    "rayimage": Rayimage(),
    "docker-uv": Docker(installer="uv"),
    "docker-pip": Docker(installer="pip"),
    "buildah-uv": Buildah(),
}
