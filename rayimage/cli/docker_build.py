"""``rayimage build --builder docker``: what is done instead of making layers here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from rayimage.cli.app import App
from rayimage.cli.build import open_wheelhouse
from rayimage.errors import EngineError

if TYPE_CHECKING:
    from rayimage.builders.direct import BuildInput
    from rayimage.builders.docker.builder import DockerBuilder
    from rayimage.builders.publish import Release
    from rayimage.config import Project

__all__ = ["build_in_engine", "make_with_docker"]


def make_with_docker(app: App, project: Project, inputs: Sequence[BuildInput], *, offline: bool) -> Release:
    """Build in the Engine, and take the layers out of it; raises EngineError, and LockError as the direct builder."""
    from rayimage.builders.publish import release_of
    from rayimage.cli.planning import check_environments

    with _open(app, inputs, offline=offline) as builder:
        with app.progress.stage("docker build"):
            images = builder.build(inputs)
        with app.progress.stage("layers"):
            built = builder.export(inputs, images)
            check_environments(app, project, inputs, built)
    return release_of(built)


def build_in_engine(
    app: App, inputs: Sequence[BuildInput], name: str, tag: str | None, *, offline: bool
) -> dict[str, Any]:
    """Build for the Engine's own architecture and name the images there; gives what --metadata-file writes.

    Nothing is loaded: the images are where they were built, with the IDs that Docker gave them.
    """
    from rayimage.builders.publish import release_name

    with _open(app, inputs, offline=offline) as builder:
        architecture = builder.architecture
        here = [item for item in inputs if item.plan.platform.architecture == architecture]
        if missing := {item.plan.role for item in inputs} - {item.plan.role for item in here}:
            raise EngineError(
                f"the Engine cannot run the image of {', '.join(sorted(missing))}",
                why=f"it runs {architecture}",
                fix=f'add "linux/{architecture}" to platforms',
            )
        with app.progress.stage("docker build"):
            images = builder.build(here)
            ids = {item.plan.role: image.id for item, image in zip(here, images, strict=True)}
            release = release_name(ids)
            names = {role: f"{name}:{tag or release}-{role}" for role in ids}
            for role, image in ids.items():
                builder.tag(image, names[role])
    return {
        "release": release,
        "images": names,
        "roles": {
            item.plan.role: {
                "reference": None,
                "digest": None,
                "platforms": {str(item.plan.platform): {"digest": None, "config": ids[item.plan.role]}},
            }
            for item in here
        },
        "seconds": {stage: round(seconds, 3) for stage, seconds in app.progress.times.items()},
    }


def _open(app: App, inputs: Sequence[BuildInput], *, offline: bool) -> AbstractContextManager[DockerBuilder]:
    from rayimage.builders.docker.builder import open_builder
    from rayimage.layers import LayerCache

    cache = LayerCache(app.cache_dir, app.cache.room)
    return open_builder(cache, open_wheelhouse(app, inputs), app.progress, offline=offline)
