"""Programs run inside a base image, in a container of the local Engine.

For what must execute in the base although nothing is built: pip-tools resolves for the interpreter it runs in. The
base comes into the Engine once, by its digest: pulled from its registry, or loaded from its layout. It stays there, as
pulled images do; the containers do not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from threading import Lock
from typing import TYPE_CHECKING

from rayimage.base import ResolvedBase
from rayimage.builders.docker.load import archive_of, connect, load_archive
from rayimage.builders.docker.step import engine_failure
from rayimage.model.content import Blob
from rayimage.model.digest import Digest
from rayimage.model.execution import BaseCommand
from rayimage.model.progress import SILENT, Progress

if TYPE_CHECKING:
    import docker
    from docker.types import Mount

__all__ = ["BaseRunner", "find_or_bring", "loaded_name"]


class BaseRunner:
    """A ``RunInBase`` for the given bases (by the digest of their manifest)."""

    def __init__(self, bases: Mapping[Digest, ResolvedBase], progress: Progress = SILENT) -> None:
        self._bases = dict(bases)
        self._progress = progress
        self._loading = Lock()

    def __call__(self, command: BaseCommand) -> CompletedProcess[str]:
        """Run the command; raises EngineError when no Engine answers, or it cannot have or run the base."""
        client = connect()
        try:
            with self._loading:  # Threads that want the same base wait for one to bring it.
                image = find_or_bring(client, self._bases[command.image], self._progress)
            return _run(client, image, command)
        finally:
            client.close()


def find_or_bring(client: docker.DockerClient, base: ResolvedBase, progress: Progress) -> str:
    """The Engine's ID of the base's image, which is brought into the Engine if need be. Raises EngineError."""
    from docker.errors import DockerException, ImageNotFound

    loaded = loaded_name(base)
    name = loaded or _pulled_name(base)
    # An image is known by its config's digest, or, with the containerd image store, by its manifest's.
    for known in (str(base.manifest.config.digest), name):
        try:
            image = client.images.get(known)
            if loaded and loaded not in image.tags:  # it came as something else, and a Dockerfile says FROM name
                image.tag(*loaded.split(":"))
            return str(image.id)
        except ImageNotFound:  # noqa: PERF203 - two questions
            continue
        except DockerException as error:
            raise engine_failure(f"the Docker Engine cannot look for {base.name}", error) from error
    progress.note(f"bringing {base.name} into the Engine, to run in it")
    if loaded:
        layers = [Blob(descriptor=layer, open=partial(base.source.open_blob, layer)) for layer in base.manifest.layers]
        return load_archive(archive_of(base.config.raw, layers, name), name, client)
    repository, _, digest = name.partition("@")
    try:
        return str(client.images.pull(repository, tag=digest, platform=str(base.platform)).id)
    except DockerException as error:
        raise engine_failure(f"the Docker Engine cannot pull {name}", error) from error


def loaded_name(base: ResolvedBase) -> str | None:
    """What a base is called that is loaded into the Engine, since no registry has it as it is; None: it is pulled."""
    return f"rayimage-base:{base.digest.short}" if base.origin is None or base.made_on else None


def _pulled_name(base: ResolvedBase) -> str:
    assert base.origin is not None  # noqa: S101
    return str(base.origin.with_digest(base.digest))


def _run(client: docker.DockerClient, image: str, command: BaseCommand) -> CompletedProcess[str]:
    from docker.errors import DockerException
    from docker.types import LogConfig
    from requests.exceptions import RequestException

    mounts = [_mount(path, read_only=True) for path in command.readable]
    mounts += [_mount(path, read_only=False) for path in command.writable]
    try:
        container = client.containers.create(
            image,
            entrypoint=[command.arguments[0]],
            command=list(command.arguments[1:]),
            environment=dict(command.environment),
            working_dir=str(command.directory),
            user=f"{os.getuid()}:{os.getgid()}",
            mounts=mounts,
            # A package index or a proxy on this machine must be where its URL says.
            network_mode="host",
            log_config=LogConfig(type="json-file"),
        )
        try:
            container.start()
            code = int(container.wait()["StatusCode"])
            output, errors = (
                container.logs(stdout=which, stderr=not which).decode(errors="replace") for which in (True, False)
            )
        finally:
            container.remove(force=True)
    except (DockerException, RequestException) as error:
        raise engine_failure("the Docker Engine cannot run the base", error) from error
    return CompletedProcess(command.arguments, code, output, errors)


def _mount(path: Path, *, read_only: bool) -> Mount:
    from docker.types import Mount

    return Mount(target=str(path), source=str(path.resolve()), type="bind", read_only=read_only)
