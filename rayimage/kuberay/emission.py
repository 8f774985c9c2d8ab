"""What to write into KubeRay YAML, and what was written: frozen values without behaviour of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rayimage.errors import UsageError
from rayimage.model.reference import Reference

__all__ = ["HEAD", "Change", "Emission", "Images", "Note"]

HEAD = "head"
_WORKER = "worker"

# No quote, backslash or blank: what passes can be put between quotes of either kind as it is.
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*")


@dataclass(frozen=True, slots=True)
class Images:
    """The images of one release by role, the worker groups that roles name, and the Ray version inside the images.

    ``by_role`` maps a role to the full reference to write; ``role_of_group`` maps a KubeRay ``groupName`` to the role
    that claims it. Raises UsageError for a reference or version that does not parse.
    """

    by_role: Mapping[str, str]
    role_of_group: Mapping[str, str] = field(default_factory=dict)
    ray_version: str | None = None

    def __post_init__(self) -> None:
        for image in self.by_role.values():
            Reference.parse(image)
        if self.ray_version is not None and not _VERSION.fullmatch(self.ray_version):
            fix = "give the version of the ray package in the images, such as 2.55.1"
            raise UsageError(f"not a Ray version: {self.ray_version!r}", fix=fix)

    @property
    def head(self) -> str | None:
        """The head's image, or None when no role ``head`` is given."""
        return self.by_role.get(HEAD)

    def role_for(self, group: str) -> str | None:
        """The role whose image a worker group gets, or None when the group is to be left alone.

        In order: the role that claims the group; the role of the group's own name; ``worker``; the only role beside
        ``head``; ``head`` when there is no other. A group claimed by a role without an image is left alone.
        """
        claimed = self.role_of_group.get(group)
        if claimed is not None:
            return claimed if claimed in self.by_role else None
        others = [role for role in self.by_role if role != HEAD]
        if group in others:
            return group
        if _WORKER in others:
            return _WORKER
        if not others and HEAD in self.by_role:
            return HEAD
        return others[0] if len(others) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One scalar that is rewritten. ``document`` is kind/name, ``line`` counts from 1, ``path`` is for people."""

    file: Path
    document: str
    path: str
    line: int
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that was seen and not written, with the reason; ``line`` counts from 1."""

    file: Path
    line: int | None
    text: str
    level: Literal["note", "warning"] = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """One file before and after. ``documents`` names its KubeRay documents as kind/name, changed or not.

    ``written`` are the values that places of the file have afterwards because they were asked for, changed or not.
    """

    file: Path
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()
    documents: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()

    @property
    def changed(self) -> bool:
        """Whether writing would alter the file."""
        return self.before != self.after
