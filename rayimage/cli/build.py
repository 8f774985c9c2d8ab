"""``rayimage build``: lock if need be, plan, make the layers, push, write the digests into the YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayimage.cli.app import App, pass_app
from rayimage.cli.destination import Destination

if TYPE_CHECKING:
    from rayimage.builders.direct import BuildInput
    from rayimage.builders.publish import PublishedRole, Release
    from rayimage.config import Project
    from rayimage.kuberay import Emission
    from rayimage.model.reference import Reference

__all__ = ["command", "plan_project"]


@click.command("build")
@click.option("--env", "environment", metavar="E", help="Environment to build for; default: the first configured.")
@click.option("--tag", metavar="T", help="Images are tagged T-<role>; default: a name made of their content.")
@click.option("--output", metavar="STORE", help="oci:DIR or docker instead of a push.")
@click.option("--builder", type=click.Choice(["direct"]), default="direct", help="How images are made.")
@click.option("--metadata-file", type=click.Path(dir_okay=False, path_type=Path), help="Write what was built as JSON.")
@click.option("--dry-run", is_flag=True, help="Stop after the plan.")
@click.option("--no-emit", is_flag=True, help="Leave the YAML alone.")
@click.option("--diff", "with_diff", is_flag=True, help="Print what changes in the YAML.")
@pass_app
def command(
    app: App,
    *,
    environment: str | None,
    tag: str | None,
    output: str | None,
    builder: str,  # noqa: ARG001
    metadata_file: Path | None,
    dry_run: bool,
    no_emit: bool,
    with_diff: bool,
) -> None:
    """Build, push and write the digests into the KubeRay YAML."""
    from rayimage.cli.plan import show_plan
    from rayimage.config import load_project
    from rayimage.files import write_atomic
    from rayimage.kuberay import diff, write_emissions
    from rayimage.report.metadata import build_metadata

    project = load_project(app.directory)
    if dry_run:
        show_plan(app, project)
        return
    destination = Destination.choose(app, project, environment, output)
    outputs = [path.resolve() for path in (destination.layout, metadata_file) if path]
    inputs = plan_project(app, project, outputs)
    release = _make(app, inputs)
    tag = tag or release.name
    references = destination.references(release, tag)
    emissions = () if no_emit else _emissions(app, project, destination, references, inputs)
    published = destination.send(app, release, tag)
    write_emissions(emissions)

    metadata = build_metadata(release, references=references, published=published, times=app.progress.times)
    metadata["files"] = [str(emission.file) for emission in emissions if emission.changed]
    if metadata_file:
        write_atomic(metadata_file, (json.dumps(metadata, indent=2) + "\n").encode())
    sent = "uploaded" if destination.kind == "push" else "written"
    _show(app, release, published, emissions, sent=sent)
    if app.as_json:
        app.emit_json(metadata)
        return
    for name in (*references.values(), *destination.local_names(release, tag).values()):
        app.emit_text(f"{name}\n")
    if with_diff:
        app.emit_text("".join(diff(emission) for emission in emissions))


def plan_project(app: App, project: Project, outputs: Sequence[Path] = ()) -> tuple[BuildInput, ...]:
    """Base, lock and plan of every role and platform; a project that was never locked is locked now."""
    from rayimage.cli import stages
    from rayimage.lock import Options, lock_path, write_lock

    targets = stages.find_targets(app, project, pinned=True)
    requests = stages.requests_of(project, targets)
    locks = stages.locked(project, requests)
    if locks is None:
        app.progress.note("no lock yet: locking now")
        options = Options(preferences=stages.preferences(project, requests))
        locks = stages.resolve_locks(app, project, requests, options)
        for lock in locks:
            write_lock(lock, lock_path(project.lockfiles, lock.role, lock.platform))
    with app.progress.stage("plan"):
        return stages.plan_targets(project, targets, locks, outputs)


def _make(app: App, inputs: tuple[BuildInput, ...]) -> Release:
    from rayimage.builders.direct import DirectBuilder
    from rayimage.builders.publish import release_of
    from rayimage.builders.wheelhouse import Wheelhouse
    from rayimage.layers import LayerCache

    builder = DirectBuilder(LayerCache(app.cache_dir), Wheelhouse(app.cache_dir), app.progress)
    with app.progress.stage("layers"):
        return release_of(builder.build(inputs))


def _emissions(
    app: App,
    project: Project,
    destination: Destination,
    references: Mapping[str, Reference],
    inputs: tuple[BuildInput, ...],
) -> tuple[Emission, ...]:
    """The YAML edits, worked out and proved before anything is sent."""
    from rayimage.cli.emit import show_notes
    from rayimage.kuberay import Images, emit_files

    if not destination.manifests:
        return ()
    images = Images(
        by_role={role: str(reference) for role, reference in references.items()},
        role_of_group={group: role.name for role in project.roles for group in role.worker_groups},
        ray_version=str(inputs[0].lock.base.ray),
    )
    emissions = emit_files(destination.manifests, images)
    show_notes(app, emissions)
    return emissions


def _show(
    app: App,
    release: Release,
    published: tuple[PublishedRole, ...],
    emissions: tuple[Emission, ...],
    *,
    sent: str,
) -> None:
    from rayimage.cli.emit import shown
    from rayimage.report.tables import show_built, show_published

    if app.quiet:
        return
    outcomes = {digest: outcome for role in published for digest, outcome in role.outcomes.items()}
    for images in release.images.values():
        show_built(app.err, images, outcomes, sent)
    if published:
        show_published(app.err, published, app.progress.times, sent)
    for emission in emissions:
        app.progress.note(f"{shown(emission.file)}: {'updated' if emission.changed else 'up to date'}")
