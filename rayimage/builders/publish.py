"""Built images → a store. Blobs first, then manifests, then indexes; tags last, when all they refer to is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rayimage.builders.direct import BuiltImage
from rayimage.errors import ContentError
from rayimage.image.assemble import assemble_index
from rayimage.model import media
from rayimage.model.content import Blob, ByteStream, ContentStore, Outcome
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest
from rayimage.model.progress import SILENT, Progress, Task

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PublishedRole", "Release", "publish", "release_name", "release_of"]

_PARALLEL = 16
"""Questions to a store at a time; how many of them become uploads at once is the registry's budget."""

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The set {role → image or index} that is built, tagged, promoted and rolled back as one."""

    images: Mapping[str, tuple[BuiltImage, ...]]
    tops: Mapping[str, Manifest | Index]

    @property
    def name(self) -> str:
        """Twelve digits that name the content: the same images have the same name everywhere."""
        return release_name({role: str(top.digest) for role, top in self.tops.items()})


def release_name(images: Mapping[str, str]) -> str:
    """Twelve digits for what each role's image is called by its content."""
    return Digest.of("".join(f"{role} {name}\n" for role, name in sorted(images.items())).encode()).short


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
    with _Crew() as crew:
        tagged = {role: crew.submit(_is_tagged, top, store, f"{tag}-{role}") for role, top in release.tops.items()}
        outcomes = _put_blobs(release, store, progress, crew)
        missing = [role for role in release.tops if not tagged[role].result()]
        _put_manifests({role: release.images[role] for role in missing}, release, store, crew)
        crew.wait(crew.submit(store.put_manifest, release.tops[role], tag=f"{tag}-{role}") for role in missing)
    return tuple(
        PublishedRole(role=role, tag=f"{tag}-{role}", digest=top.digest, images=release.images[role], outcomes=outcomes)
        for role, top in release.tops.items()
    )


def _top(images: tuple[BuiltImage, ...]) -> Manifest | Index:
    if len(images) == 1:
        return images[0].manifest
    return assemble_index([(image.plan.platform, image.image) for image in images])


class _Over(Exception):
    """Another thread has failed."""


class _Crew:
    """Threads that wait for a store's answers. After an error nothing begins any more; what is being sent ends."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=_PARALLEL)
        self._over = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            self._over.set()
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)

    def submit(self, task: Callable[_Given, _Result], *given: _Given.args, **more: _Given.kwargs) -> Future[_Result]:
        """Have ``task`` done by the next thread that is free."""
        return self._pool.submit(task, *given, **more)

    @staticmethod
    def wait(futures: Iterable[Future[_Result]]) -> list[_Result]:
        """Every result, in order; raises the error that came first as soon as it is there."""
        begun = list(futures)
        ended, _ = wait(begun, return_when=FIRST_EXCEPTION)
        for future in ended:
            if error := future.exception():
                raise error
        return [future.result() for future in begun]

    def guarded(self, blob: Blob) -> Blob:
        """A blob that is not opened after an error: threads may have waited long for their turn to send."""

        def unless_over() -> AbstractContextManager[ByteStream]:
            if self._over.is_set():
                raise _Over
            return blob.open()

        return replace(blob, open=unless_over)


def _is_tagged(top: Manifest | Index, store: ContentStore, tag: str) -> bool:
    """Whether a tag is there and right, with the manifests that it leads to.

    It is not written again then: registries with immutable tags (Amazon ECR, Harbor) refuse that.
    """
    children = top.manifests if isinstance(top, Index) else ()
    return all(
        (found := store.head(target)) is not None and found.digest == digest
        for target, digest in ((tag, top.digest), *((str(child.digest), child.digest) for child in children))
    )


def _put_blobs(release: Release, store: ContentStore, progress: Progress, crew: _Crew) -> dict[Digest, Outcome]:
    blobs = {
        blob.descriptor.digest: blob
        for images in release.images.values()
        for image in images
        for blob in image.blobs
        if media.is_distributable(blob.descriptor.media_type)
    }
    # Biggest first: the longest transfer must not be the last to start.
    ordered = sorted(blobs.values(), key=lambda blob: -blob.descriptor.size)
    # Told before the first is sent, so that a listener knows how much there is.
    tasks = [progress.task(blob.descriptor.digest.short, blob.descriptor.size) for blob in ordered]
    jobs = zip(ordered, tasks, strict=True)
    outcomes = crew.wait(crew.submit(_put_blob, crew.guarded(blob), store, task, progress) for blob, task in jobs)
    return {blob.descriptor.digest: outcome for blob, outcome in zip(ordered, outcomes, strict=True)}


def _put_manifests(
    images: Mapping[str, tuple[BuiltImage, ...]], release: Release, store: ContentStore, crew: _Crew
) -> None:
    """Store by digest what the tags of several images will lead to, so that one cannot be refused after another's tag.

    A single manifest needs no rehearsal: it is there with its tag, or not at all.
    """
    tops = {release.tops[role].digest: release.tops[role] for role in images}
    children = {image.manifest.digest: image.manifest for role in images.values() for image in role}
    if len(tops) > 1 or any(isinstance(top, Index) for top in tops.values()):
        crew.wait(crew.submit(store.put_manifest, manifest) for manifest in children.values())
    if len(tops) > 1:
        crew.wait(crew.submit(store.put_manifest, top) for digest, top in tops.items() if digest not in children)


def _put_blob(blob: Blob, store: ContentStore, task: Task, progress: Progress) -> Outcome:
    descriptor = blob.descriptor
    try:
        outcome = store.put_blob(blob, task.advance)
    except ContentError:
        if blob.mend is None or not blob.mend():
            raise
        progress.warn(f"layer {descriptor.digest.short} was damaged in the cache, and has been made again")
        outcome = store.put_blob(blob)
    task.done(outcome.value)
    return outcome
