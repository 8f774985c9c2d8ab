"""``rayimage init``: a first configuration from what the project has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayimage.cli.app import App, pass_app
from rayimage.cli.options import examples
from rayimage.errors import UsageError

if TYPE_CHECKING:
    from rayimage.config.proposal import Proposal
    from rayimage.config.starter import Start

__all__ = ["command"]


@click.command(
    "init",
    epilog=examples(
        "rayimage init",
        "rayimage init --repository registry.example.com/team/app --base rayproject/ray:2.55.1-py311",
        "rayimage init --dry-run",
    ),
)
@click.option("--repository", metavar="REPO", help="Where images are pushed; default: what the KubeRay files name.")
@click.option("--base", metavar="REF", help="The base image; default: the head's image in the KubeRay files.")
@click.option("--dry-run", is_flag=True, help="Print the table, and write nothing.")
@pass_app
def command(app: App, *, repository: str | None, base: str | None, dry_run: bool) -> None:
    """Write a first configuration from what the project has.

    Looks at requirements files, pyproject.toml and KubeRay YAML, and adds a [tool.rayimage] table to pyproject.toml,
    or writes rayimage.toml where there is none. A configuration that is there already stays as it is.
    """
    from rayimage.cli.findings import find
    from rayimage.config import checks, find_configuration
    from rayimage.config.proposal import propose
    from rayimage.config.starter import start

    _check_option("--repository", repository, checks.a_repository)
    _check_option("--base", base, checks.a_base)
    present = find_configuration(app.directory)
    if present and present.parent == app.directory:
        _report_present(app, present)
        return
    proposal = propose(find(app.directory, app.progress), repository=repository, base=base)
    made = start(app.directory, proposal)
    if not dry_run:
        made.write()
        _warn_of_farther(app, present)
    _report(app, made, proposal.remarks, written=not dry_run)
    if not dry_run:
        _show_next(app, proposal)


def _check_option(name: str, value: str | None, check: Callable[[str], str]) -> None:
    try:
        check(value if value is not None else "example.com/x")
    except ValueError as error:
        fix = "write it as registry.example.com/team/app, a base with a tag"
        raise UsageError(f"{name} {value!r} cannot be used", why=str(error), fix=fix) from error


def _warn_of_farther(app: App, present: Path | None) -> None:
    if present:
        app.progress.warn(f"{present} does not count here any more: the nearest configuration does")


def _show_next(app: App, proposal: Proposal) -> None:
    known = {"repository": proposal.repository_known, "base": proposal.base_known}
    unsure = " and ".join(key for key, is_known in known.items() if not is_known)
    app.next_step(f"check {unsure} in it, then `rayimage lock`" if unsure else "`rayimage lock`")


def _report_present(app: App, file: Path) -> None:
    app.progress.note(f"{app.shown(file)} has a configuration already: nothing to do")
    if app.as_json:
        app.emit_json({"file": str(file), "written": False, "table": None})


def _report(app: App, made: Start, remarks: tuple[str, ...], *, written: bool) -> None:
    for remark in remarks:
        app.progress.note(remark)
    if app.as_json:
        app.emit_json({"file": str(made.file), "written": written, "table": made.table})
    elif not written:
        app.emit_text(made.table)
    else:
        roles = ", ".join(role.name for role in made.project.roles)
        environments = ", ".join(made.project.environments) or "none, as no KubeRay file was found"
        app.progress.note(f"wrote {app.shown(made.file)}: images {roles}; environments {environments}")
