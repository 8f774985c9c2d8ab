"""What is checked before a byte leaves: nothing is written over a package or through a link, no password goes along."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from packaging.utils import NormalizedName

from rayimage.errors import ConfigError, WheelError
from rayimage.layers import CodeTree, FileInLayer, find_clashes
from rayimage.layers.directories import directories_of
from rayimage.model.inventory import Inventory
from rayimage.model.lock import RoleLock

__all__ = ["check_layers", "check_no_passwords"]

_PASSWORD: Final = re.compile(rb"https?://[^/?#@\s'\":]*:(?!\$\{\w+\}@)[^/?#@\s'\"]+@")
"""In a URL; ``${NAME}`` in its place is none, tools read it from the environment."""
_TOOL_FILES: Final = ("pip.conf", "poetry.toml", "pyproject.toml", "rayimage.toml", "uv.toml")


def check_layers(layers: Sequence[tuple[str, Sequence[FileInLayer]]], inventory: Inventory, lock: RoleLock) -> None:
    """Raise WheelError when the files of ``layers`` (title, files) cannot lie together on the base.

    Same path and same content is no clash: namespace packages ship the same ``__init__.py``.
    """
    find_clashes(layers)
    kept, directories = _kept(inventory, frozenset(move.name for move in lock.moves))
    fine: set[str] = set()
    for title, files in layers:
        for file in files:
            _check_parents(title, file.path, inventory, kept, fine)
            if file.path in directories:
                raise _replaces(title, file.path, "a directory of the base, which would go with all that is in it")
            owner, record_hash = kept.get(file.path, ("", ""))
            if owner and record_hash and file.digest and record_hash != file.digest:
                raise WheelError(
                    f"{file.path} of {title} would overwrite the base's copy, which belongs to {owner}",
                    why="two packages own one file with different content; whichever is written last breaks the other",
                    fix=f"leave one of them out, or require a version of {owner} that does not carry the file",
                )


def check_no_passwords(tree: CodeTree, specs: Iterable[str]) -> None:
    """Raise ConfigError when a file of ``tree`` that says where packages are has a password in it.

    These are the spec files (``specs``, relative to the tree) and the settings of tools.
    """
    code = {path: tree.root / path for path in {*specs, *_TOOL_FILES} & set(tree.files)}
    found = sorted(path for path, file in code.items() if file.is_file() and _PASSWORD.search(file.read_bytes()))
    if found:
        raise ConfigError(
            "the image would have a password in it",
            why=f"{', '.join(found)} would be copied with the code, and has a URL with a password",
            fix="write the URL without it, and give it by netrc, a keyring or UV_INDEX_<NAME>_PASSWORD; or keep the"
            f" file out of the image: exclude = [{', '.join(map(repr, found))}]",
        )


@lru_cache(maxsize=8)
def _kept(
    inventory: Inventory, replaced: frozenset[NormalizedName]
) -> tuple[Mapping[str, tuple[str, str]], frozenset[str]]:
    """The base's files with owner and hash, and its directories; roles on the same base mostly share them."""
    kept: dict[str, tuple[str, str]] = {}
    for dist in inventory.distributions:
        if dist.name not in replaced:
            owner = f"{dist.name} {dist.version}"
            kept.update((path, (owner, record_hash)) for path, record_hash in dist.files)
    return kept, frozenset(directories_of(kept, inventory.layout)) | inventory.layout.roots


def _check_parents(
    title: str, path: str, inventory: Inventory, kept: Mapping[str, tuple[str, str]], fine: set[str]
) -> None:
    """A file below a symbolic link would replace the link itself: whole images broke that way (Jib's FAQ).

    ``fine`` are the directories that were looked at before, with what lies above them.
    """
    parent = path.rpartition("/")[0]
    while parent and parent not in fine:
        target = inventory.symlinks.get(parent)
        if target is not None:
            raise WheelError(
                f"{path} of {title} lies below {parent}",
                why=f"{parent} is a symbolic link to {target} in the base; writing there would replace the link",
                fix="leave the package out, or use another build of it",
            )
        if parent in kept:
            raise _replaces(title, parent, f"a file of the base's {kept[parent][0]}, by a directory")
        fine.add(parent)
        parent = parent.rpartition("/")[0]


def _replaces(title: str, path: str, what: str) -> WheelError:
    fix = "leave the package out, or use another build of it"
    return WheelError(f"{title} would replace {path}", why=f"it is {what}", fix=fix)
