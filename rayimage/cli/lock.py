"""``rayimage lock``: resolve every role against its base and write the locks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from rayimage.cli.app import App, pass_app
from rayimage.cli.options import examples
from rayimage.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from rayimage.cli.targets import Target
    from rayimage.config import Project
    from rayimage.lock.request import EngineName
    from rayimage.model.execution import RunInBase
    from rayimage.model.lock import RoleLock

__all__ = ["command", "keep_locks"]


@click.command(
    "lock",
    epilog=examples(
        "rayimage lock                          # keeps what is locked where it still fits",
        "rayimage lock --upgrade-package torch  # takes the newest torch that fits",
        "rayimage lock --upgrade-base           # shows what newer images of the base tags would change",
        "rayimage lock --check                  # for CI: exit code 12 when a lock is missing or stale",
    ),
)
@click.option("--upgrade", is_flag=True, help="Forget the locked versions; the base's stay preferred.")
@click.option(
    "--upgrade-package",
    "packages",
    multiple=True,
    metavar="PACKAGE",
    help="Forget the locked version of PACKAGE; may be repeated.",
)
@click.option(
    "--upgrade-base",
    is_flag=False,
    flag_value="",
    metavar="[TAG]",
    help="Show what the base tags' newest images, or those of TAG (or of a Ray version), would change.",
)
@click.option("--yes", is_flag=True, help="With --upgrade-base: lock against the new bases, too.")
@click.option(
    "--engine",
    type=click.Choice(["uv", "pip-tools"]),
    default="uv",
    help="Who resolves. pip-tools needs a Python like the base's here, or a Docker Engine.",
)
@click.option("--check", is_flag=True, help="Resolve and write nothing; fail when a lock is missing or stale.")
@click.option("--export", type=click.Choice(["requirements"]), help="Also write hashed requirements without any URL.")
@pass_app
def command(
    app: App,
    *,
    upgrade: bool,
    packages: Sequence[str],
    upgrade_base: str | None,
    yes: bool,
    engine: EngineName,
    check: bool,
    export: str | None,
) -> None:
    """Lock every role's packages against its base image.

    What the base has at a fitting version is not installed again. Ray never moves; every package of the base that
    does is listed.
    """
    from rayimage.config import load_project

    if check and (upgrade or packages or export or upgrade_base is not None):
        raise UsageError("--check writes nothing", fix="leave out --upgrade, --upgrade-package and --export")
    if upgrade_base is not None and (upgrade or packages or export):
        fix = "first the base, then `rayimage lock` with --upgrade, --upgrade-package or --export"
        raise UsageError("--upgrade-base goes alone", fix=fix)
    if yes and upgrade_base is None:
        raise UsageError("--yes goes with --upgrade-base", fix="leave it out: lock asks nothing")
    if engine != "uv" and upgrade_base is not None:
        raise UsageError("--upgrade-base resolves with uv", fix="leave out --engine")
    project = load_project(app.directory)
    if upgrade_base is not None:
        from rayimage.cli.upgrade import upgrade_bases

        upgrade_bases(app, project, upgrade_base, yes=yes)
        return
    locks = _check(app, project) if check else _lock(app, project, packages, engine, upgrade=upgrade, export=export)
    if app.as_json:
        from rayimage.report.metadata import lock_data

        app.emit_json(lock_data(locks))


def keep_locks(app: App, console: Console, project: Project, locks: Sequence[RoleLock]) -> bool:
    """Write the locks, show on ``console`` what they come to and what is new in them; whether a file changed."""
    from rayimage.lock import lock_path, read_previous, write_locks
    from rayimage.report.locks import show_changes, show_locks

    files = [lock_path(project.lockfiles, lock.role, lock.platform) for lock in locks]
    before = [lock for file in files if (lock := read_previous(file)[0])]
    written = write_locks(dict(zip(files, locks, strict=True)), project.lockfiles)
    if not app.as_json and not (app.quiet and console is app.err):
        show_locks(console, locks)
        show_changes(console, before, locks)
    for file in written:
        app.progress.note(f"wrote {app.shown(file)}")
    if not written:
        app.progress.note("nothing changed")
    return bool(written)


def _lock(
    app: App, project: Project, packages: Sequence[str], engine: EngineName, *, upgrade: bool, export: str | None
) -> tuple[RoleLock, ...]:
    from rayimage.cli.locking import export_path, exported_preferences, requests_of, resolve_locks, source_wheels
    from rayimage.cli.targets import find_targets, shared_repository
    from rayimage.cli.upgrade import note_moved_tags
    from rayimage.lock import Options, export_requirements

    targets = find_targets(app, project, pinned=True, system="lock")
    note_moved_tags(app, project, targets)
    requests = requests_of(app, project, targets)
    preferences = {} if upgrade else exported_preferences(project, requests)
    repository = shared_repository(project)
    build = source_wheels(app, project, targets, requests, repository) if engine == "uv" else {}
    options = Options(
        build=build,
        upgrade=upgrade,
        upgrade_packages=tuple(packages),
        preferences=preferences,
        engine=engine,
        run_in_base=_runner(app, targets) if engine == "pip-tools" else None,
    )
    locks = resolve_locks(app, project, requests, options)
    _warn_of_unknown(app, packages, locks)
    changed = keep_locks(app, app.out, project, locks)
    for lock, request in zip(locks, requests, strict=True) if export else ():
        file = export_path(project.lockfiles, lock.role, lock.platform)
        file.write_text(export_requirements(lock, request), encoding="utf-8")
        app.progress.note(f"wrote {app.shown(file)}")
    if changed:
        app.next_step("commit the locks, then `rayimage build`")
    return locks


def _runner(app: App, targets: Sequence[Target]) -> RunInBase:
    from rayimage.builders.docker.run import BaseRunner

    return BaseRunner({target.inventory.image: target.base for target in targets}, app.progress)


def _check(app: App, project: Project) -> tuple[RoleLock, ...]:
    from rayimage.cli.locking import read_locks, requests_of
    from rayimage.cli.targets import find_targets

    requests = requests_of(app, project, find_targets(app, project, pinned=True, system="check"))
    found = read_locks(project, requests)
    if found.problems:
        raise CheckFailed("the locks do not fit the project", why=found.why, fix="run `rayimage lock` and commit it")
    app.progress.note("the locks fit the project")
    return found.locks


def _warn_of_unknown(app: App, packages: Sequence[str], locks: Sequence[RoleLock]) -> None:
    """An upgrade of what no role needs is a mistyped name, most of the time."""
    from packaging.utils import canonicalize_name

    known = {wheel.name for lock in locks for wheel in lock.wheels} | {p.name for lock in locks for p in lock.provided}
    for package in packages:
        if canonicalize_name(package) not in known:
            app.progress.warn(f"--upgrade-package {package}: no role has a package of that name")
