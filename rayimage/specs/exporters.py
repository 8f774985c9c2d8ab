"""Other tools' own exporters: what a lock says, in the words of the tool that wrote it.

Nothing is downloaded or locked: uv is told not to, and the others only translate their file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from rayimage.cachedir import CacheDir, Kind
from rayimage.errors import ConfigError
from rayimage.model.digest import Digest
from rayimage.processes import run_captured
from rayimage.specs.findings import without_secrets
from rayimage.specs.pyproject import Selection

__all__ = ["export_pdm", "export_poetry", "export_uv", "find_uv"]


def find_uv() -> str:
    """The uv that rayimage was installed with, else the one on PATH; raises ConfigError when there is none."""
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if not found:
        raise ConfigError("uv was not found", why="it is neither beside rayimage nor on PATH", fix="pip install uv")
    return found


def export_uv(project: Path, selection: Selection) -> str:
    """What the uv.lock of ``project``, or of its workspace, has for ``selection``: a pylock.toml.

    Paths in it are relative to ``project``. Raises ConfigError with uv's words.
    """
    command = [find_uv(), "export", "--quiet", "--frozen", "--no-header", "--format", "pylock.toml"]
    command += ["--no-python-downloads", "--no-default-groups", "--no-emit-project"]
    if not selection.dependencies:
        command += [argument for group in selection.groups for argument in ("--only-group", group)]
    else:
        command += [argument for extra in selection.extras for argument in ("--extra", extra)]
        command += [argument for group in selection.groups for argument in ("--group", group)]
    # A virtual environment of ours is not the project's; uv would warn of it.
    env = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    done = _run(command, project, env)
    if done.returncode:
        why = without_secrets(done.stderr.strip().removeprefix("error: "))
        raise ConfigError(f"uv cannot read the lock of {project}", why=why, fix="correct it, or run `uv lock`")
    return done.stdout


def export_poetry(lock: Path, selection: Selection, cache_dir: Path | None) -> str | None:
    """What a poetry.lock has for ``selection`` as requirements; None without poetry and its export plugin."""
    groups = ["main", *selection.groups] if selection.dependencies else selection.groups
    command = ["export", "--no-interaction", "--no-ansi", "--format", "requirements.txt"]
    command += ["--only", ",".join(groups), *(f"--extras={extra}" for extra in selection.extras)]
    return _export("poetry", command, lock, cache_dir)


def export_pdm(lock: Path, selection: Selection, cache_dir: Path | None) -> str | None:
    """What a pdm.lock has for ``selection`` as requirements; None without pdm."""
    command = ["export", "--format", "requirements", "--lockfile", lock.name]
    command += [] if selection.dependencies else ["--no-default"]
    wanted = (*selection.extras, *selection.groups)
    return _export("pdm", [*command, *(f"--group={name}" for name in wanted)], lock, cache_dir)


def _export(tool: str, arguments: Sequence[str], lock: Path, cache_dir: Path | None) -> str | None:
    """The tool's answer, kept between runs: Python programs take seconds where a lock should take none."""
    program = shutil.which(tool)
    if program is None:
        return None
    cache = CacheDir(cache_dir) if cache_dir else None
    kept = cache.path(Kind.EXPORTS, _key(program, arguments, lock).hex) if cache else None
    if cache and kept and (text := cache.read_sealed(kept)) is not None:
        return text.decode()
    done = _run([program, *arguments], lock.parent, dict(os.environ))
    if done.returncode:  # Without its plugin, or unable to: the file says the same, read by ourselves.
        return None
    if cache and kept:
        with suppress(OSError):  # An answer that is not kept costs the time of asking again.
            cache.write_sealed(kept, done.stdout.encode(), mode=0o600)
    return done.stdout


def _key(program: str, arguments: Sequence[str], lock: Path) -> Digest:
    """Of all that the answer depends on."""
    return Digest.of(b"\0".join([program.encode(), *(text.encode() for text in arguments), *_contents(lock)]))


def _contents(lock: Path) -> Iterator[bytes]:
    for file in (lock, lock.parent / "pyproject.toml"):
        yield str(file).encode()
        yield file.read_bytes() if file.is_file() else b""


def _run(command: Sequence[str], directory: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return run_captured(command, env=env, cwd=directory)
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be started", why=str(error), fix="reinstall it") from error
