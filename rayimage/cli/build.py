"""``rayimage build``: lock if need be, plan, make the layers, push, write the digests into the YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rayimage.cli.app import App, pass_app
from rayimage.cli.destination import Destination
from rayimage.cli.emit import show_diff, show_notes
from rayimage.cli.options import examples
from rayimage.cli.smoke import smoke_test
from rayimage.errors import UsageError

if TYPE_CHECKING:
    from rayimage.base import BaseCache
    from rayimage.builders.inputs import BuildInput
    from rayimage.builders.publish import PublishedRole, Release
    from rayimage.builders.remote_cache import RemoteCache
    from rayimage.builders.wheelhouse import Wheelhouse
    from rayimage.config import Project
    from rayimage.kuberay import Emission
    from rayimage.model.reference import Reference

__all__ = ["command", "open_wheelhouse", "plan_project"]


@click.command(
    "build",
    epilog=examples(
        "rayimage build                           # for the first environment of the configuration",
        "rayimage build --env prod --diff         # and show what changes in its YAML",
        "rayimage build --output oci:images       # into a directory, without a registry",
        "rayimage build --builder docker          # from a Dockerfile, by a Docker Engine",
        "rayimage build --json | jq -r '.roles[].reference'",
    ),
)
@click.option("--env", "environment", metavar="ENV", help="Environment to build for; default: the first configured.")
@click.option("--tag", metavar="TAG", help="Tag images TAG-ROLE; default: a name made of their content.")
@click.option("--output", metavar="STORE", help="oci:DIR or docker, instead of a push; leaves the YAML alone.")
@click.option(
    "--builder",
    type=click.Choice(["direct", "docker"]),
    default="direct",
    show_default=True,
    help="How images are made: direct runs nothing, docker builds a Dockerfile in a Docker Engine.",
)
@click.option("--wheelhouse", is_flag=True, help="With --builder docker: download wheels here, not in the build.")
@click.option(
    "--metadata-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what was built to FILE, as --json prints it.",
)
@click.option(
    "--no-cache-from", is_flag=True, help="Make every layer here, whatever the registry has; leave its cache as it is."
)
@click.option(
    "--verify-cache", is_flag=True, help="Make every layer here, and compare with what the registry's cache has."
)
@click.option("--smoke", is_flag=True, help="Try the images before anything is tagged, in the Engine if there is one.")
@click.option("--dry-run", is_flag=True, help="Stop after the plan, and write nothing.")
@click.option("--no-emit", is_flag=True, help="Push, and leave the YAML alone.")
@click.option("--diff", "with_diff", is_flag=True, help="Print what changes in the YAML.")
@pass_app
def command(
    app: App,
    *,
    environment: str | None,
    tag: str | None,
    output: str | None,
    builder: str,
    wheelhouse: bool,
    metadata_file: Path | None,
    no_cache_from: bool,
    verify_cache: bool,
    smoke: bool,
    dry_run: bool,
    no_emit: bool,
    with_diff: bool,
) -> None:
    """Build every role on every platform, push, and write the digests into the KubeRay YAML.

    Locks first if nothing is locked yet. Prints the images' references, one a line.
    """
    from rayimage.cli.plan import show_plan
    from rayimage.cli.remote import compare_with_cache, keep_in_cache, open_cache
    from rayimage.config import load_project
    from rayimage.kuberay import write_emissions

    _check_options(
        builder, output=output, wheelhouse=wheelhouse, no_cache_from=no_cache_from, verify_cache=verify_cache
    )
    project = load_project(app.directory)
    destination = Destination.choose(app, project, environment, output)
    destination.check_tag(tag, project)
    if dry_run:
        show_plan(app, project, environment, ask_registry=destination.kind == "push" and not no_cache_from)
        return
    if builder == "docker":
        _check_engine()  # that it does not answer is better known before anything is locked
    outputs = [path.resolve() for path in (destination.layout, metadata_file) if path]
    with ExitStack() as stack:
        repository = destination.open_repository(app, project)
        cache = None
        if repository and builder == "direct" and not no_cache_from:
            cache = stack.enter_context(open_cache(app, project, destination, repository, tag=tag))
        believed = None if verify_cache else cache
        inputs = plan_project(app, project, outputs, shared=believed, repository=destination.repository)
        if builder == destination.kind == "docker":
            _stay_in_engine(app, inputs, destination, tag, metadata_file, offline=wheelhouse, smoke=smoke)
            return
        release = _make(app, project, inputs, believed, builder=builder, offline=wheelhouse, smoke=smoke)
        if verify_cache and cache:
            compare_with_cache(app, cache, release)
        tag = tag or release.name
        references = destination.references(release, tag)
        with app.progress.timed("emit"):
            emissions = () if no_emit else _emissions(app, project, destination, references, inputs)
        published = destination.send(app, release, tag, repository)
        if builder == "docker":
            destination.check_pushed(app, published)
        with app.progress.timed("emit"):
            write_emissions(emissions)
        if cache:
            keep_in_cache(app, cache, release, inputs)

    metadata = _metadata(app, release, references, published, emissions)
    _show(app, destination, release, published, emissions)
    _finish(app, metadata, metadata_file, destination.names(release, tag).values())
    if with_diff and not app.as_json:
        show_diff(app, emissions)


def _check_options(
    builder: str, *, output: str | None, wheelhouse: bool, no_cache_from: bool, verify_cache: bool
) -> None:
    if verify_cache and (no_cache_from or output or builder == "docker"):
        fix = "leave out --no-cache-from, --output and --builder docker"
        raise UsageError("--verify-cache compares with the cache of the registry that is pushed to", fix=fix)
    if wheelhouse and builder != "docker":
        raise UsageError("--wheelhouse is for --builder docker", fix="leave it out: the direct builder downloads here")


def _check_engine() -> None:
    from rayimage.builders.docker.load import connect

    connect().close()


def plan_project(
    app: App,
    project: Project,
    outputs: Sequence[Path] = (),
    *,
    keep: bool = True,
    shared: BaseCache | None = None,
    repository: Reference | None = None,
) -> tuple[BuildInput, ...]:
    """Base, lock and plan of every role and platform.

    A project that was never locked is locked now; ``keep`` says whether the locks are written. ``repository`` is where
    built wheels are shared.
    """
    from rayimage.cli.lock import keep_locks
    from rayimage.cli.locking import exported_preferences, read_locks, requests_of, resolve_locks, source_wheels
    from rayimage.cli.planning import plan_targets, with_accounts
    from rayimage.cli.targets import SystemUse, find_targets, shared_repository
    from rayimage.lock import Options

    use: SystemUse = "keep" if keep else "use"
    targets = find_targets(app, project, pinned=True, remembered=True, shared=shared, system=use, repository=repository)
    requests = requests_of(app, project, targets)
    place = repository or shared_repository(project)
    locks = read_locks(project, requests).usable()
    if locks is None:
        app.progress.note("no lock yet: locking now" if keep else "no lock yet: resolving for this plan only")
        options = Options(
            preferences=exported_preferences(project, requests),
            build=source_wheels(app, project, targets, requests, place),
        )
        locks = resolve_locks(app, project, requests, options)
        if keep:
            keep_locks(app, app.err, project, locks)
    with app.progress.stage("plan"):
        inputs = with_accounts(plan_targets(project, targets, locks, outputs), requests)
    if not any(wheel.source for lock in locks for wheel in lock.wheels):
        return inputs
    wheels = source_wheels(app, project, targets, requests, place)
    return tuple(replace(each, build=wheels[target.key].locked) for each, target in zip(inputs, targets, strict=True))


def _finish(app: App, metadata: Mapping[str, Any], metadata_file: Path | None, names: Iterable[str]) -> None:
    """Leave the metadata where it is wanted, and the names, one a line, where it is not."""
    if metadata_file:
        _write_metadata(metadata_file, metadata)
    if app.as_json:
        app.emit_json(metadata)
        return
    for name in names:
        app.emit_text(f"{name}\n")


def _make(
    app: App,
    project: Project,
    inputs: tuple[BuildInput, ...],
    cache: RemoteCache | None,
    *,
    builder: str,
    offline: bool,
    smoke: bool,
) -> Release:
    if builder == "docker":
        from rayimage.cli.docker_build import make_with_docker

        release = make_with_docker(app, project, inputs, offline=offline)
        if smoke:
            smoke_test(app, inputs, [image for images in release.images.values() for image in images])
        return release
    from rayimage.builders.direct import DirectBuilder
    from rayimage.builders.publish import release_of
    from rayimage.cli.planning import check_environments
    from rayimage.layers import LayerCache

    layers = LayerCache(app.cache_dir, app.cache.room)
    direct = DirectBuilder(layers, open_wheelhouse(app, inputs), app.progress, remote=cache)
    with app.progress.stage("layers"):
        built = direct.build(inputs)
        check_environments(app, project, inputs, built)
    if smoke:
        smoke_test(app, inputs, built)
    return release_of(built)


def _stay_in_engine(
    app: App,
    inputs: tuple[BuildInput, ...],
    destination: Destination,
    tag: str | None,
    metadata_file: Path | None,
    *,
    offline: bool,
    smoke: bool,
) -> None:
    """Build with Docker for Docker: the images are where they are wanted."""
    if smoke:
        why = "Docker tags what it builds for itself at once"
        raise UsageError("--smoke tries images before they are tagged", why=why, fix="leave out --builder docker")
    from rayimage.cli.docker_build import build_in_engine

    metadata = build_in_engine(app, inputs, destination.local_name, tag, offline=offline)
    _finish(app, metadata, metadata_file, metadata["images"].values())


def open_wheelhouse(app: App, inputs: Sequence[BuildInput]) -> Wheelhouse:
    """Where the wheels of ``inputs`` come from: this machine's indexes and those of the specs."""
    from rayimage.builders.simple_index import configured_indexes
    from rayimage.builders.wheelhouse import Wheelhouse

    more = tuple(dict.fromkeys(index for each in inputs for index in each.indexes))
    accounts = tuple(dict.fromkeys(account for each in inputs for account in each.accounts))
    build = {wheel.digest: each.build for each in inputs if each.build for wheel in each.lock.wheels if wheel.source}
    return Wheelhouse(
        app.cache_dir, indexes=configured_indexes(more=more), accounts=accounts, build=build, room=app.cache.room
    )


