"""Where a KubeRay document names the images that run Ray, and which image belongs there.

Ray is container 0 of a pod, whatever its name (``RayContainerIndex`` in ray-project/kuberay); the containers after it
are sidecars and are not ours. The autoscaler and the job submitter run the head's Ray, init containers may.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rayimage.kuberay.documents import RayDocument
from rayimage.kuberay.emission import HEAD, Images, Note
from rayimage.kuberay.nodes import Place

__all__ = ["KINDS", "Site", "locate"]

# kind → where its cluster or job spec is, and the key of the cluster spec in there. A RayService says rayClusterConfig;
# a RayCronJob's jobTemplate is a RayJobSpec itself, without a "spec" of its own (KubeRay's CRDs, v1 and v1alpha1).
_LAYOUTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "RayCluster": (("spec",), ()),
    "RayJob": (("spec",), ("rayClusterSpec",)),
    "RayService": (("spec",), ("rayClusterConfig",)),
    "RayCronJob": (("spec", "jobTemplate"), ("rayClusterSpec",)),
}
KINDS = frozenset(_LAYOUTS)

# KubeRay's own submitter: it has no Ray of the project in it.
_SUBMITTER = re.compile(r"quay\.io/kuberay/submitter(?:[:@].*)?")

# YAML inside a string that names an image of its own: runtime_env's image_uri, or its older container.image.
_INNER_IMAGE = re.compile(r"^[^#\n]*\b(?:image_uri|container)[\"']?[ \t]*:", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A scalar that should be the string ``new``."""

    place: Place
    new: str


def locate(document: RayDocument, images: Images) -> Iterator[Site | Note]:
    """Every scalar of ``document`` to write, and a note on everything left alone that a reader may wonder about.

    Raises KubeRayError where the document is not shaped as KubeRay's CRDs say, or repeats a key that matters.
    """
    if document.kind not in KINDS:
        yield _note(document.place, f"{document.title}: not a kind that holds Ray images")
        return
    outer_path, cluster_path = _LAYOUTS[document.kind]
    outer = document.place.child(*outer_path)
    if outer is None:
        yield _note(document.place, f"{document.title}: no {'.'.join(outer_path)} to write to", level="warning")
        return
    yield from _inner_images(outer)
    if document.kind in ("RayJob", "RayCronJob"):
        yield from _submitter(outer, images)
    cluster = outer.child(*cluster_path)
    if cluster is not None:
        yield from _cluster(cluster, images)
    elif outer.child("clusterSelector") is not None:
        yield _note(outer, f"{document.title}: runs on the cluster of its clusterSelector, whose images are set there")
    else:
        yield _note(outer, f"{document.title}: no {'.'.join(cluster_path)} to write to", level="warning")


def _cluster(cluster: Place, images: Images) -> Iterator[Site | Note]:
    yield from _ray_version(cluster, images.ray_version)
    head = cluster.child("headGroupSpec")
    if head is None:
        yield _note(cluster, f"{cluster.path}: no headGroupSpec", level="warning")
    else:
        yield from _pod(head, images.head, unset=_without_role(HEAD))
    autoscaler = cluster.child("autoscalerOptions", "image")
    if autoscaler is not None:
        yield _site(autoscaler, images.head, unset=_without_role(HEAD))
    groups = cluster.child("workerGroupSpecs")
    for group in groups.items() if groups is not None else ():
        yield from _worker_group(group, images)


def _worker_group(group: Place, images: Images) -> Iterator[Site | Note]:
    group_name = group.child("groupName")
    name = (group_name.text if group_name is not None else None) or ""
    role = images.role_for(name)
    claimed = images.role_of_group.get(name)
    if role is not None and role != name and claimed is None and role in images.role_of_group.values():
        yield _note(group, f"{group.path}: group {name!r} is named by no role and follows role {role}")
    unset = _without_role(claimed) if claimed is not None else f"no role for group {name!r}"
    yield from _pod(group, images.by_role[role] if role is not None else None, unset=unset)


def _submitter(job: Place, images: Images) -> Iterator[Site | Note]:
    template = job.child("submitterPodTemplate")
    if template is None:
        return
    containers = template.child("spec", "containers")
    image = containers.items()[0].child("image") if containers is not None and containers.items() else None
    if image is not None and _SUBMITTER.fullmatch(image.text or ""):
        yield _note(image, f"{image.path}: {image.text} is KubeRay's submitter, left alone")
        return
    yield from _pod(job, images.head, unset=_without_role(HEAD), template="submitterPodTemplate")


def _pod(parent: Place, new: str | None, *, unset: str, template: str = "template") -> Iterator[Site | Note]:
    """Container 0 of ``parent``'s pod template, and the init containers that ran the same image until now."""
    spec = parent.child(template, "spec")
    containers = spec.child("containers") if spec is not None else None
    first = containers.items()[0] if containers is not None and containers.items() else None
    image = first.child("image") if first is not None else None
    if spec is None or image is None:
        path = f"{parent.path}.{template}.spec.containers[0].image"
        yield _note(first or spec or parent, f"{path}: no image here, and none is inserted", level="warning")
        return
    yield _site(image, new, unset=unset)
    inits = spec.child("initContainers")
    for init in inits.items() if inits is not None and new is not None else ():
        other = init.child("image")
        if other is not None and other.text is not None and other.text == image.text:
            yield _site(other, new, unset=unset)
        elif other is not None:
            yield _note(other, f"{other.path}: not the image of the Ray container, left alone")


def _ray_version(cluster: Place, version: str | None) -> Iterator[Site | Note]:
    """``rayVersion`` chooses KubeRay's probes and must be a string: plain 2.10 is a number to the API server."""
    if version is None:
        return
    place = cluster.child("rayVersion")
    if place is None:
        yield _note(cluster, f"{cluster.path}.rayVersion: absent, not added (KubeRay then probes with wget)")
    else:
        yield Site(place=place, new=version)


def _inner_images(outer: Place) -> Iterator[Note]:
    """Images named in YAML inside a string are reported, not edited."""
    for key in ("runtimeEnvYAML", "serveConfigV2"):
        inner = outer.child(key)
        if inner is not None and _INNER_IMAGE.search(inner.text or ""):
            yield _note(inner, f"{inner.path}: names an image of its own (image_uri or container)", level="warning")


def _site(place: Place, new: str | None, *, unset: str) -> Site | Note:
    return Site(place=place, new=new) if new is not None else _note(place, f"{place.path}: {unset}, left alone")


def _without_role(role: str) -> str:
    return f"no image given for role {role}"


def _note(place: Place, text: str, *, level: Literal["note", "warning"] = "note") -> Note:
    return Note(file=place.file, line=place.line, text=text, level=level)
