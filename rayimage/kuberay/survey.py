"""Which images and worker groups a file's KubeRay documents have now. Nothing is edited."""

from __future__ import annotations

from pathlib import Path

from rayimage.kuberay.documents import RayDocument, parse, ray_documents
from rayimage.kuberay.locate import KINDS
from rayimage.kuberay.nodes import Place
from rayimage.model.cluster import Cluster

__all__ = ["survey"]

# Where the spec of a cluster is: RayCluster, RayService, RayJob, RayCronJob (see ``locate``).
_CLUSTER_SPECS = (
    ("spec",),
    ("spec", "rayClusterConfig"),
    ("spec", "rayClusterSpec"),
    ("spec", "jobTemplate", "rayClusterSpec"),
)


def survey(data: bytes, file: Path) -> tuple[Cluster, ...]:
    """The clusters in a file's ``data``, in order; empty where it has no KubeRay document.

    Raises KubeRayError for what is not YAML, or not shaped as KubeRay's CRDs say.
    """
    return tuple(_cluster(document) for document in ray_documents(parse(data, file)) if document.kind in KINDS)


def _cluster(document: RayDocument) -> Cluster:
    specs = (document.place.child(*path) for path in _CLUSTER_SPECS)
    spec = next((spec for spec in specs if spec is not None and spec.child("headGroupSpec") is not None), None)
    groups = spec.child("workerGroupSpecs") if spec is not None else None
    return Cluster(
        file=document.place.file,
        title=document.title,
        ray_version=_text(spec, "rayVersion"),
        head=_image(spec.child("headGroupSpec")) if spec is not None else None,
        groups=tuple(
            (name, _image(group))
            for group in (groups.items() if groups is not None else ())
            if (name := _text(group, "groupName"))
        ),
    )


def _image(group: Place | None) -> str | None:
    """The image of container 0, which is Ray's."""
    containers = group.child("template", "spec", "containers") if group is not None else None
    items = containers.items() if containers is not None else ()
    return _text(items[0], "image") if items else None


def _text(place: Place | None, key: str) -> str | None:
    child = place.child(key) if place is not None else None
    return child.text if child is not None else None
