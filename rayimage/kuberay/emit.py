"""One file's bytes in, the same bytes with the release's images out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rayimage.errors import KubeRayError
from rayimage.kuberay.documents import RayDocument, Source, parse, ray_documents
from rayimage.kuberay.emission import Change, Emission, Images, Note
from rayimage.kuberay.locate import KINDS, Site, locate
from rayimage.kuberay.nodes import paths_to
from rayimage.kuberay.splice import Edit, apply, plan_edit, prove

__all__ = ["emit_bytes"]

# Places one anchored scalar may serve before it is no longer listed but refused.
_SHARED = 100


def emit_bytes(data: bytes, images: Images, *, file: Path) -> Emission:
    """Write ``images`` into the KubeRay documents of a file's ``data``; ``file`` is only a name for messages.

    The result differs from ``data`` in the image scalars and ``rayVersion`` alone, and a second call changes nothing.
    Raises KubeRayError for what is not YAML or cannot be edited safely.
    """
    source = parse(data, file)
    documents = ray_documents(source)
    found = [(document, item) for document in documents for item in locate(document, images)]
    notes = [item for _, item in found if isinstance(item, Note)]
    edits: list[Edit] = []
    changes: list[Change] = []
    for document, sites in _by_scalar(found):
        edit = plan_edit(source, sites[0])
        if edit is not None:
            notes += _shared(document, sites)
            edits.append(edit)
            changes.append(_change(document, sites[0]))
    titles = tuple(document.title for document in documents if document.kind in KINDS)
    if not titles:
        notes.append(Note(file=file, line=None, text="no KubeRay document in this file"))
    after = _spliced(source, edits) if edits else data
    return Emission(
        file=file,
        before=data,
        after=after,
        changes=tuple(changes),
        notes=tuple(notes),
        documents=titles,
        written=frozenset(item.new for _, item in found if isinstance(item, Site)),
    )


def _by_scalar(found: Sequence[tuple[RayDocument, Site | Note]]) -> Iterable[tuple[RayDocument, list[Site]]]:
    """Sites grouped by the scalar they share through anchors, each group with the first one's document.

    Raises KubeRayError where the sites of a scalar want different values.
    """
    groups: dict[int, tuple[RayDocument, list[Site]]] = {}
    for document, site in found:
        if isinstance(site, Note):
            continue
        _, sites = groups.setdefault(id(site.place.node), (document, []))
        sites.append(site)
        if site.new != sites[0].new:
            raise site.place.refusal(
                f"it is the same anchored value as {sites[0].place.path}, and the two get different images",
                fix="replace the alias or merge with a value of its own",
            )
    return groups.values()


def _shared(document: RayDocument, sites: list[Site]) -> Iterator[Note]:
    """A note where one edit serves several places. Raises KubeRayError where one of them is an image not ours."""
    place = sites[0].place
    paths = paths_to(document.root, place.node, limit=_SHARED)
    ours = {site.place.path for site in sites}
    others = [path for path in paths if path not in ours]
    images = [path for path in others if path.endswith(".image") and path.startswith(("spec.", "items["))]
    if len(paths) == _SHARED:
        raise place.refusal(f"aliases lead to it from {_SHARED} places or more", fix="write the images out")
    if images:
        raise place.refusal(
            f"an anchor makes it the image of {images[0]} too, which is not to be written",
            fix="replace the alias or merge with a value of its own",
        )
    if len(paths) > 1:
        text = f"{place.path}: edited once at its anchor; the value serves {', '.join(paths)}"
        yield Note(file=place.file, line=place.line, text=text, level="warning" if others else "note")


def _change(document: RayDocument, site: Site) -> Change:
    place = site.place
    return Change(
        file=place.file,
        document=document.title,
        path=place.path,
        line=place.line,
        old=place.text or "",
        new=site.new,
    )


def _spliced(source: Source, edits: list[Edit]) -> bytes:
    after = source.encode(apply(source.text, edits))
    try:
        reread = parse(after, source.file)
    except KubeRayError as error:
        raise KubeRayError(
            f"{source.file}: not written, because the edited text is no longer YAML",
            why=str(error),
            fix="report this with the file; meanwhile set the images by hand",
        ) from error
    prove(source, reread, edits)
    return after
