"""What wheels are built from, on this disk: an archive whose hash is right, or a commit of a git repository."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.builders.wheel_build import EPOCH, last_words
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.errors import WheelError
from rayimage.http.urls import host_and_port, split_url
from rayimage.model.lock import LockedSource, LockedWheel
from rayimage.processes import run_captured

if TYPE_CHECKING or sys.version_info >= (3, 12):
    import tarfile
else:
    from backports import tarfile  # Filters (PEP 706) came into patch releases, and Debian 12 has Python 3.11.2.

__all__ = ["fetch_source"]

_ELSEWHERE = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"})


def fetch_source(  # noqa: PLR0913 - what, from where, whereto
    name: NormalizedName,
    version: Version,
    source: LockedSource,
    *,
    into: Path,
    wheelhouse: Wheelhouse,
    accounts: Iterable[str] = (),
) -> tuple[Path, Path]:
    """Put the source into the new directory ``into``; answers the root of its tree, and the package's directory there.

    ``accounts`` are URLs with credentials for git. Raises WheelError when it cannot be had, or is not what was locked.
    """
    into.mkdir(parents=True)
    if source.commit:
        tree = _checked_out(name, source, into / "source", accounts)
    else:
        assert source.digest is not None  # noqa: S101 - archives are locked by it
        file = LockedWheel(
            name=name,
            version=version,
            filename=source.filename,
            digest=source.digest,
            size=source.size,
            url=source.url,
        )
        tree = _unpacked(wheelhouse.fetch_archive(file), source, into)
    for path in tree.rglob("*"):  # One time for all: clones are as old as today, and zip files begin in 1980.
        if not path.is_symlink():
            os.utime(path, (EPOCH, EPOCH))
    package = tree / source.subdirectory
    if not package.resolve().is_relative_to(tree.resolve()) or not package.is_dir():
        why = f"there is no directory {source.subdirectory!r} in it"
        raise WheelError(f"{source} holds no {name}", why=why, fix="correct the subdirectory in the requirement's URL")
    return tree, package


def _unpacked(archive: Path, source: LockedSource, into: Path) -> Path:
    """The one directory that the archive holds; nothing is written outside of ``into``."""
    try:
        if source.filename.endswith(".zip"):
            with zipfile.ZipFile(archive) as file:
                file.extractall(into)  # noqa: S202 - zipfile drops what leads out
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(into, filter="data")
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise WheelError(
            f"{source} cannot be unpacked", why=str(error), fix="it is what was locked: tell whoever published it"
        ) from error
    found = [path for path in into.iterdir() if path.is_dir()]
    return found[0] if len(found) == 1 else into


def _checked_out(name: NormalizedName, source: LockedSource, into: Path, accounts: Iterable[str]) -> Path:
    """A clone at the commit, with its submodules, and its history, of which backends make versions."""
    environment = _environment(os.environ, accounts)
    commands = [
        ["clone", "--quiet", "--no-checkout", source.url, str(into)],
        ["-C", str(into), "-c", "advice.detachedHead=false", "checkout", "--quiet", source.commit],
        ["-C", str(into), "submodule", "--quiet", "update", "--init", "--recursive"],
    ]
    for command in commands:
        try:
            done = run_captured(["git", *command], env=environment)
        except OSError as error:
            raise WheelError(f"{name} cannot be fetched", why=f"git: {error}", fix="install git") from error
        if done.returncode:
            raise WheelError(
                f"{name} cannot be fetched from {source}",
                why=last_words(done.stderr) or f"git {command[0]} ended with {done.returncode}",
                fix="check that the repository can be reached and still has the commit; credentials are git's own, or"
                " those in the requirement's URL",
            )
    return into


def _environment(host: Mapping[str, str], accounts: Iterable[str]) -> dict[str, str]:
    """Nobody is asked; credentials of the specs' URLs go in by its environment, where no process list shows them."""
    env = {key: value for key, value in host.items() if key not in _ELSEWHERE}
    env |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    count = int(env.get("GIT_CONFIG_COUNT", "0"))
    for url in accounts:
        parts = split_url(url)
        if parts.username:
            place = {
                "KEY": f"url.{parts.scheme}://{parts.netloc}/.insteadOf",
                "VALUE": f"{parts.scheme}://{host_and_port(url)}/",
            }
            env |= {f"GIT_CONFIG_{kind}_{count}": text for kind, text in place.items()}
            count += 1
    return env | {"GIT_CONFIG_COUNT": str(count)}
