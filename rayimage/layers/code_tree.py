"""Which files of a project are its code."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from rayimage.errors import UsageError
from rayimage.files import UNFINISHED
from rayimage.layers.docker_ignore import DockerPatterns
from rayimage.layers.git_ignore import GitIgnores
from rayimage.layers.names import fault_in

__all__ = ["CodeTree", "collect_code"]

_NEVER: Final = (
    *(".git", ".hg", ".svn", ".DS_Store", ".venv"),
    *(".netrc", ".pypirc", ".git-credentials"),
    *("__pycache__", "*.pyc", "*.pyo", f"*{UNFINISHED}"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".pytype", ".hypothesis", ".tox", ".nox", ".ipynb_checkpoints"),
)
"""Never code, whatever a pattern says: another machine's, a person's, or changing without a change of the project."""
_MARKS: Final = ("pyvenv.cfg", "oci-layout")
"""A directory with one of these is not code either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTree:
    """The files and symbolic links below ``root`` that go into the image (relative, sorted); ``size`` in bytes."""

    root: Path
    files: tuple[str, ...]
    size: int = 0


def collect_code(root: Path, *, exclude: Sequence[str] = ()) -> CodeTree:
    """Find the code below ``root``.

    What ``.gitignore`` files ignore stays out, so does what ``.dockerignore`` excludes; ``exclude`` are more patterns
    in Docker's notation, which come last and so may bring something back (``!generated/*.py``), even from git's.
    Ignored directories are not read. Symbolic links are kept as links.

    Raises UsageError for a link that leaves the tree, and for sockets, pipes and devices; all of them at once.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a directory", fix="name the directory that holds the code")
    walk = _Walk(root, DockerPatterns.parse(_lines(root / ".dockerignore"), ".dockerignore"), exclude)
    walk.run(GitIgnores.above(root))
    if walk.faults:
        raise UsageError(
            f"the code in {root} cannot be copied",
            why="; ".join(sorted(walk.faults)),
            fix="remove these files, or list them in .dockerignore",
        )
    return CodeTree(root=root, files=tuple(sorted(walk.files)), size=walk.size)


class _Walk:
    def __init__(self, root: Path, docker: DockerPatterns, exclude: Sequence[str]) -> None:
        self.files: list[str] = []
        self.faults: list[str] = []
        self.size = 0
        self._root = root
        self._real_root = root.resolve()
        self._docker = docker
        self._extra = DockerPatterns.parse(exclude)
        self._todo: list[tuple[str, GitIgnores, bool]] = []

    def run(self, git: GitIgnores) -> None:
        """Visit every directory that may hold code; without recursion, since nothing bounds how deep they go."""
        self._todo = [("", git, False)]
        while self._todo:
            directory, git, ignored = self._todo.pop()
            self._visit(directory, git, ignored=ignored)

    def _visit(self, directory: str, git: GitIgnores, *, ignored: bool) -> None:
        """Take what is code in ``directory`` (``""`` or with a last ``/``); ``ignored`` is git's word on it."""
        try:
            entries = list(os.scandir(self._root / directory))
        except OSError as error:
            self.faults.append(f"{directory} ({error.strerror})")
            return
        git = git if ignored else git.within(self._root, directory)
        for entry in entries:
            if not any(fnmatchcase(entry.name, pattern) for pattern in _NEVER):
                self._consider(entry, f"{directory}{entry.name}", git, ignored=ignored)

    def _consider(self, entry: os.DirEntry[str], path: str, git: GitIgnores, *, ignored: bool) -> None:
        is_directory = entry.is_dir(follow_symlinks=False)
        ignored = ignored or git.ignore(path, is_directory=is_directory)
        excluded = self._extra.excludes(path, already=ignored or self._docker.excludes(path))
        if is_directory:
            if (not excluded or self._may_return(path, ignored=ignored)) and not _is_made(entry):
                self._todo.append((f"{path}/", git, ignored))
        elif not excluded and not (entry.is_symlink() and _is_made(entry)):
            self._take(entry, path)

    def _may_return(self, directory: str, *, ignored: bool) -> bool:
        in_docker = not ignored and self._docker.may_restore_below(directory)
        return in_docker or self._extra.may_restore_below(directory)

    def _take(self, entry: os.DirEntry[str], path: str) -> None:
        info = entry.stat(follow_symlinks=False)
        why = fault_in(path)
        if not why and stat.S_ISLNK(info.st_mode):
            target = os.readlink(entry.path)  # noqa: PTH115 - as written, not normalised
            why = f"a link out of the tree, to {target}" if self._leaves(path, target) else ""
        elif not why and not stat.S_ISREG(info.st_mode):
            why = "neither a file, a directory nor a link"
        if why:
            self.faults.append(f"{path!a}: {why}")
            return
        self.files.append(path)
        self.size += info.st_size if stat.S_ISREG(info.st_mode) else 0

    def _leaves(self, path: str, target: str) -> bool:
        """As written and as the file system has it now: links on the way may lead elsewhere in the image."""
        written = os.path.normpath(os.path.join(os.path.dirname(path), target))  # noqa: PTH118, PTH120
        if target.startswith("/") or written.split("/")[0] == "..":
            return True
        real = Path(os.path.realpath(self._root / path))
        return not real.is_relative_to(self._real_root)


def _is_made(entry: os.DirEntry[str]) -> bool:
    """A virtual environment, or the OCI layout of an earlier build."""
    return any(os.path.isfile(os.path.join(entry.path, mark)) for mark in _MARKS)  # noqa: PTH113, PTH118 - once a directory


def _lines(file: Path) -> list[str]:
    try:
        return file.read_bytes().decode("utf-8-sig", "surrogateescape").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"cannot read {file}", why=error.strerror or str(error)) from error
