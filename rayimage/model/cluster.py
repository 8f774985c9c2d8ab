"""What a KubeRay document says about its images, as far as a first configuration can be made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One KubeRay document; ``head`` and the groups' images are texts as written, None where there is none.

    A RayJob that runs on another cluster has neither.
    """

    file: Path
    title: str
    ray_version: str | None
    head: str | None
    groups: tuple[tuple[str, str | None], ...]
    """``groupName`` and image of each worker group."""