def _emissions(
    app: App,
    project: Project,
    destination: Destination,
    references: Mapping[str, Reference],
    inputs: tuple[BuildInput, ...],
) -> tuple[Emission, ...]:
    """The YAML edits, worked out and proved before anything is sent."""
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


def _metadata(
    app: App,
    release: Release,
    references: Mapping[str, Reference],
    published: tuple[PublishedRole, ...],
    emissions: tuple[Emission, ...],
) -> dict[str, Any]:
    from rayimage.report.metadata import build_metadata

    metadata = build_metadata(release, references=references, published=published, times=app.progress.times)
    return metadata | {"files": [str(emission.file) for emission in emissions if emission.changed]}


def _write_metadata(file: Path, metadata: Mapping[str, Any]) -> None:
    from rayimage.files import write_atomic

    try:
        write_atomic(file, (json.dumps(metadata, indent=2) + "\n").encode())
    except OSError as error:
        raise UsageError(
            f"--metadata-file {file} cannot be written",
            why=error.strerror or str(error),
            fix="name a file in a directory that is yours; the build itself is done",
        ) from error


def _show(
    app: App,
    destination: Destination,
    release: Release,
    published: tuple[PublishedRole, ...],
    emissions: tuple[Emission, ...],
) -> None:
    from rayimage.report.tables import reused, show_built, summary

    if app.quiet:
        return
    outcomes = {digest: outcome for role in published for digest, outcome in role.outcomes.items()}
    images = [image for images in release.images.values() for image in images]
    show_built(app.err, images, outcomes, sent=destination.sent, unchanged=app.verbose)
    app.progress.note(summary(images, outcomes, sent=destination.sent, times=app.progress.times))
    if text := reused(images, str(destination.repository)):
        app.progress.note(text)
    for emission in emissions:
        app.progress.note(f"{app.shown(emission.file)}: {'updated' if emission.changed else 'up to date'}")
    changed = [app.shown(emission.file) for emission in emissions if emission.changed]
    if changed:
        app.next_step(f"commit or apply {', '.join(changed)}")
