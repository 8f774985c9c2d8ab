"""``rayimage plan``: what a build would do, as a table or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rayimage.cli.app import App, pass_app
from rayimage.cli.options import examples

if TYPE_CHECKING:
    from rayimage.config import Project

__all__ = ["command", "show_plan"]


@click.command("plan", epilog=examples("rayimage plan", "rayimage plan --json | jq '.[].layers[].title'"))
@pass_app
def command(app: App) -> None:
    """Show what a build would do: every layer, its size, and whether it was built before.

    Nothing is written. A project that is not locked yet is resolved for this plan only.
    """
    from rayimage.config import load_project

    show_plan(app, load_project(app.directory))


def show_plan(app: App, project: Project) -> None:
    """Plan ``project`` and print the plan; also what ``build --dry-run`` does."""
    from rayimage.cli.build import plan_project
    from rayimage.layers import LayerCache
    from rayimage.report.metadata import plan_data
    from rayimage.report.tables import show_plans

    plans = [item.plan for item in plan_project(app, project, keep=False)]
    cache = LayerCache(app.cache_dir)
    keys = {layer.key for plan in plans for layer in plan.layers if layer.key}
    found = {key: cache.get(key) for key in keys}
    cached = {key: layer.descriptor.size for key, layer in found.items() if layer}
    if app.as_json:
        app.emit_json(plan_data(plans, cached))
    else:
        show_plans(app.out, plans, cached)
        app.next_step("`rayimage build`, or `rayimage build --output oci:DIR` to try it without a registry")
