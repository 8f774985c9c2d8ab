"""``rayimage dockerfile``: what the Docker builder builds, to read or to adopt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayimage.cli.app import App, pass_app
from rayimage.cli.options import examples
from rayimage.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rayimage.builders.direct import BuildInput

__all__ = ["command"]


@click.command(
    "dockerfile",
    epilog=examples(
        "rayimage dockerfile",
        "rayimage dockerfile --role worker --context build/worker",
        "DOCKER_BUILDKIT=1 docker build --network host build/worker",
    ),
)
@click.option("--role", metavar="ROLE", help="Role whose image it builds; default: the first of the configuration.")
@click.option("--platform", metavar="PLATFORM", help="Platform, where the role has several; default: the first.")
@click.option(
    "--context",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also write the whole build context to DIR, a new or an empty directory.",
)
@click.option("--wheelhouse", is_flag=True, help="With every wheel in the context: the build needs no package index.")
@click.option("--classic", is_flag=True, help="For an Engine without BuildKit; implies --wheelhouse.")
@pass_app
def command(
    app: App, *, role: str | None, platform: str | None, context: Path | None, wheelhouse: bool, classic: bool
) -> None:
    """Print the Dockerfile of a role, as `rayimage build --builder docker` builds it.

    Needs no Docker Engine. A project that is not locked yet is resolved for this only.
    """
    from rayimage.builders.docker.dockerfile import recipe_of, render
    from rayimage.cli.build import open_wheelhouse, plan_project
    from rayimage.config import load_project

    project = load_project(app.directory)
    target = (app.directory / context).resolve() if context else None
    if target and target.is_dir() and any(target.iterdir()):
        raise UsageError(f"--context {context} is not empty", fix="name a new directory, or empty this one")
    inputs = plan_project(app, project, [target] if target else [], keep=False)
    item = _choose(inputs, role, platform)
    recipe = recipe_of(item, buildkit=not classic, offline=wheelhouse)
    text = render(recipe)
    if target:
        from rayimage.builders.docker.context import write_context

        write_context(item, recipe, target, open_wheelhouse(app, inputs), app.progress)
        app.progress.note(f"{app.shown(target)}: written, with what the Dockerfile copies")
    if app.as_json:
        app.emit_json(
            {
                "role": item.plan.role,
                "platform": str(item.plan.platform),
                "base": recipe.base,
                "dockerfile": text,
                "context": str(target) if target else None,
            }
        )
    else:
        app.emit_text(text)


def _choose(inputs: Sequence[BuildInput], role: str | None, platform: str | None) -> BuildInput:
    fitting = [item for item in inputs if role in (None, item.plan.role)]
    if not fitting:
        names = dict.fromkeys(item.plan.role for item in inputs)
        raise UsageError(f"there is no role {role!r}", fix=f"use one of {', '.join(names)}")
    chosen = [item for item in fitting if platform in (None, str(item.plan.platform))]
    if not chosen:
        names = dict.fromkeys(str(item.plan.platform) for item in fitting)
        raise UsageError(f"{fitting[0].plan.role} is not built for {platform!r}", fix=f"use {' or '.join(names)}")
    return chosen[0]
