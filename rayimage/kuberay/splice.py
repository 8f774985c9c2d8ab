"""Scalars replaced in the text they stand in, and the proof that nothing else became different."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from rayimage.errors import KubeRayError
from rayimage.kuberay.documents import Source
from rayimage.kuberay.locate import Site
from rayimage.kuberay.nodes import Place

__all__ = ["Edit", "apply", "plan_edit", "prove"]

_STRING = "tag:yaml.org,2002:str"

# A node's span begins with its properties: "&anchor ", "!!tag ", in either order.
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")

# Go templates and Jinja, shell and kustomize variables.
_PLACEHOLDER = re.compile(r"\{\{|\{%|\$")

# A reference that is a string in every version of YAML and in flow and block context: it begins with a letter or digit,
# has no blank, and a slash, an at sign or a colon after a letter rules out numbers, dates, booleans and sexagesimals.
# A Ray version never matches, so it is quoted: plain 2.10 is a number.
_PLAIN = re.compile(r"[A-Za-z0-9][\w./:@-]*[/@][\w./:@-]*[\w.-]|[A-Za-z][\w.-]*:[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """``text[start:end]`` becomes ``spelling``, after which ``node`` is a string of value ``new``."""

    node: ScalarNode
    start: int
    end: int
    spelling: str
    new: str

    @property
    def style(self) -> str | None:
        """The quote that ``spelling`` uses; None when it is plain."""
        return self.spelling[0] if self.spelling[0] in "\"'" else None


def plan_edit(source: Source, site: Site) -> Edit | None:
    """The edit that makes ``site`` say its new value; None when it already does.

    Quotes stay as they are; a plain scalar gets double quotes where plain would not be a string.
    Raises KubeRayError for a value that is no literal on one line.
    """
    place, node = site.place, site.place.node
    if not isinstance(node, ScalarNode):
        raise _not_literal(place, source.text[node.start_mark.index :])
    if node.value == site.new and node.tag == _STRING:
        return None
    if _PLACEHOLDER.search(node.value):
        raise place.refusal(f"{node.value!r} is a template or variable", fix=_RENDER)
    span = source.text[node.start_mark.index : node.end_mark.index]
    properties = _PROPERTIES.match(span)
    literal = span[properties.end() if properties else 0 :]
    if not _on_one_line(literal, node):
        raise place.refusal("the value is written over several lines", fix="write it on the line of its key")
    if "!" in span.removesuffix(literal) and node.tag != _STRING:
        raise place.refusal(f"the value is tagged {node.tag}", fix="remove the tag: an image or version is a string")
    quote = node.style or ("" if _PLAIN.fullmatch(site.new) else '"')
    return Edit(
        node=node,
        start=node.end_mark.index - len(literal),
        end=node.end_mark.index,
        spelling=f"{quote}{site.new}{quote}",
        new=site.new,
    )


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made; spans must not overlap."""
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.spelling + text[edit.end :]
    return text


def prove(before: Source, after: Source, edits: Sequence[Edit]) -> None:
    """Compare the two files' node trees: the same everywhere, but for the edited scalars' values.

    Structure, tags, anchors, quote styles and what each alias points to count. Raises KubeRayError otherwise.
    """
    edited = {id(edit.node): edit for edit in edits}
    twins: dict[int, Node] = {}
    pairs = list(zip(before.roots, after.roots, strict=False))
    same = len(before.roots) == len(after.roots)
    while pairs and same:
        old, new = pairs.pop()
        if id(old) in twins:
            same = twins[id(old)] is new
            continue
        twins[id(old)] = new
        edit = edited.get(id(old))
        same = _is_edited(old, new, edit) if edit is not None else _is_same(old, new)
        pairs += zip(_below(old), _below(new), strict=False)
    if not same or not edited.keys() <= twins.keys() or len({id(twin) for twin in twins.values()}) != len(twins):
        raise KubeRayError(
            f"{before.file}: not written, because more than the images would have changed",
            why="the edited text does not read back as the same documents with new images",
            fix="report this with the file; meanwhile set the images by hand",
        )


_RENDER = "render the template first and give the result, or give the values file instead"


def _not_literal(place: Place, text: str) -> KubeRayError:
    if text.startswith("{{"):
        return place.refusal("the value is a template", fix=_RENDER)
    return place.refusal("the value is not a scalar", fix="write it as one string")


def _on_one_line(literal: str, node: ScalarNode) -> bool:
    if node.style is None:
        return bool(literal == node.value)
    return node.style in ("'", '"') and literal[:1] == literal[-1:] == node.style and not {"\n", "\r"} & set(literal)


def _is_edited(old: Node, new: Node, edit: Edit) -> bool:
    return (
        isinstance(new, ScalarNode)
        and (new.value, new.tag, new.style) == (edit.new, _STRING, edit.style)
        and new.anchor == old.anchor
    )


def _is_same(old: Node, new: Node) -> bool:
    if type(old) is not type(new) or (old.tag, old.anchor) != (new.tag, new.anchor):
        return False
    if isinstance(old, CollectionNode) and isinstance(new, CollectionNode):
        return len(old.value) == len(new.value) and bool(old.flow_style == new.flow_style)
    if isinstance(old, ScalarNode) and isinstance(new, ScalarNode):
        return bool(old.value == new.value and old.style == new.style)
    return False


def _below(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        yield from (part for pair in node.value for part in pair)
    elif isinstance(node, CollectionNode):
        yield from node.value
