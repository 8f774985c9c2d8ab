"""Built images → a store. Blobs first, then manifests, then indexes; tags last, when all they refer to is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rayimage.builders.direct import BuiltImage
from rayimage.image.assemble import assemble_index
from rayimage.model import media
from rayimage.model.content import Blob, ContentStore, Outcome
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest
from rayimage.model.progress import SILENT, Progress

__all__ = ["PublishedRole", "Release", "publish", "release_of"]

_PARALLEL_BLOBS = 4
"""What good uploaders converge on: 4 or 5 blobs at once, biggest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The set {role → image or index} that is built, tagged, promoted and rolled back as one."""

    images: Mapping[str, tuple[BuiltImage, ...]]
    tops: Mapping[str, Manifest | Index]

    @property
    def name(self) -> str:
        """Twelve digits that name the content: the same images have the same name everywhere."""
        lines = "".join(f"{role} {top.digest}\n" for role, top in sorted(self.tops.items()))
        return Digest.of(lines.encode()).short


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRole:
    """What became of a role in a store; ``outcomes`` by blob digest."""

    role: str
    tag: str
    digest: Digest
    images: tuple[BuiltImage, ...]
    outcomes: Mapping[Digest, Outcome]


def release_of(built: Sequence[BuiltImage]) -> Release:
    """Group images by role; a role with several platforms gets an index."""
    images: dict[str, tuple[BuiltImage, ...]] = {}
    for image in built:
        images[image.plan.role] = (*images.get(image.plan.role, ()), image)
    return Release(images=images, tops={role: _top(role_images) for role, role_images in images.items()})


def publish(
    release: Release, store: ContentStore, *, tag: str, progress: Progress = SILENT
) -> tuple[PublishedRole, ...]:
    """Send ``release`` to ``store`` and tag each role ``<tag>-<role>``.

    Nothing is tagged unless everything of every role has arrived. May be repeated after a failure at any point:
    what is there already is not sent again.
    """
    outcomes = _put_blobs(release, store, progress)
    for role, images in release.images.items():
        for image in images:
            store.put_manifest(image.manifest)
        store.put_manifest(release.tops[role])
    for role, top in release.tops.items():
        store.put_manifest(top, tag=f"{tag}-{role}")
    return tuple(
        PublishedRole(role=role, tag=f"{tag}-{role}", digest=top.digest, images=release.images[role], outcomes=outcomes)
        for role, top in release.tops.items()
    )


def _top(images: tuple[BuiltImage, ...]) -> Manifest | Index:
    if len(images) == 1:
        return images[0].manifest
    return assemble_index([(image.plan.platform, image.image) for image in images])


def _put_blobs(release: Release, store: ContentStore, progress: Progress) -> dict[Digest, Outcome]:
    blobs = {
        blob.descriptor.digest: blob
        for images in release.images.values()
        for image in images
        for blob in image.blobs
        if media.is_distributable(blob.descriptor.media_type)
    }
    ordered = sorted(blobs.values(), key=lambda blob: -blob.descriptor.size)
    with ThreadPoolExecutor(max_workers=_PARALLEL_BLOBS) as pool:
        futures = [pool.submit(_put_blob, blob, store, progress) for blob in ordered]
        try:
            return {blob.descriptor.digest: future.result() for blob, future in zip(ordered, futures, strict=True)}
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _put_blob(blob: Blob, store: ContentStore, progress: Progress) -> Outcome:
    descriptor = blob.descriptor
    task = progress.task(f"{descriptor.digest.short}", descriptor.size)
    outcome = store.put_blob(blob, task.advance)
    task.done(outcome.value)
    return outcome
