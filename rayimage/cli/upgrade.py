"""``rayimage lock --upgrade-base``: what newer base images would change, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from rayimage.base import read_inventory, resolve_base
from rayimage.cli.app import App
from rayimage.cli.locking import exported_preferences, requests_of, resolve_locks, source_wheels
from rayimage.cli.targets import Target, find_targets, shared_repository
from rayimage.config import Project
from rayimage.errors import BaseImageError, RegistryError, UsageError
from rayimage.lock import LockRequest, Options, difference, lock_path, read_previous
from rayimage.model.difference import Difference
from rayimage.model.digest import Digest
from rayimage.model.reference import Reference

if TYPE_CHECKING:
    from rayimage.model.inventory import Inventory
    from rayimage.model.lock import RoleLock

__all__ = ["note_moved_tags", "upgrade_bases", "with_tag"]


def note_moved_tags(app: App, project: Project, targets: Sequence[Target]) -> None:
    """Say which tags name another image today than the one that is locked, and stays so.

    An unreachable registry is no reason not to lock: what is locked may be in the cache.
    """
    seen: set[tuple[str, str]] = set()
    for target in targets:
        text, platform = target.role.base, str(target.platform)
        # With a digest in it, or in a layout, it is the same today; so it is where nothing was locked.
        if (text, platform) in seen or target.base.text == text:
            continue
        seen.add((text, platform))
        with suppress(RegistryError, BaseImageError):
            now = resolve_base(text, target.platform, root=project.root, open_repository=app.open_repository)
            if now.digest != target.base.digest:
                app.progress.note(
                    f"base {text} has moved since it was locked: {target.base.digest.short} → {now.digest.short} on "
                    f"{platform}; `rayimage lock --upgrade-base` shows what that would change"
                )


def upgrade_bases(app: App, project: Project, tag: str, *, yes: bool) -> None:
    """Resolve against the bases as their tags are today, or with ``tag``, and show the difference; write it if told.

    Raises UsageError for ``tag`` together with ``yes``: the configuration names the base, and only a person edits that.
    """
    from rayimage.cli.lock import keep_locks
    from rayimage.report.differences import difference_data, show_differences

    newer = _with_tag(project, tag) if tag else project
    if tag and yes:
        bases = ", ".join(dict.fromkeys(f'base = "{role.base}"' for role in newer.roles))
        raise UsageError(
            f"--upgrade-base {tag} is a preview",
            why=f"{project.source} names the bases, and locks for others would be stale",
            fix=f"set {bases} there, then run: rayimage lock",
        )
    targets = find_targets(app, newer, pinned=False, system="lock" if yes else "preview")
    requests = requests_of(app, newer, targets)
    build = source_wheels(app, newer, targets, requests, shared_repository(newer))
    options = Options(preferences=exported_preferences(newer, requests), build=build)
    locks = resolve_locks(app, newer, requests, options)
    changes = _differences(app, project, requests, locks)
    if app.as_json:
        app.emit_json(difference_data(changes))
    else:
        show_differences(app.out, changes)
    if not any(each.base_moves for each in changes):
        app.progress.note("the bases are those of the locks")
    elif yes:
        keep_locks(app, app.err, project, locks)
    else:
        app.next_step(_next_step(newer, tag))


def _next_step(newer: Project, tag: str) -> str:
    if not tag:
        return "`rayimage lock --upgrade-base --yes` locks against these bases"
    bases = " and ".join(dict.fromkeys(f'base = "{role.base}"' for role in newer.roles))
    return f"to take them, set {bases} in {newer.source.name}, then `rayimage lock`"


def _with_tag(project: Project, tag: str) -> Project:
    return replace(project, roles=tuple(replace(role, base=with_tag(role.base, tag)) for role in project.roles))


def with_tag(base: str, tag: str) -> str:
    """The base with another tag; ``tag`` may be a Ray version alone, which takes the place of the one in the tag.

    ``rayproject/ray:2.55.1-py311-cu128`` and 2.56.0 are ``rayproject/ray:2.56.0-py311-cu128``. Raises UsageError where
    there is no tag, or none that begins with a version.
    """
    if base.startswith("oci:"):
        layout, _, old = base.removeprefix("oci:").rpartition(":")
        if not layout:
            raise UsageError(f"base {base} has no tag", fix="name one in the configuration: oci:DIR:TAG")
        return f"oci:{layout}:{_new_tag(base, old, tag)}"
    reference = Reference.parse(base)
    if reference.digest or not reference.tag:
        why = "it is named by digest" if reference.digest else "so it is the newest already"
        raise UsageError(f"base {base} has no tag to change", why=why, fix="name a tag in the configuration")
    return f"{base.removesuffix(reference.tag)}{_new_tag(base, reference.tag, tag)}"


def _new_tag(base: str, old: str, tag: str) -> str:
    try:
        Version(tag)
    except InvalidVersion:
        return tag
    version, dash, rest = old.partition("-")
    try:
        Version(version)
    except InvalidVersion:
        raise UsageError(f"the tag of {base} does not begin with a version", fix="give the whole new tag") from None
    return f"{tag}{dash}{rest}"


def _differences(
    app: App, project: Project, requests: Sequence[LockRequest], locks: Sequence[RoleLock]
) -> tuple[Difference, ...]:
    """Each new lock beside the one that is there."""
    found = []
    for request, lock in zip(requests, locks, strict=True):
        before, _ = read_previous(lock_path(project.lockfiles, request.role, request.platform))
        old = (before, _former(app, project, request, before)) if before else None
        found.append(difference(old, (lock, request.inventory)))
    return tuple(found)


def _former(app: App, project: Project, request: LockRequest, before: RoleLock) -> Inventory | None:
    """The inventory of the base that was locked; None when that image is gone and its inventory not in the cache."""
    if before.base.digest == request.inventory.image:
        return request.inventory
    try:
        base = resolve_base(
            _by_digest(before.base.reference, before.base.digest),
            request.platform,
            root=project.root,
            open_repository=app.open_repository,
        )
        return read_inventory(base, cache_dir=app.cache_dir, progress=app.progress)
    except (BaseImageError, RegistryError):
        app.progress.note(
            f"the image that was locked for {request.subject} is gone: only its locked packages are compared"
        )
        return None


def _by_digest(base: str, digest: Digest) -> str:
    if not base.startswith("oci:"):
        return str(Reference.parse(base).with_digest(digest))
    layout, colon, _ = base.removeprefix("oci:").rpartition(":")
    return f"oci:{layout if colon else base.removeprefix('oci:')}@{digest}"
