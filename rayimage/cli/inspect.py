"""``rayimage inspect``: what an image contains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rayimage.cli.app import App, pass_app
from rayimage.cli.options import examples
from rayimage.errors import BaseImageError

if TYPE_CHECKING:
    from rayimage.base import ResolvedBase

__all__ = ["command"]

_PLATFORMS = ("linux/amd64", "linux/arm64")
"""Those of Ray's images."""


@click.command(
    "inspect",
    epilog=examples(
        "rayimage inspect rayproject/ray:2.55.1-py311",
        "rayimage inspect oci:images:v1-head --packages",
        "rayimage inspect registry.example.com/team/app:v1-head --json | jq .packages.numpy",
    ),
)
@click.argument("reference", metavar="REF")
@click.option(
    "--platform", metavar="OS/ARCH", help="Of an image for several platforms; default: linux/amd64, else arm64."
)
@click.option("--packages", "with_packages", is_flag=True, help="List the Python packages, too.")
@pass_app
def command(app: App, *, reference: str, platform: str | None, with_packages: bool) -> None:
    """Show what an image contains: Ray, Python, packages, layers, sizes, and where it comes from.

    REF is a reference in a registry, or oci:DIR, oci:DIR:TAG or oci:DIR@sha256:… for an OCI image layout. The layers
    of an image that was not read before are read once, from end to end.
    """
    from rayimage.base import read_inventory
    from rayimage.report.inspection import inspection, show_inspection

    image = _resolve(app, reference, (platform,) if platform else _PLATFORMS)
    with app.progress.stage("read"):
        inventory = read_inventory(image, cache_dir=app.cache_dir, progress=app.progress)
    found = inspection(image, inventory)
    if app.as_json:
        app.emit_json(found)
    else:
        show_inspection(app.out, found, with_packages=with_packages)


def _resolve(app: App, reference: str, platforms: tuple[str, ...]) -> ResolvedBase:
    """The image for the first of ``platforms`` that it is there for; the error of the first when it is for none."""
    from rayimage.base import resolve_base
    from rayimage.model.platform import Platform

    failures: list[BaseImageError] = []
    for platform in platforms:
        try:
            return resolve_base(
                reference, Platform.parse(platform), root=app.directory, open_repository=app.open_repository
            )
        except BaseImageError as error:  # noqa: PERF203 - two tries at most
            failures.append(error)
    first = failures[0]
    fix = "check the reference, or name one of its platforms with --platform"
    raise BaseImageError(first.what.removeprefix("base "), why=first.why, fix=fix) from first
