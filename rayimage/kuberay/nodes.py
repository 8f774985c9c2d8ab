"""Ways through a tree of YAML nodes: by key, with merge keys and aliases as Kubernetes' own parser sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rayimage.errors import KubeRayError

__all__ = ["Place", "children", "entries", "paths_to"]

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A node of a file and the path that led to it, such as ``spec.headGroupSpec.template``."""

    file: Path
    path: str
    node: Node

    @property
    def line(self) -> int:
        """The node's line, counted from 1; for an alias that of the anchored node."""
        return int(self.node.start_mark.line) + 1

    @property
    def text(self) -> str | None:
        """A scalar's value as written, without quotes; None for a list or a mapping."""
        return str(self.node.value) if isinstance(self.node, ScalarNode) else None

    def child(self, *keys: str) -> Place | None:
        """What is under ``keys``, one below the other; None where one is absent or null.

        Raises KubeRayError for a key that appears twice and for a value that cannot have keys.
        """
        place = self
        for key in keys:
            below = place._child(key)
            if below is None:
                return None
            place = below
        return place

    def _child(self, key: str) -> Place | None:
        if not isinstance(self.node, MappingNode):
            raise self.refusal("it is not a mapping", fix="write it as a mapping of keys to values")
        found = [node for name, node in entries(self.node) if name == key]
        below = [Place(file=self.file, path=f"{self.path}.{key}".lstrip("."), node=node) for node in found]
        if len(below) > 1:
            raise below[1].refusal("the key appears twice in one mapping", fix="remove one of the two")
        return below[0] if below and not _is_null(below[0].node) else None

    def items(self) -> tuple[Place, ...]:
        """The elements of a list. Raises KubeRayError when it is none."""
        if not isinstance(self.node, SequenceNode):
            raise self.refusal("it is not a list", fix="write it as a list")
        return tuple(
            Place(file=self.file, path=f"{self.path}[{index}]", node=node) for index, node in enumerate(self.node.value)
        )

    def refusal(self, why: str, *, fix: str) -> KubeRayError:
        """The error that names this place."""
        return KubeRayError(f"{self.file}:{self.line}: cannot edit {self.path}", why=why, fix=fix)


def entries(mapping: MappingNode, _seen: set[int] | None = None) -> list[tuple[str | None, Node]]:
    """The keys and values of a mapping with its ``<<`` merges: own keys win, then earlier merges over later ones.

    A key that is no scalar (a Go template composes as one) is None. Keys that appear twice stay twice.
    """
    # What was merged once has nothing to add: neither a cycle nor a tower of aliases goes on for ever.
    seen = set() if _seen is None else _seen
    seen.add(id(mapping))
    pairs = [(_key(key), value) for key, value in mapping.value if key.tag != _MERGE]
    for source in _merged(mapping):
        if id(source) not in seen:
            known = {key for key, _ in pairs}
            pairs += [pair for pair in entries(source, seen) if pair[0] not in known]
    return pairs


def children(node: Node) -> Iterator[tuple[str, Node]]:
    """The nodes directly below, each with its piece of a path: ``.key`` or ``[index]``."""
    if isinstance(node, MappingNode):
        yield from ((f".{key}", value) for key, value in entries(node))
    elif isinstance(node, SequenceNode):
        yield from ((f"[{index}]", value) for index, value in enumerate(node.value))


def paths_to(root: Node, target: Node, *, limit: int) -> list[str]:
    """Every path from ``root`` to the one node ``target``, at most ``limit``: more than one when aliases lead to it."""
    parents: dict[int, list[tuple[str, Node]]] = defaultdict(list)
    seen = {id(root)}
    stack = [root]
    while stack:
        node = stack.pop()
        for piece, child in children(node):
            parents[id(child)].append((piece, node))
            if id(child) not in seen:
                seen.add(id(child))
                stack.append(child)

    def climb(node: Node, tail: str, below: frozenset[int]) -> Iterator[str]:
        if node is root:
            yield tail.lstrip(".")
        for piece, parent in parents[id(node)]:
            if id(parent) not in below:
                yield from climb(parent, piece + tail, below | {id(parent)})

    return list(islice(climb(target, "", frozenset({id(target)})), limit))


def _key(node: Node) -> str | None:
    return str(node.value) if isinstance(node, ScalarNode) else None


def _merged(mapping: MappingNode) -> Iterator[MappingNode]:
    for key, value in mapping.value:
        if key.tag == _MERGE:
            sources = value.value if isinstance(value, SequenceNode) else [value]
            yield from (source for source in sources if isinstance(source, MappingNode))


def _is_null(node: Node) -> bool:
    """Null, or nothing at all behind a tag (``image: !!str``): no text that could be replaced."""
    return isinstance(node, ScalarNode) and (node.tag == _NULL or (node.style is None and not node.value))
