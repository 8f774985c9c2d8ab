"""The machine's view of locks, plans and builds: plain JSON data with stable keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rayimage.builders.direct import BuiltImage
from rayimage.builders.publish import PublishedRole, Release
from rayimage.image.plan import ImagePlan
from rayimage.model.content import Outcome
from rayimage.model.digest import Digest
from rayimage.model.lock import RoleLock
from rayimage.model.reference import Reference

__all__ = ["build_metadata", "lock_data", "plan_data"]


def lock_data(locks: Sequence[RoleLock]) -> list[dict[str, Any]]:
    """What every lock provides, adds and moves."""
    return [
        {
            "role": lock.role,
            "platform": str(lock.platform),
            "base": {"reference": lock.base.reference, "digest": str(lock.base.digest)},
            "ray": str(lock.base.ray),
            "python": str(lock.base.python),
            "provided": {item.name: str(item.version) for item in lock.provided},
            "added": {wheel.name: str(wheel.version) for wheel in lock.added},
            "moved": {
                move.name: {"from": str(move.old), "to": str(move.new), "because": list(move.because)}
                for move in lock.moves
            },
        }
        for lock in locks
    ]


def plan_data(
    plans: Sequence[ImagePlan], cached: Mapping[Digest, int], pushed: Mapping[Digest, int] | None = None
) -> list[dict[str, Any]]:
    """The plan's images with their layers; sizes in bytes, null where unknown before building.

    ``cached`` are the sizes of layers on this machine, ``pushed`` of those in the registry; None when it was not asked.
    """
    sizes = {**(pushed or {}), **cached}
    return [
        {
            "role": plan.role,
            "platform": str(plan.platform),
            "base": {"reference": plan.base, "digest": str(plan.base_digest)},
            "created": plan.config.created,
            "workdir": plan.config.workdir,
            "env": dict(plan.config.env),
            "labels": dict(plan.config.labels),
            "layers": [
                {
                    "kind": layer.kind.value,
                    "title": layer.title,
                    "key": str(layer.key) if layer.key else None,
                    "size": sizes.get(layer.key, layer.size_hint or None) if layer.key else None,
                    "cached": layer.key in cached,
                    "pushed": layer.key in pushed if pushed is not None else None,
                    "wheels": [wheel.filename for wheel in layer.wheels],
                }
                for layer in plan.layers
            ],
        }
        for plan in plans
    ]


def build_metadata(
    release: Release,
    *,
    references: Mapping[str, Reference],
    published: Sequence[PublishedRole],
    times: Mapping[str, float],
) -> dict[str, Any]:
    """Per role and platform: reference, digest, size, layers with size and whether each was uploaded or reused."""
    outcomes = {role.role: role.outcomes for role in published}
    return {
        "release": release.name,
        "roles": {
            role: {
                "reference": str(references[role]) if role in references else None,
                "digest": str(top.digest),
                "platforms": {
                    str(image.plan.platform): _image(image, outcomes.get(role, {})) for image in release.images[role]
                },
            }
            for role, top in release.tops.items()
        },
        "seconds": {name: round(seconds, 3) for name, seconds in times.items()},
    }


def _image(built: BuiltImage, outcomes: Mapping[Digest, Outcome]) -> dict[str, Any]:
    return {
        "digest": str(built.manifest.digest),
        "config": str(built.manifest.config.digest),
        "size": built.image.size,
        "layers": [
            {
                "kind": layer.kind.value,
                "title": layer.title,
                "digest": str(layer.descriptor.digest),
                "size": layer.descriptor.size,
                "cached": layer.cached,
                "remote": layer.remote,
                "outcome": _outcome(outcomes.get(layer.descriptor.digest)),
            }
            for layer in built.layers
        ],
    }


def _outcome(outcome: Outcome | None) -> str | None:
    """``uploaded``, ``mounted`` or ``exists``; None when there was no push."""
    return outcome.value if outcome else None
