"""One pass over the layers of an image, bottom to top, that keeps what is of interest of its file system."""

from __future__ import annotations

from collections.abc import Iterable

from rayimage.base.archive import Entry, Kind, read_entries
from rayimage.base.interest import extractor
from rayimage.base.tree import File, Link, Tree
from rayimage.model import media
from rayimage.model.content import ContentSource
from rayimage.model.descriptor import Descriptor
from rayimage.model.progress import SILENT, Progress

__all__ = ["scan_layers"]

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


def scan_layers(source: ContentSource, layers: Iterable[Descriptor], progress: Progress = SILENT) -> Tree:
    """The file system that ``layers`` (bottom first) add up to, as far as it is of interest.

    Memory is bounded by what is of interest, whatever the layers' size. Layers that may not be distributed are
    left out with a warning. Raises ContentError for a damaged layer, and whatever ``source`` raises.
    """
    tree = Tree()
    readable = []
    for layer in layers:
        name = f"base layer {layer.digest.short}"
        if media.is_distributable(layer.media_type):
            readable.append((layer, progress.task(name, layer.size)))
        else:
            progress.warn(f"{name} is not distributable: what it contains is not known")
    for layer, task in readable:
        tree.begin_layer()
        with source.open_blob(layer) as stream:
            for entry in read_entries(stream, f"base layer {layer.digest}", task.advance):
                _apply(tree, entry)
        task.done()
    return tree


def _apply(tree: Tree, entry: Entry) -> None:
    directory, _, name = entry.path.rpartition("/")
    if name.startswith(_WHITEOUT):
        _apply_whiteout(tree, directory, name)
    elif entry.kind is Kind.FILE:
        extract = extractor(entry.path)
        if extract:
            tree.put_file(entry.path, extract(entry.read()))
        else:
            tree.clear(entry.path)
    elif entry.kind is Kind.DIRECTORY:
        tree.put_directory(entry.path, entry.owner)
    elif entry.kind is Kind.SYMLINK:
        tree.put_link(entry.path, entry.target)
    else:
        first = tree.find(entry.target, follow=False) if entry.kind is Kind.HARD_LINK else None
        if first and isinstance(first.node, File):
            tree.put_file(entry.path, first.node.content)
        elif first and isinstance(first.node, Link):  # link(2) does not follow
            tree.put_link(entry.path, first.node.target)
        else:
            tree.clear(entry.path)


def _apply_whiteout(tree: Tree, directory: str, name: str) -> None:
    if name == _OPAQUE:
        tree.white_out_children(directory or "/")
    elif not name.startswith(_WHITEOUT * 2):  # .wh..wh.* else is bookkeeping of AUFS
        tree.white_out(f"{directory}/{name.removeprefix(_WHITEOUT)}")
