"""``rayimage lock``: resolve every role against its base and write the locks."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rayimage.cli.app import App, pass_app

__all__ = ["command"]


@click.command("lock")
@click.option("--upgrade", is_flag=True, help="Forget the locked versions; the base's stay preferred.")
@click.option("--upgrade-package", "upgrade_packages", multiple=True, metavar="P", help="Forget P's locked version.")
@click.option("--check", is_flag=True, help="Write nothing; fail when a lock is missing or stale.")
@click.option("--export", type=click.Choice(["requirements"]), help="Also write hashed requirements without any URL.")
@pass_app
def command(app: App, *, upgrade: bool, upgrade_packages: Sequence[str], check: bool, export: str | None) -> None:
    """Lock every role's packages against its base image."""
    from rayimage.cli import stages
    from rayimage.config import load_project
    from rayimage.errors import CheckFailed
    from rayimage.lock import Options, export_requirements, lock_path, write_lock
    from rayimage.report.metadata import lock_data
    from rayimage.report.tables import show_locks

    project = load_project(app.directory)
    targets = stages.find_targets(app, project, pinned=check)
    requests = stages.requests_of(project, targets)
    if check:
        locks = stages.locked(project, requests)
        if locks is None:
            raise CheckFailed("nothing is locked yet", fix="run `rayimage lock` and commit the result")
        app.progress.note("the locks fit the configuration")
    else:
        options = Options(
            upgrade=upgrade,
            upgrade_packages=tuple(upgrade_packages),
            preferences={} if upgrade else stages.preferences(project, requests),
        )
        locks = stages.resolve_locks(app, project, requests, options)
        written = [write_lock(lock, lock_path(project.lockfiles, lock.role, lock.platform)) for lock in locks]
        if not any(written):
            app.progress.note("nothing changed")
    if export:
        for lock in locks:
            file = stages.export_path(project.lockfiles, lock.role, lock.platform)
            file.write_text(export_requirements(lock), encoding="utf-8")
    if app.as_json:
        app.emit_json(lock_data(locks))
    else:
        show_locks(app.out, locks)
