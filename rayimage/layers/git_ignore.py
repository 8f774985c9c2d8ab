"""``.gitignore`` files of a tree, nested ones and those of the repository above it included, by git's rules.

``.git/info/exclude`` and a user's global excludes are of one machine and not read; neither is the index, so a file that
is tracked although a pattern ignores it stays out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from rayimage.errors import UsageError

__all__ = ["GitIgnores"]

_FILE = ".gitignore"


@dataclass(frozen=True, slots=True)
class _Scope:
    """The patterns of one file: paths lose ``inner`` (where the file lies in the tree) and gain ``outer``."""

    spec: GitIgnoreSpec
    inner: str = ""
    outer: str = ""

    def decision(self, path: str) -> bool | None:
        return self.spec.check_file(self.outer + path.removeprefix(self.inner)).include


@dataclass(frozen=True, slots=True)
class GitIgnores:
    """The files that apply in a directory, the deepest first."""

    scopes: tuple[_Scope, ...] = ()

    @classmethod
    def above(cls, root: Path) -> GitIgnores:
        """Those of the directories above ``root``, as far as its repository reaches; none without a repository."""
        root = root.resolve()
        top = next((directory for directory in (root, *root.parents) if (directory / ".git").exists()), root)
        scopes = []
        for directory in root.parents if top != root else ():
            spec = _read(directory / _FILE)
            if spec:
                scopes.append(_Scope(spec, outer=f"{root.relative_to(directory).as_posix()}/"))
            if directory == top:
                break
        # A tree that lies in an ignored directory was named on purpose.
        if any(scope.decision("") for scope in scopes):
            return cls()
        return cls(tuple(scopes))

    def within(self, root: Path, directory: str) -> GitIgnores:
        """Those that apply in ``directory`` (relative, ``""`` or with a last ``/``), its own first."""
        spec = _read(root / directory / _FILE)
        return GitIgnores((_Scope(spec, inner=directory), *self.scopes)) if spec else self

    def ignore(self, path: str, *, is_directory: bool) -> bool:
        """Whether ``path`` (relative to the tree) is ignored, given that no directory above it is."""
        path = f"{path}/" if is_directory else path
        decisions = (scope.decision(path) for scope in self.scopes)
        return next((decision for decision in decisions if decision is not None), False)


def _read(file: Path) -> GitIgnoreSpec | None:
    try:
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
        return GitIgnoreSpec.from_lines(text.splitlines())
    except (FileNotFoundError, IsADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {os.fspath(file)}", why=str(error), fix="repair or remove the file") from error
