"""What is checked before a byte leaves: no layer writes over another package, or through a link of the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from rayimage.errors import WheelError
from rayimage.layers import FileInLayer, find_clashes
from rayimage.layers.directories import directories_of
from rayimage.model.inventory import Inventory
from rayimage.model.lock import RoleLock

__all__ = ["check_layers"]


def check_layers(layers: Sequence[tuple[str, Sequence[FileInLayer]]], inventory: Inventory, lock: RoleLock) -> None:
    """Raise WheelError when the files of ``layers`` (title, files) cannot lie together on the base.

    Same path and same content is no clash: namespace packages ship the same ``__init__.py``.
    """
    find_clashes(layers)
    kept = _owners(inventory, lock)
    directories = directories_of(kept, inventory.layout) | inventory.layout.roots
    for title, files in layers:
        for file in files:
            _check_parents(title, file.path, inventory, kept)
            if file.path in directories:
                raise _replaces(title, file.path, "a directory of the base, which would go with all that is in it")
            owner, record_hash = kept.get(file.path, ("", ""))
            if owner and record_hash and file.digest and record_hash != file.digest:
                raise WheelError(
                    f"{file.path} of {title} would overwrite the base's copy, which belongs to {owner}",
                    why="two packages own one file with different content; whichever is written last breaks the other",
                    fix=f"leave one of them out, or require a version of {owner} that does not carry the file",
                )


def _owners(inventory: Inventory, lock: RoleLock) -> dict[str, tuple[str, str]]:
    replaced = {move.name for move in lock.moves}
    return {
        file.path: (f"{dist.name} {dist.version}", file.record_hash)
        for dist in inventory.distributions
        if dist.name not in replaced
        for file in dist.files
    }


def _check_parents(title: str, path: str, inventory: Inventory, kept: Mapping[str, tuple[str, str]]) -> None:
    """A file below a symbolic link would replace the link itself: whole images broke that way (Jib's FAQ)."""
    for parent in map(str, PurePosixPath(path).parents):
        target = inventory.symlinks.get(parent)
        if target is not None:
            raise WheelError(
                f"{path} of {title} lies below {parent}",
                why=f"{parent} is a symbolic link to {target} in the base; writing there would replace the link",
                fix="leave the package out, or use another build of it",
            )
        if parent in kept:
            raise _replaces(title, parent, f"a file of the base's {kept[parent][0]}, by a directory")


def _replaces(title: str, path: str, what: str) -> WheelError:
    fix = "leave the package out, or use another build of it"
    return WheelError(f"{title} would replace {path}", why=f"it is {what}", fix=fix)
