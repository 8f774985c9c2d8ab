"""``buildah bud`` and ``buildah push``."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.contenders.checkout import context, uv_version, warm_up_context
from benchmarks.contenders.contender import Machine, Site, World
from benchmarks.dockerfiles import INDEX_ARGUMENT, Installer
from benchmarks.process import BuildFailedError, run
from benchmarks.projects import Project, State
from tests.support.services import MissingPartError, no_mount_left

__all__ = ["Buildah"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _BuildahMachine:
    world: World
    project: Project
    root: Path
    installer: Installer

    def lay_out(self, state: State, edit: str) -> Site:
        directory = context(self.world, self.project, self.installer, state, edit)
        return Site(directory=directory, reference=f"{self.world.stage.repository}:bench")

    def build(self, site: Site) -> None:
        self._bud(site.directory, "--tag", site.reference)
        self.buildah("push", "--quiet", "--tls-verify=false", site.reference, f"docker://{site.reference}")

    def forget(self) -> None:
        kept = [self._images(name) for name in (self.world.stage.base, self.world.stage.uv_image)]
        for _ in range(20):  # One that another is made of goes after it.
            others = [image for image in self._images("--all").split() if image not in kept]
            if not others:
                return
            for image in others:
                with suppress(BuildFailedError):
                    self.buildah("rmi", "--force", image)
        raise BuildFailedError("buildah does not remove the images that it made")

    def warm_up(self) -> None:
        """Base and wheels."""
        for image in (self.world.stage.base, self.world.stage.uv_image):
            self.buildah("pull", "--quiet", "--tls-verify=false", image)
        self._bud(warm_up_context(self.world, self.project, self.installer))
        self.forget()

    def _images(self, which: str) -> str:
        return self.buildah("images", "--quiet", "--no-trunc", which).strip()

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

    def version(self) -> str:
        if shutil.which("buildah") is None or os.geteuid() != 0:
            raise MissingPartError("buildah: needs root, and the Debian package buildah")
        return f"{' '.join(run(['buildah', '--version']).split()[::2][:2])}, {uv_version()}"

    @contextmanager
    def _machine(self, world: World, project: Project) -> Iterator[_BuildahMachine]:
        with tempfile.TemporaryDirectory(prefix="buildah-", ignore_cleanup_errors=True) as scratch:
            root = Path(scratch)
            (root / "auth.json").write_text("{}")
            with no_mount_left(root):
                installer = replace(Installer.uv(world.stage.uv_image), copied=True)
                yield _BuildahMachine(world=world, project=project, root=root, installer=installer)

    @contextmanager
    def warm(self, world: World, project: Project) -> Iterator[Machine]:
        with self._machine(world, project) as machine:
            machine.warm_up()
            yield machine

    def fresh(self, world: World, project: Project) -> AbstractContextManager[Machine]:
        return self._machine(world, project)
