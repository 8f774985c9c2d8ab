"""``rayimage emit``: references and rayVersion from the command line into KubeRay YAML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayimage.cli.app import App, pass_app
from rayimage.cli.options import examples
from rayimage.errors import CheckFailed, UsageError
from rayimage.report.wording import count

if TYPE_CHECKING:
    from rayimage.kuberay import Emission, Images

__all__ = ["command", "show_diff", "show_notes"]


@click.command(
    "emit",
    epilog=examples(
        "rayimage emit --image head=example.com/app:1-head --image worker=example.com/app:1-worker ray.yaml",
        "rayimage emit --image head=$REF --ray-version 2.55.1 --diff deploy/dev/*.yaml",
        "rayimage emit --image head=$REF --check ray.yaml   # exit code 12 when the file would change",
    ),
)
@click.option("--image", "images", multiple=True, metavar="ROLE=REF", help="The image of a role or a worker group.")
@click.option("--ray-version", metavar="VERSION", help="The value of rayVersion.")
@click.option("--check", is_flag=True, help="Write nothing; fail when a file would change.")
@click.option("--diff", "with_diff", is_flag=True, help="Print what changes.")
@click.argument("files", nargs=-1, type=click.Path(dir_okay=False, path_type=Path))
@pass_app
def command(
    app: App, *, images: Sequence[str], ray_version: str | None, check: bool, with_diff: bool, files: Sequence[Path]
) -> None:
    """Write image references and rayVersion into KubeRay YAML FILES.

    Needs neither configuration nor lock nor registry. A worker group gets the image of the role of its own name, else
    that of `worker`, else that of the only role beside `head`, else that of `head`. All other bytes stay as they are.
    """
    from rayimage.kuberay import Images, emit_files, write_emissions

    if not images:
        raise UsageError("no --image given", fix="name one image per role: --image head=REF --image worker=REF")
    if not files:
        raise UsageError("no file given", fix="name the YAML files to edit")
    wanted = Images(by_role=_by_role(images), ray_version=ray_version)
    emissions = emit_files(files, wanted)
    if not check:
        write_emissions(emissions)
    _report(app, emissions, wanted)
    if with_diff and not app.as_json:
        show_diff(app, emissions)
    changed = [app.shown(emission.file) for emission in emissions if emission.changed]
    if check and changed:
        raise CheckFailed(
            f"{count(len(changed), 'file')} would change",
            why=", ".join(changed),
            fix="run the same command without --check",
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


def _report(app: App, emissions: Sequence[Emission], wanted: Images) -> None:
    for role in _unused(emissions, wanted):
        app.progress.warn(f"--image {role}=…: no document has a place for role {role}")
    if app.as_json:
        app.emit_json([_data(emission) for emission in emissions])
        return
    show_notes(app, emissions)
    for emission in emissions:
        changes = count(len(emission.changes), "change") if emission.changes else "nothing to change"
        app.progress.note(f"{app.shown(emission.file)}: {changes}")


def _unused(emissions: Sequence[Emission], wanted: Images) -> list[str]:
    """Roles whose image is in none of the files: a mistyped role or group, most of the time."""
    written = {text for emission in emissions for text in emission.written}
    return [role for role, image in wanted.by_role.items() if image not in written]


def show_notes(app: App, emissions: Sequence[Emission]) -> None:
    """What the editor left alone, and why."""
    for note in (note for emission in emissions for note in emission.notes):
        where = f"{app.shown(note.file)}:{note.line}" if note.line else app.shown(note.file)
        (app.progress.warn if note.level == "warning" else app.progress.note)(f"{where}: {note.text}")


def show_diff(app: App, emissions: Sequence[Emission]) -> None:
    """The changes as one unified diff on stdout."""
    from rayimage.kuberay import diff

    app.emit_text("".join(diff(emission) for emission in emissions))


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
