"""From locks to plans, and the check of what was built from them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from rayimage.cli.app import App
from rayimage.config import Project
from rayimage.errors import ConfigError
from rayimage.lock import (
    LockRequest,
)
from rayimage.model.layering import Layering
from rayimage.model.lock import RoleLock

if TYPE_CHECKING:
    from rayimage.builders.direct import BuiltImage
    from rayimage.builders.inputs import BuildInput
    from rayimage.builders.planner import RoleSettings
    from rayimage.cli.targets import Target
    from rayimage.layers import CodeTree


__all__ = ["check_environments", "plan_targets", "with_accounts"]


def plan_targets(
    project: Project, targets: Sequence[Target], locks: Sequence[RoleLock], outputs: Sequence[Path] = ()
) -> tuple[BuildInput, ...]:
    """Plan every target's image; ``outputs`` are files and directories that this build writes."""
    from rayimage.builders.inputs import BuildInput
    from rayimage.builders.planner import plan_image
    from rayimage.builders.source import read_source
    from rayimage.layers import collect_code

    generated = _generated_files(project, outputs)
    source = read_source(project.root, exclude=generated, fallback=targets[0].base.config.created)
    trees: dict[tuple[str, ...], CodeTree] = {}
    inputs = []
    for target, lock in zip(targets, locks, strict=True):
        tree = None
        if target.role.code == "copy":
            exclude = (*generated, *target.role.exclude)
            tree = trees.get(exclude) or collect_code(project.root, exclude=exclude)
            trees[exclude] = tree
        plan = plan_image(_settings(target, project.layering), target.inventory, lock, tree, source)
        inputs.append(
            BuildInput(
                plan=plan, base=target.base, inventory=target.inventory, lock=lock, project=project.root, tree=tree
            )
        )
    return tuple(inputs)


def with_accounts(inputs: Sequence[BuildInput], requests: Sequence[LockRequest]) -> tuple[BuildInput, ...]:
    """``inputs`` with their specs, and where these say that packages are, for downloads; credentials included.

    Raises ConfigError when these credentials would be copied into the image.
    """
    from rayimage.builders.checks import check_no_passwords

    for each, request in zip(inputs, requests, strict=True):
        if each.tree:
            check_no_passwords(each.tree, [name for name, _ in request.specs.files])
    return tuple(
        replace(
            each,
            indexes=(*request.specs.indexes, *(f"rayimage-{n}={url}" for n, url in request.rules.indexes.items())),
            accounts=request.specs.accounts,
            specs=request.specs,
        )
        for each, request in zip(inputs, requests, strict=True)
    )


def check_environments(app: App, project: Project, inputs: Sequence[BuildInput], built: Sequence[BuiltImage]) -> None:
    """Check what every image has installed by the wheels' own metadata; raises LockError before anything is sent.

    An image of the same lock that was built before, and whose wheels nobody has here, is not checked again.
    """
    from rayimage.lock import check_final

    packages = {(i.plan.role, i.plan.platform): i.packages for i in built if i.packages is not None}
    images = [
        (
            LockRequest(
                role=each.plan.role,
                platform=each.plan.platform,
                base=each.lock.base.reference,
                inventory=each.inventory,
                specs=each.specs,
            ),
            each.lock,
            packages[each.plan.role, each.plan.platform],
        )
        for each in inputs
        if each.specs is not None and (each.plan.role, each.plan.platform) in packages
    ]
    warnings, known = check_final(images, frozenset(map(canonicalize_name, project.allow_unmet)))
    for text in warnings:
        app.progress.warn(text)
    for text in known if app.verbose else ():
        app.progress.note(text)


def _settings(target: Target, layering: Layering) -> RoleSettings:
    from rayimage.builders.planner import RoleSettings

    role = target.role
    return RoleSettings(
        name=role.name,
        base_name=target.base.name,
        base_layers=len(target.base.manifest.layers),
        base_digest=target.base.made_on,
        code=role.code,
        workdir=role.workdir,
        env=role.env,
        labels=role.labels,
        layering=layering,
    )


def _generated_files(project: Project, outputs: Sequence[Path]) -> tuple[str, ...]:
    """Files that builds write: in the image they would make each build differ from the one before."""
    files: list[Path] = []
    for environment in project.environments.values():
        with suppress(ConfigError):  # files that are not there yet matter only to the environment that is built for
            files += environment.manifest_files(project.root)
    inside = [file for file in (*files, project.lockfiles, *outputs) if file.is_relative_to(project.root)]
    return tuple(sorted({file.relative_to(project.root).as_posix() for file in inside}))
