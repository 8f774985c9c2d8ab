"""``.gitignore`` files of a tree, nested ones and those of the repository above it included, by git's rules.

``.git/info/exclude`` and a user's global excludes are of one machine and not read; neither is the index, so a file that
is tracked although a pattern ignores it stays out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rayimage.errors import UsageError
from rayimage.layers.git_pattern import GitPattern

__all__ = ["GitIgnores"]

_FILE = ".gitignore"


@dataclass(frozen=True, slots=True)
class _Scope:
    """The patterns of one file, last first: paths lose ``inner`` (where it lies in the tree) and gain ``outer``."""

    patterns: tuple[GitPattern, ...]
    inner: str = ""
    outer: str = ""

    def decision(self, path: str, *, is_directory: bool) -> bool | None:
        """The last pattern that matches decides, here; without one, files further up do."""
        path = self.outer + path.removeprefix(self.inner)
        hits = (pattern for pattern in self.patterns if pattern.matches(path, is_directory=is_directory))
        return next((not pattern.restores for pattern in hits), None)


@dataclass(frozen=True, slots=True)
class GitIgnores:
    """The files that apply in a directory, the deepest first."""

    scopes: tuple[_Scope, ...] = ()

    @classmethod
    def above(cls, root: Path) -> GitIgnores:
        """Those of the directories above ``root``, as far as its repository reaches; none without a repository.

        That ``root`` itself is ignored does not matter: it was named on purpose.
        """
        root = root.resolve()
        top = next((directory for directory in (root, *root.parents) if (directory / ".git").exists()), root)
        scopes = []
        for directory in root.parents if top != root else ():
            patterns = _read(directory / _FILE)
            scopes.append(_Scope(patterns, outer=f"{root.relative_to(directory).as_posix()}/"))
            if directory == top:
                break
        return cls(tuple(scopes))

    def within(self, root: Path, directory: str) -> GitIgnores:
        """Those that apply in ``directory`` (relative, ``""`` or with a last ``/``), its own first."""
        patterns = _read(root / directory / _FILE)
        return GitIgnores((_Scope(patterns, inner=directory), *self.scopes)) if patterns else self

    def ignore(self, path: str, *, is_directory: bool) -> bool:
        """Whether ``path`` (relative to the tree) is ignored, given that no directory above it is."""
        decisions = (scope.decision(path, is_directory=is_directory) for scope in self.scopes)
        return next((decision for decision in decisions if decision is not None), False)


def _read(file: Path) -> tuple[GitPattern, ...]:
    try:
        lines = file.read_bytes().decode("utf-8-sig", "surrogateescape").split("\n")
    except (FileNotFoundError, IsADirectoryError):
        return ()
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"cannot read {file}", why=why, fix="make it readable, or remove it") from error
    patterns = (GitPattern.parse(line.removesuffix("\r")) for line in reversed(lines))
    return tuple(pattern for pattern in patterns if pattern)
