"""From a base's layers to its inventory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rayimage.base.distributions import read_distributions
from rayimage.base.interpreter import Interpreter, find_interpreter
from rayimage.base.resolve import ResolvedBase
from rayimage.base.scan import scan_layers
from rayimage.base.system import find_glibc, find_owner
from rayimage.base.tree import Directory, Tree
from rayimage.model.inventory import DirectoryOwner, InstallLayout, Inventory
from rayimage.model.progress import Progress

__all__ = ["survey"]


def survey(base: ResolvedBase, progress: Progress) -> Inventory:
    """What ``base`` contains, in one pass over its layers.

    Raises BaseImageError for an image without a Python whose version can be told, ContentError for damaged layers,
    and what the base's source raises.
    """
    tree = scan_layers(base.source, base.manifest.layers, progress)
    interpreter = find_interpreter(tree, base.config.path)
    layout = _layout(tree, interpreter, base.config.user)
    return Inventory(
        image=base.digest,
        platform=base.platform,
        python=interpreter.version,
        glibc=find_glibc(tree),
        layout=layout,
        user=base.config.user or "root",
        workdir=base.config.workdir or "/",
        env=base.config.env,
        labels=base.config.labels,
        distributions=read_distributions(tree, interpreter.site_dirs, interpreter.prefix, progress.warn),
        symlinks=dict(_links_of_note(tree, interpreter.prefix)),
        directories=dict(_directories_of_note(tree, layout)),
    )


_NEAR_ROOT: Final = 3
"""So deep lie the directories above any sensible working directory."""


def _layout(tree: Tree, interpreter: Interpreter, user: str) -> InstallLayout:
    """The directories of sysconfig's ``posix_prefix`` scheme (``posix_local`` on Debian), with one site-packages."""
    uid, gid = find_owner(tree, user)
    prefix = interpreter.prefix
    return InstallLayout(
        prefix=prefix,
        purelib=interpreter.purelib,
        platlib=interpreter.purelib,
        scripts=tree.resolve(f"{prefix}/bin") or f"{prefix}/bin",
        data=prefix,
        headers=tree.resolve(f"{prefix}/include/python{interpreter.minor}") or f"{prefix}/include",
        interpreter=interpreter.path,
        uid=uid,
        gid=gid,
    )


def _links_of_note(tree: Tree, prefix: str) -> Iterator[tuple[str, str]]:
    below = prefix.rstrip("/") + "/"
    for path, target in tree.links():
        found = tree.find(path)
        leads_to_directory = found is not None and isinstance(found.node, Directory)
        if path.startswith(below) or path.count("/") <= _NEAR_ROOT or leads_to_directory:
            yield path, target


def _directories_of_note(tree: Tree, layout: InstallLayout) -> Iterator[tuple[str, DirectoryOwner]]:
    usual = DirectoryOwner(0o755, layout.uid, layout.gid)
    roots = layout.roots
    for path, owner in tree.directories():
        below = path.startswith(f"{layout.prefix}/")
        if path in roots or path.count("/") <= _NEAR_ROOT or (below and owner != usual):
            yield path, owner
