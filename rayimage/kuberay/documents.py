"""A YAML file as text with known positions, and the KubeRay documents in it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rayimage.errors import KubeRayError
from rayimage.kuberay.nodes import Place, entries

__all__ = ["RayDocument", "Source", "parse", "ray_documents"]

# Deeper than any Kubernetes object, shallow enough for the composer's recursion.
_DEPTH = 200

_TEMPLATE = re.compile(r"\{\{|\{%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file's text without its byte order mark, and one node tree per YAML document, with marks into that text."""

    file: Path
    bom: bytes
    text: str
    roots: tuple[Node, ...]

    def encode(self, text: str) -> bytes:
        """The bytes of ``text`` as this file has them."""
        return self.bom + text.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class RayDocument:
    """One object of a ``ray.io`` API. ``root`` is the YAML document it stands in: anchors reach that far."""

    kind: str
    name: str
    place: Place
    root: Node

    @property
    def title(self) -> str:
        """``kind/name``."""
        return f"{self.kind}/{self.name}"


def parse(data: bytes, file: Path) -> Source:
    """Compose a file's documents, without constructing values: templates and unknown tags need not make sense.

    The pure-Python parser is used because the C one is off by a character after a byte order mark. Raises
    KubeRayError with file and line for what is not YAML in UTF-8.
    """
    bom = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    try:
        text = data[len(bom) :].decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, len(bom) + error.start) + 1
        raise KubeRayError(f"{file}:{line}: not UTF-8 text", why=error.reason, fix="save the file as UTF-8") from None
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = _DEPTH
    yaml.composer.warn_double_anchors = False  # an anchor may be defined again: YAML 1.2.2, section 3.2.2.2
    try:
        roots = tuple(yaml.compose_all(_without_tabs(text)))
    except Exception as error:  # KeyError (%YAML 1.3) and others leak from ruamel.yaml beside its own classes
        raise _not_yaml(error, text, file) from error
    return Source(file=file, bom=bom, text=text, roots=roots)


def ray_documents(source: Source) -> tuple[RayDocument, ...]:
    """The ``ray.io`` objects of a file, of any version and kind, also as items of a Kubernetes List."""
    return tuple(
        document
        for root in source.roots
        for place in _objects(Place(file=source.file, path="", node=root))
        if (document := _ray_document(place, root)) is not None
    )


def _objects(place: Place) -> Iterator[Place]:
    yield place
    found = dict(entries(place.node)) if isinstance(place.node, MappingNode) else {}
    items = found.get("items")
    if _text(found.get("kind")).endswith("List") and isinstance(items, SequenceNode):
        yield from Place(file=place.file, path="items", node=items).items()


def _ray_document(place: Place, root: Node) -> RayDocument | None:
    """Only a ``ray.io`` object is read strictly; the others may repeat keys as they like."""
    if not isinstance(place.node, MappingNode):
        return None
    versions = [_text(node) for key, node in entries(place.node) if key == "apiVersion"]
    if not any(version.startswith("ray.io/") for version in versions):
        return None
    place.child("apiVersion")
    kind, metadata = place.child("kind"), place.child("metadata")
    if kind is None or (kind.text or "").endswith("List"):
        return None
    return RayDocument(kind=kind.text or "", name=_name(metadata), place=place, root=root)


def _name(metadata: Place | None) -> str:
    found = dict(entries(metadata.node)) if metadata and isinstance(metadata.node, MappingNode) else {}
    prefix = _text(found.get("generateName"))
    return _text(found.get("name")) or (f"{prefix}*" if prefix else "(unnamed)")


def _text(node: Node | None) -> str:
    return str(node.value) if isinstance(node, ScalarNode) else ""


def _without_tabs(text: str) -> str:
    """The text with blanks for the tabs that separate tokens, which YAML allows and ruamel.yaml does not.

    Tabs that indent stay, and stay an error. No position moves, and no output is made from this text.
    """
    return re.sub(r"(?<=\S)[ \t]*\t[ \t]*", lambda match: " " * len(match[0]), text) if "\t" in text else text


def _not_yaml(error: Any, text: str, file: Path) -> KubeRayError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = mark.index if mark else getattr(error, "position", None)
    where = f"{file}:{text.count(chr(10), 0, position) + 1}" if position is not None else f"{file}"
    why = getattr(error, "problem", None) or getattr(error, "reason", None)
    why = why or f"the parser stopped with {type(error).__name__}"
    fix = "correct the YAML"
    if _TEMPLATE.search(text):
        fix = "render the template first and give the result, or give the values file instead"
        why = f"{why}; the file holds template expressions"
    return KubeRayError(f"{where}: not YAML", why=why, fix=fix)
