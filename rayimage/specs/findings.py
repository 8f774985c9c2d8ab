"""What the readers of specs find, gathered in one place, and credentials kept out of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from rayimage.model.digest import Digest

__all__ = ["Findings", "digest_of", "line_of", "relative_name", "without_secrets"]

_USERINFO = re.compile(r"(?<=//)[^/?#@\s]+@")
_QUERY = re.compile(r"(//[^\s?#'\"]*)\?[^#\s'\"]*")
_FILE = re.compile(r"(?<![+\w])file:(?://(?:localhost)?)?(/[^\s#;]*)")
_ACCOUNT = re.compile(r"https?://[^/?#@\s'\"]+@[^\s#'\"]+")


@dataclass(slots=True)
class Findings:
    """What a set of spec files comes to; file names are posix paths relative to the project's root."""

    root: Path
    files: dict[str, Digest] = field(default_factory=dict)
    """Every file that was read, and the digest of its content without credentials."""
    requirements: list[Requirement] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    """The text of each requirement → the first place that has it, ``requirements.in:3``."""
    others: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was read and left out on purpose, each with the reason."""
    local: dict[NormalizedName, Path] = field(default_factory=dict)
    """Packages whose source is a directory of the project's."""
    own: list[str] | None = None
    """Extras of the project itself, where a file requires it (``-e .[gpu]``); None where none does."""
    hashes: dict[NormalizedName, set[str]] = field(default_factory=dict)
    """The sha256 digests that the files of a package may have, where the specs say."""
    indexes: list[str] = field(default_factory=list)
    """Index URLs, as uv writes them (``URL`` or ``name=URL``), credentials included."""
    accounts: list[str] = field(default_factory=list)
    """Other URLs with credentials in them."""
    python: dict[str, str] = field(default_factory=dict)
    """File → the Python versions that it is for, as a specifier."""

    def require(self, requirement: Requirement, place: str, hashes: Iterable[str] = ()) -> None:
        """Add a direct requirement that ``place`` has; ``hashes`` are hex sha256 digests."""
        clean = Requirement(self._shown(str(requirement))) if requirement.url else requirement
        self.requirements.append(clean)
        self.origins.setdefault(str(clean), place)
        if found := set(hashes):
            self.hashes.setdefault(canonicalize_name(requirement.name), set()).update(found)

    def _shown(self, text: str) -> str:
        """A requirement's text without credentials, and without the place of the project on this machine."""
        return _FILE.sub(
            lambda found: f"file:{relative_name(Path(unquote(found[1])), self.root)}", without_secrets(text)
        )

    def add_local(self, name: str, directory: Path, place: str) -> None:
        """Add a package that is built from ``directory``; two directories of one name are a problem."""
        known = self.local.setdefault(canonicalize_name(name), directory)
        if known != directory:
            first, second = (relative_name(path, self.root) for path in (known, directory))
            self.problems.append(f"{place}: {name} is both in {first} and in {second}")

    def note_accounts(self, text: str) -> None:
        """Keep the URLs in ``text`` that have credentials in them, for the downloads of a build."""
        self.accounts += _ACCOUNT.findall(text)


def relative_name(path: Path, root: Path) -> str:
    """``path`` as a posix path relative to ``root``, with ``..`` where it lies outside."""
    return Path(os.path.relpath(path, root)).as_posix()


def without_secrets(text: str) -> str:
    """``text`` with every URL in it stripped of user, password and query."""
    return _QUERY.sub(r"\1", _USERINFO.sub("", text))


def digest_of(data: bytes) -> Digest:
    """The digest of a spec file: of its bytes without the credentials in URLs.

    A password that is replaced leaves a lock fresh, and nothing in a lock can be tried against guessed passwords.
    """
    return Digest.of(re.sub(rb"(?<=://)[^/?#@\s]+@", b"", data))


def line_of(text: str, part: object) -> int | None:
    """The number of the first line with ``part`` in it, for messages about a format whose parser keeps none."""
    wanted = part if isinstance(part, str) else ""
    wanted = wanted.partition("\n")[0].strip()
    return next((n for n, line in enumerate(text.splitlines(), start=1) if wanted in line), None) if wanted else None
