"""``rayimage emit``: references and rayVersion into KubeRay YAML, from flags or from the last build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayimage.cli.app import App, pass_app
from rayimage.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from rayimage.kuberay import Emission

__all__ = ["command", "show_notes", "shown"]


@click.command("emit")
@click.option("--image", "images", multiple=True, metavar="ROLE=REF", help="Reference for a role or worker group.")
@click.option("--ray-version", metavar="V", help="Value of rayVersion.")
@click.option("--check", is_flag=True, help="Write nothing; fail when a file would change.")
@click.option("--diff", "with_diff", is_flag=True, help="Print what changes.")
@click.argument("files", nargs=-1, type=click.Path(dir_okay=False, path_type=Path))
@pass_app
def command(
    app: App, *, images: Sequence[str], ray_version: str | None, check: bool, with_diff: bool, files: Sequence[Path]
) -> None:
    """Write image references and rayVersion into KubeRay YAML.

    With --image it needs neither configuration nor lock nor registry.
    """
    from rayimage.kuberay import Images, diff, emit_files, write_emissions

    if not images:
        raise UsageError("no --image given", fix="name one image per role: --image head=REF --image worker=REF")
    if not files:
        raise UsageError("no file given", fix="name the YAML files to edit")
    wanted = Images(by_role=_by_role(images), ray_version=ray_version)
    emissions = emit_files(files, wanted)
    if not check:
        write_emissions(emissions)
    _report(app, emissions)
    if with_diff and not app.as_json:
        for emission in emissions:
            app.emit_text(diff(emission))
    changed = [str(emission.file) for emission in emissions if emission.changed]
    if check and changed:
        raise CheckFailed(
            f"{len(changed)} file(s) would change", why=", ".join(changed), fix="run the same command without --check"
        )


def _by_role(images: Sequence[str]) -> dict[str, str]:
    from rayimage.model.reference import Reference

    by_role = {}
    for item in images:
        role, equals, text = item.partition("=")
        if not role or not equals:
            raise UsageError(
                f"--image {item!r} is not ROLE=REF", fix="write for example --image head=repo:tag@sha256:…"
            )
        Reference.parse(text)
        by_role[role] = text
    return by_role


def _report(app: App, emissions: Sequence[Emission]) -> None:
    if app.as_json:
        app.emit_json([_data(emission) for emission in emissions])
        return
    show_notes(app, emissions)
    for emission in emissions:
        count = len(emission.changes)
        app.progress.note(f"{shown(emission.file)}: {f'{count} change(s)' if count else 'nothing to change'}")


def show_notes(app: App, emissions: Sequence[Emission]) -> None:
    """What the editor left alone, and why."""
    for note in (note for emission in emissions for note in emission.notes):
        where = f"{shown(note.file)}:{note.line}" if note.line else shown(note.file)
        (app.progress.warn if note.level == "warning" else app.progress.note)(f"{where}: {note.text}")


def shown(file: Path) -> str:
    """``file`` as a person in this directory would write it."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)


def _data(emission: Emission) -> dict[str, object]:
    return {
        "file": str(emission.file),
        "changed": emission.changed,
        "changes": [
            {"document": c.document, "path": c.path, "line": c.line, "old": c.old, "new": c.new}
            for c in emission.changes
        ],
        "notes": [{"level": n.level, "line": n.line, "text": n.text} for n in emission.notes],
    }
