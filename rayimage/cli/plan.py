"""``rayimage plan``: what a build would do, as a table or JSON."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from rayimage.cli.app import App, pass_app
from rayimage.cli.options import examples

if TYPE_CHECKING:
    from rayimage.builders.remote_cache import RemoteCache
    from rayimage.config import Project

__all__ = ["command", "show_plan"]


@click.command("plan", epilog=examples("rayimage plan", "rayimage plan --json | jq '.[].layers[].title'"))
@click.option("--env", "environment", metavar="ENV", help="Environment to plan for; default: the first configured.")
@click.option("--no-cache-from", is_flag=True, help="Do not ask the registry what it has.")
@pass_app
def command(app: App, *, environment: str | None, no_cache_from: bool) -> None:
    """Show what a build would do: every layer, its size, and whether it was built before, here or in the registry.

    Nothing is written. A project that is not locked yet is resolved for this plan only.
    """
    from rayimage.config import load_project

    show_plan(app, load_project(app.directory), environment, ask_registry=not no_cache_from)


def show_plan(app: App, project: Project, environment: str | None = None, *, ask_registry: bool = True) -> None:
    """Plan ``project`` and print the plan; also what ``build --dry-run`` does."""
    from rayimage.builders.remote_layers import RemoteLayers
    from rayimage.cli.build import plan_project
    from rayimage.layers import LayerCache
    from rayimage.report.metadata import plan_data
    from rayimage.report.tables import show_plans

    local = LayerCache(app.cache_dir)
    with ExitStack() as stack:
        remote = _open_remote(app, project, environment, stack) if ask_registry else None
        inputs = plan_project(app, project, keep=False, shared=remote)
        known = RemoteLayers.find(remote, inputs, local).layers
        plans = [item.plan for item in inputs]
        keys = {layer.key for plan in plans for layer in plan.layers if layer.key}
        found = {key: layer for key in keys if (layer := local.get(key))}
        there = remote.has(layer.descriptor.digest for layer in found.values()) if remote else None
    cached = {key: layer.descriptor.size for key, layer in found.items()}
    pushed = None
    if there is not None:
        pushed = {key: layer.descriptor.size for key, layer in known.items()}
        pushed |= {key: cached[key] for key, layer in found.items() if layer.descriptor.digest in there}
    if app.as_json:
        app.emit_json(plan_data(plans, cached, pushed))
    else:
        show_plans(app.out, plans, cached, pushed or {})
        app.next_step("`rayimage build`, or `rayimage build --output oci:DIR` to try it without a registry")


def _open_remote(app: App, project: Project, environment: str | None, stack: ExitStack) -> RemoteCache | None:
    """The cache of the environment's repository; None for a project that has none yet."""
    from rayimage.cli.destination import Destination
    from rayimage.cli.remote import open_cache

    name = environment or project.default_environment
    if not (project.repository or (name and project.environment(name).repository)):
        return None
    destination = Destination.choose(app, project, environment, None)
    repository = destination.open_repository(app, project)
    assert repository is not None  # noqa: S101
    return stack.enter_context(open_cache(app, project, destination, repository, push=False))
