"""A build that failed, as an error: the step, the last lines of its output, and how to run it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rayimage.errors import EngineError
from rayimage.model.platform import Platform
from rayimage.specs.findings import without_secrets

__all__ = ["FailedStep", "reproducing", "step_error"]

_LAST: Final = 12
_SHOWN: Final = 100
_MOUNT: Final = re.compile(r"--mount=\S+\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedStep:
    """A step of a Dockerfile; ``cause`` is what the builder says about it, ``output`` what the step itself said."""

    name: str
    output: tuple[str, ...]
    cause: str


def reproducing(context: Path, *, buildkit: bool, platform: Platform) -> str:
    """The shell command that runs a build again without rayimage."""
    prefix = "DOCKER_BUILDKIT=1 " if buildkit else "DOCKER_BUILDKIT=0 "
    return f"{prefix}docker build --network host --platform {platform} {shlex.quote(str(context))}"


def step_error(step: FailedStep | None, lines: Sequence[str], *, code: int, again: str) -> EngineError:
    """The error for a failed build; ``lines`` is all that was said, for failures that are no step's."""
    if step is None:
        said = [line for line in lines if line.strip()][-_LAST:] or [f"exit code {code}, without a word"]
        what = "docker build failed"
    else:
        said = [*[line for line in step.output if line.strip()][-_LAST:], step.cause]
        what = f"docker build failed at {_short(step.name)}" if step.name else "docker build failed"
    why = without_secrets("\n".join(said))
    return EngineError(what, why=why, fix=f"{_advice(why)}; run it again: {again}")


def _advice(text: str) -> str:
    lowered = text.lower()
    if "exec format error" in lowered:
        return "use an Engine of the image's architecture, or one with emulation for it (binfmt_misc)"
    if "do not match the hashes" in lowered or "hash mismatch" in lowered:
        return "find out what changes files on the way, or run `rayimage lock` if their publisher replaced them"
    if "no matching distribution" in lowered or "no solution found" in lowered:
        return "name the index that has the package (docs/docker-builder.md), or use --wheelhouse, which downloads here"
    if "certificate" in lowered:
        return "name the certificates to trust in PIP_CERT or SSL_CERT_FILE, or use --wheelhouse, which downloads here"
    if "no space left" in lowered:
        return "make room where the Engine keeps its images (`docker system df`)"
    return "mend what the step says"


def _short(name: str) -> str:
    plain = " ".join(_MOUNT.sub("", name).split())
    return plain if len(plain) <= _SHOWN else f"{plain[: _SHOWN - 1]}…"
