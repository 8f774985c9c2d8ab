"""A wheel built inside the base, for what compiles: against its Python, its headers and its C library."""

from __future__ import annotations

import os
import platform
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from threading import Lock
from typing import TYPE_CHECKING, Final

from rayimage.base import ResolvedBase
from rayimage.builders.docker.apt import apt_files, apt_script
from rayimage.builders.docker.environment import in_container
from rayimage.builders.docker.load import connect
from rayimage.builders.docker.run import find_or_bring
from rayimage.builders.docker.step import WORK, Step, engine_failure, run_step
from rayimage.builders.wheel_build import EPOCH, last_words
from rayimage.errors import EngineError
from rayimage.model.digest import Digest
from rayimage.model.inventory import Inventory
from rayimage.model.manifest import canonical_json
from rayimage.model.platform import MACHINES
from rayimage.model.progress import SILENT, Progress
from rayimage.model.system import SystemSettings
from rayimage.specs.exporters import find_uv

if TYPE_CHECKING:
    import docker

__all__ = ["BaseWheels"]

_SOURCE: Final = f"{WORK}/source"
_MADE: Final = "/tmp/rayimage-wheel"  # noqa: S108 - in a container
# Debug information names every file of the build, random directories included, and triples a library.
_FLAGS: Final = {"CFLAGS": "-g0", "CXXFLAGS": "-g0", "SOURCE_DATE_EPOCH": str(EPOCH)}


class BaseWheels:
    """Builds wheels in the given bases (by the digest of their manifest), with ``packages`` of apt's in them."""

    def __init__(
        self,
        bases: Mapping[Digest, ResolvedBase],
        packages: Sequence[str] = (),
        settings: SystemSettings | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self._bases = dict(bases)
        self._packages = tuple(packages)
        self._settings = settings or SystemSettings()
        self._progress = progress
        self._preparing = Lock()

    def identity(self, base: Inventory) -> dict[str, object]:
        """What a wheel that is built here depends on besides its source."""
        return {"base": str(base.image), "packages": sorted(self._packages), **self._settings.identity()}

    @staticmethod
    def absence() -> EngineError | None:
        """Why nothing can be built here: no Engine answers."""
        try:
            connect().close()
        except EngineError as error:
            return error
        return None

    def build(self, base: Inventory, tree: Path, package: Path, made: Path) -> tuple[Path | None, str]:
        """Build ``package``, a directory in ``tree``: the wheel below ``made`` (None when it fails), and what was said.

        Raises EngineError when no Engine answers, or when the base or apt's packages cannot be had.
        """
        client = connect()
        try:
            with self._preparing:  # Threads that want the same image wait for one to make it.
                image = self._image(client, base)
            return self._build(client, image, base, tree, package, made)
        finally:
            client.close()

    def _image(self, client: docker.DockerClient, base: Inventory) -> str:
        """The base, or one with what is needed to build."""
        from docker.errors import DockerException, ImageNotFound

        image = find_or_bring(client, self._bases[base.image], self._progress)
        if not self._packages:
            return image
        name, tag = "rayimage-build", Digest.of(canonical_json(self.identity(base))).short
        try:
            return str(client.images.get(f"{name}:{tag}").id)
        except ImageNotFound:
            self._progress.note(f"installing {', '.join(self._packages)} into a copy of the base, to build in it")
        except DockerException as error:
            raise engine_failure("the Docker Engine cannot look for an image", error) from error
        environment, files = in_container(os.environ)
        step = Step(
            image=image,
            script=f"{apt_script(self._packages, self._settings)}rm -rf {WORK}\n",
            user="0",
            environment=environment,
            files={**files, **apt_files(self._settings)},
        )
        with run_step(client, step) as ran:
            if ran.code:
                raise EngineError(
                    f"the build-packages {', '.join(self._packages)} cannot be installed",
                    why=last_words(ran.output),
                    fix="correct build-packages, or name a repository that has them under [images.ROLE.system]",
                )
            try:
                return str(ran.container.commit(name, tag).id)
            except DockerException as error:
                raise engine_failure("the Docker Engine cannot keep an image", error) from error

    def _build(  # noqa: PLR0913, PLR0917 - the parts of one call
        self, client: docker.DockerClient, image: str, base: Inventory, tree: Path, package: Path, made: Path
    ) -> tuple[Path | None, str]:
        layout = base.layout
        files: dict[str, Path | bytes] = {_SOURCE: tree}
        uv = "uv"
        if platform.system() == "Linux" and platform.machine() == MACHINES.get(base.platform.architecture):
            uv = f"{WORK}/uv"
            files[uv] = Path(find_uv())
        environment, more = in_container(os.environ)
        command = [uv, "build", "--wheel", "--no-progress", "--no-python-downloads", "--python", layout.interpreter]
        inside = PurePosixPath(_SOURCE, package.relative_to(tree).as_posix())
        step = Step(
            image=image,
            script=f"exec {shlex.join([*command, '--out-dir', _MADE, str(inside)])}\n",
            user=f"{layout.uid}:{layout.gid}",
            environment={**environment, **_FLAGS, "HOME": "/tmp", "UV_CACHE_DIR": "/tmp/rayimage-uv"},  # noqa: S108
            files={**files, **more},
            owner=(layout.uid, layout.gid),
        )
        with run_step(client, step) as ran:
            if ran.code:
                return None, ran.output
            blocks, _ = ran.container.get_archive(_MADE)
            with TemporaryFile() as buffer:
                for block in blocks:
                    buffer.write(block)
                buffer.seek(0)
                return _only_wheel(buffer, made), ran.output


def _only_wheel(buffer: object, made: Path) -> Path | None:
    made.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        archive = stack.enter_context(tarfile.open(fileobj=buffer))  # type: ignore[call-overload]
        wheels = [member for member in archive if member.isfile() and member.name.endswith(".whl")]
        if len(wheels) != 1:
            return None
        content = archive.extractfile(wheels[0])
        target = made / PurePosixPath(wheels[0].name).name
        with target.open("wb") as file:
            while block := content.read(1 << 20):
                file.write(block)
        return target
