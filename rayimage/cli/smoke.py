"""``rayimage build --smoke``: what was built is tried before anything is tagged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rayimage.cli.app import App
from rayimage.errors import CheckFailed, EngineError

if TYPE_CHECKING:
    from rayimage.builders.direct import BuildInput, BuiltImage
    from rayimage.builders.docker.smoke import Broken, SmokeTest

__all__ = ["smoke_test"]


def smoke_test(app: App, inputs: Sequence[BuildInput], images: Sequence[BuiltImage]) -> None:
    """Try every image; where no Engine answers, or it is of another architecture, only what needs none.

    Raises CheckFailed with all that does not work.
    """
    faults: list[str] = []
    with app.progress.stage("smoke"):
        engine = _engine(app)
        try:
            for item, image in zip(inputs, images, strict=True):
                faults += [f"{image.plan.label}: {fault}" for fault in _faults(app, item, image, engine)]
        finally:
            if engine is not None:
                engine.close()
    if faults:
        raise CheckFailed(
            "the images do not work",
            why="\n".join(faults),
            fix="nothing was tagged; correct the requirements or choose another base",
        )


def _engine(app: App) -> SmokeTest | None:
    from rayimage.builders.docker.smoke import SmokeTest

    try:
        return SmokeTest(app.progress)
    except EngineError as error:
        app.progress.warn(f"the images are not run: {error.what}; their files are checked")
        return None


def _faults(app: App, item: BuildInput, image: BuiltImage, engine: SmokeTest | None) -> Iterator[str]:
    from rayimage.builders.static_checks import read_added_layers

    found = read_added_layers(image, item.inventory)
    yield from found.faults
    if engine is None:
        return
    architecture, own = engine.architecture, image.plan.platform.architecture
    if architecture != own:
        app.progress.warn(f"{image.plan.label} is not run: the Engine runs {architecture}; its files are checked")
        return
    yield from engine.faults(
        image,
        interpreter=item.inventory.layout.interpreter,
        ray=str(item.lock.base.ray),
        modules=found.modules,
        known=_base_broken(item),
    )


def _base_broken(item: BuildInput) -> Broken:
    """What the base does not meet itself: no image on it can do better."""
    from rayimage.lock import check_environment

    report = check_environment(item.inventory, replace(item.lock, wheels=(), moves=()), {})
    return frozenset(
        (problem.name, canonicalize_name(Requirement(problem.requirement).name)) for problem in report.known
    )
