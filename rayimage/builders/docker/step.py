"""A shell script run in an image by the Engine: files in, output and a stopped container out.

Files go in and come out through the Engine's archive calls, not by mounts: they have the same paths on every machine,
and nothing of this machine's is written down by what runs.
"""

from __future__ import annotations

import io
import shlex
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final

from rayimage.errors import EngineError

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

__all__ = ["WORK", "Ran", "Step", "engine_failure", "run_step"]


WORK: Final = "/tmp/rayimage"  # noqa: S108 - in a container, and left out of every layer
_SCRIPT: Final = f"{WORK}/run.sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A script for /bin/sh and what it needs.

    ``image`` is what the Engine calls the image, ``user`` is empty for the image's own. ``environment`` is the script's
    and no part of the container's configuration, which whoever commits the container would keep. ``files`` maps
    absolute paths in the container to files and directories of this machine, or to
    content; they belong to ``owner`` (uid and gid). ``mounts`` maps the like to files that are mounted read-only and
    leave nothing behind. ``memory`` is a limit in bytes.
    """

    image: str
    script: str
    user: str = ""
    directory: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path | bytes] = field(default_factory=dict)
    owner: tuple[int, int] = (0, 0)
    mounts: Mapping[str, Path] = field(default_factory=dict)
    memory: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a step ended; ``container`` is stopped, and gone when the context ends."""

    code: int
    output: str
    container: Container


@contextmanager
def run_step(client: docker.DockerClient, step: Step) -> Iterator[Ran]:
    """Run ``step`` with the host's network; raises EngineError when the Engine cannot."""
    from docker.errors import DockerException
    from docker.types import LogConfig, Mount
    from requests.exceptions import RequestException

    container = None
    try:
        try:
            container = client.containers.create(
                step.image,
                entrypoint=["/bin/sh"],
                command=[_SCRIPT],
                working_dir=step.directory,
                user=step.user or None,
                # A package index or a proxy on this machine must be where its URL says.
                network_mode="host",
                log_config=LogConfig(type="json-file"),
                mounts=[
                    Mount(target=target, source=str(path.resolve()), type="bind", read_only=True)
                    for target, path in step.mounts.items()
                ],
                mem_limit=step.memory or None,
                memswap_limit=step.memory or None,
            )
            exports = [f"export {key}={shlex.quote(value)}\n" for key, value in step.environment.items()]
            script = "".join([*exports, step.script]).encode()
            with TemporaryFile() as buffer:
                _archive(buffer, {**step.files, _SCRIPT: script}, step.owner)
                container.put_archive("/", buffer)
            container.start()
            code = int(container.wait()["StatusCode"])
            output = container.logs(stdout=True, stderr=True).decode(errors="replace")
        except (DockerException, RequestException) as error:
            raise engine_failure("the Docker Engine cannot run a step in the base", error) from error
        yield Ran(code=code, output=output, container=container)
    finally:
        if container is not None:
            container.remove(force=True, v=True)


def engine_failure(what: str, error: Exception) -> EngineError:
    """The error for what an Engine refused."""
    text = str(error)
    if "bind source path does not exist" in text:
        fix = "use an Engine on this machine: the one of DOCKER_HOST does not see this machine's files"
    elif "exec format error" in text:
        fix = "use an Engine of the base's architecture, or one with emulation for it"
    else:
        fix = "see the Engine's log"
    return EngineError(what, why=text, fix=fix)


def _archive(buffer: IO[bytes], files: Mapping[str, Path | bytes], owner: tuple[int, int]) -> None:
    """What goes in, with all directories of WORK that it takes: those that the Engine makes itself are root's."""

    def owned(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid, info.gid, info.uname, info.gname = (*owner, "", "")
        return info

    above = {str(parent) for target in files for parent in PurePosixPath(target).parents}
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for directory in sorted(path for path in above if path == WORK or path.startswith(f"{WORK}/")):
            work = tarfile.TarInfo(directory.lstrip("/"))
            work.type, work.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(owned(work))
        for target, content in files.items():
            name = target.lstrip("/")
            if isinstance(content, Path):
                archive.add(content, name, filter=owned)
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(owned(info), io.BytesIO(content))
    buffer.seek(0)
