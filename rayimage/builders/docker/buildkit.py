"""BuildKit, through the Docker CLI: mounts, secrets and caches are in no API of the Engine that the SDK speaks.

BuildKit wants a gRPC session beside the HTTP request, which only the CLI (and its buildx plugin, since 23.0) holds.
Which CLI works is asked, not assumed: one without its plugin is installed often enough.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rayimage.builders.docker.failure import FailedStep, reproducing, step_error
from rayimage.errors import EngineError
from rayimage.model.platform import Platform
from rayimage.specs.findings import without_secrets

__all__ = ["BuildKit", "failed_step", "find_buildkit"]

_PROBE_SECONDS: Final = 20
_STEP: Final = re.compile(r"#(\d+) (\[.*)")
_OUTPUT: Final = re.compile(r"#(\d+) (\d+\.\d+) ?(.*)")
_ERROR: Final = re.compile(r"#(\d+) ERROR: ?(.*)")
_SENT_ON: Final = ("DOCKER_CONTEXT", "BUILDX_BUILDER", "BUILDKIT_PROGRESS")
"""Would choose another Engine than the SDK talks to, or another form of output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildKit:
    """A Docker CLI that can drive BuildKit; ``options`` are those that its `build` wants on top."""

    program: str
    options: tuple[str, ...] = ()

    def build(
        self,
        context: Path,
        platform: Platform,
        secrets: Mapping[str, Path],
        arguments: Iterable[str],
        said: Callable[[str], object],
    ) -> str:
        """Build the Dockerfile in ``context``; gives the image's ID. ``said`` hears each line of output.

        ``arguments`` are names of build arguments, whose values are this process's. Raises EngineError with the failed
        step, its last lines and how to run it again.
        """
        with TemporaryDirectory(prefix="rayimage-build-") as scratch:
            iid = Path(scratch) / "iid"
            command = [self.program, "build", "--progress=plain", *self.options, f"--platform={platform}"]
            # An index or a proxy on this machine must be where its URL says.
            command += ["--network=host", f"--iidfile={iid}"]
            command += [word for name in arguments for word in ("--build-arg", name)]
            command += [word for name, path in secrets.items() for word in ("--secret", f"id={name},src={path}")]
            code, lines = _run([*command, str(context)], said)
            if code or not iid.is_file():
                again = reproducing(context, buildkit=True, platform=platform)
                raise step_error(failed_step(lines), lines, code=code, again=again)
            return iid.read_text(encoding="utf-8").strip()


def find_buildkit(environ: Mapping[str, str] = os.environ) -> BuildKit | None:
    """The first Docker CLI on PATH, or in /usr/bin, whose `build` is BuildKit's; None when there is none."""
    directories = [*environ.get("PATH", "").split(os.pathsep), "/usr/bin"]
    programs = (Path(directory) / "docker" for directory in dict.fromkeys(directories) if directory)
    return next((found for program in programs if os.access(program, os.X_OK) and (found := _probe(program))), None)


def _probe(program: Path) -> BuildKit | None:
    """Ask for the help of `build`: it has ``--secret`` with BuildKit only, and fails where the plugin is missing."""
    try:
        done = subprocess.run(
            [str(program), "build", "--help"],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode or "--secret" not in done.stdout:
        return None
    # buildx may have been told to build in a container of its own: the result would stay there, and images that were
    # loaded into the Engine are not seen from there.
    options = [option for option in ("--load", "--provenance=false") if option.partition("=")[0] in done.stdout]
    return BuildKit(program=str(program), options=(*options, *_default_builder(done.stdout)))


def _default_builder(usage: str) -> tuple[str, ...]:
    return ("--builder=default",) if "--builder" in usage else ()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _SENT_ON}
    return kept | {"DOCKER_BUILDKIT": "1", "NO_COLOR": "1"}


def _run(command: list[str], said: Callable[[str], object]) -> tuple[int, list[str]]:
    try:
        with subprocess.Popen(
            command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            lines = []
            try:
                for line in _lines(process.stdout or ()):
                    lines.append(line)
                    said(line)
            except BaseException:
                process.terminate()
                raise
            return process.wait(), lines
    except OSError as error:
        raise EngineError(
            f"{command[0]} cannot be started", why=error.strerror or str(error), fix="mend the Docker CLI"
        ) from error


def _lines(stream: Iterable[str]) -> Iterator[str]:
    for line in stream:
        yield without_secrets(line.rstrip("\r\n"))


def failed_step(lines: Iterable[str]) -> FailedStep | None:
    """The step that BuildKit's plain output says failed, with what it said; None when no step did."""
    names: dict[str, str] = {}
    said: dict[str, list[str]] = {}
    for line in lines:
        if match := _ERROR.fullmatch(line):
            return FailedStep(name=names.get(match[1], ""), output=tuple(said.get(match[1], ())), cause=match[2])
        if match := _STEP.fullmatch(line):
            names[match[1]] = match[2]
        elif match := _OUTPUT.fullmatch(line):
            said.setdefault(match[1], []).append(match[3])
    return None
