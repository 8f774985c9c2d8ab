"""The file system of an image, as far as anything in it is of interest: layers applied, whiteouts honoured.

Rules of the OCI image specification's layer.md, and of containerd's ``archive.Apply`` where it is silent: a
directory does not replace a directory, everything else replaces what was there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rayimage.model.inventory import DirectoryOwner

__all__ = ["Directory", "File", "Found", "Link", "Tree"]

_MAX_LINKS: Final = 40
"""Links followed in one path before it is called a loop (Linux: MAXSYMLINKS)."""


@dataclass(slots=True)
class File:
    """A file of interest, with as much of its content as is of interest."""

    layer: int
    content: bytes = b""


@dataclass(slots=True)
class Link:
    """A symbolic link; ``target`` as written."""

    layer: int
    target: str


@dataclass(slots=True)
class Directory:
    """A directory; ``owner`` is None for one that no layer declares."""

    layer: int
    owner: DirectoryOwner | None = None
    children: dict[str, Node] = field(default_factory=dict)


Node = File | Link | Directory


@dataclass(frozen=True, slots=True)
class Found:
    """A node, and its path without symbolic links in it."""

    path: str
    node: Node


class Tree:
    """A mutable file system. Paths are absolute and normalised."""

    def __init__(self) -> None:
        self._root = Directory(0)
        self._layer = 0

    # Applying layers

    def begin_layer(self) -> None:
        """What is put from now on belongs to the next layer up."""
        self._layer += 1

    def put_file(self, path: str, content: bytes = b"") -> None:
        """A file of interest."""
        self._put(path, File(self._layer, content))

    def put_link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._put(path, Link(self._layer, target))

    def put_directory(self, path: str, owner: DirectoryOwner) -> None:
        """A directory: what is in it stays, anything else of that name goes."""
        parent, name = self._parent(path, make=True)
        if parent and name:
            there = parent.children.get(name)
            children = there.children if isinstance(there, Directory) else {}
            parent.children[name] = Directory(self._layer, owner, children)

    def clear(self, path: str) -> None:
        """Something without interest is at ``path`` now."""
        parent, name = self._parent(path)
        if parent:
            parent.children.pop(name, None)

    def white_out(self, path: str) -> None:
        """Hide what lower layers have at ``path``."""
        parent, name = self._parent(path)
        if parent and name in parent.children and self._is_hidden(parent.children[name]):
            del parent.children[name]

    def white_out_children(self, path: str) -> None:
        """Hide what lower layers have in the directory at ``path``."""
        found = self.find(path)
        if found and isinstance(found.node, Directory):
            self._is_hidden(found.node)

    # Looking things up

    def find(self, path: str, *, follow: bool = True) -> Found | None:
        """What is at ``path``, through symbolic links in it (and, if ``follow``, at its end)."""
        real = self.resolve(path, follow=follow)
        node = self._at(real.split("/")[1:]) if real else None
        return Found(real, node) if real and node else None

    def resolve(self, path: str, *, follow: bool = True) -> str | None:
        """``path`` without symbolic links in it, be there something of interest or not; None for a loop."""
        todo = path.split("/")[::-1]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            directory = self._at(done)
            child = directory.children.get(part) if isinstance(directory, Directory) else None
            if isinstance(child, Link) and (follow or any(todo)):
                links += 1
                if links > _MAX_LINKS:
                    return None
                if child.target.startswith("/"):
                    done = []
                todo.extend(reversed(child.target.split("/")))
            else:
                done.append(part)
        return "/" + "/".join(done)

    def content(self, path: str) -> bytes | None:
        """The content of the file at ``path``, or None when there is none."""
        found = self.find(path)
        return found.node.content if found and isinstance(found.node, File) else None

    def children(self, path: str) -> Mapping[str, Node]:
        """What is in the directory at ``path``, by name."""
        found = self.find(path)
        return found.node.children if found and isinstance(found.node, Directory) else {}

    def links(self) -> Iterator[tuple[str, str]]:
        """Every symbolic link: its path and its target, sorted by path."""
        yield from sorted((path, node.target) for path, node in self._walk() if isinstance(node, Link))

    def directories(self) -> Iterator[tuple[str, DirectoryOwner]]:
        """Every directory that a layer declares, sorted by path."""
        found = ((path, node.owner) for path, node in self._walk() if isinstance(node, Directory) and node.owner)
        yield from sorted(found, key=lambda item: item[0])

    def _walk(self) -> Iterator[tuple[str, Node]]:
        """Everything below the root; with a list of its own, since nothing bounds how deep an archive goes."""
        todo: list[tuple[str, Node]] = [("", self._root)]
        while todo:
            path, node = todo.pop()
            if path:
                yield path, node
            if isinstance(node, Directory):
                todo += ((f"{path}/{name}", child) for name, child in node.children.items())

    def _put(self, path: str, node: File | Link) -> None:
        parent, name = self._parent(path, make=True)
        if parent:
            parent.children[name] = node

    def _parent(self, path: str, *, make: bool = False) -> tuple[Directory | None, str]:
        """The directory that ``path`` is in, and its name there; None when there is nothing of interest in it."""
        *parts, name = path[1:].split("/")
        node = self._root
        for number, part in enumerate(parts):
            child = node.children.get(part)
            if isinstance(child, Directory):
                node = child
            elif isinstance(child, Link):
                real = self.resolve("/" + "/".join(parts[: number + 1]))
                if not real:
                    return None, name
                return self._parent("/".join([real.rstrip("/"), *parts[number + 1 :], name]), make=make)
            elif make:
                node.children[part] = node = Directory(self._layer)
            else:
                return None, name
        return node, name

    def _at(self, parts: Sequence[str]) -> Node | None:
        node: Node | None = self._root
        for part in filter(None, parts):
            node = node.children.get(part) if isinstance(node, Directory) else None
        return node

    def _is_hidden(self, node: Node) -> bool:
        """Drop what lower layers have in ``node``; True when nothing is left."""
        directories = [node] if isinstance(node, Directory) else []
        for directory in directories:  # grows while it is read: parents come before what is in them
            directories += (child for child in directory.children.values() if isinstance(child, Directory))
        for directory in reversed(directories):
            directory.children = {name: child for name, child in directory.children.items() if not self._is_old(child)}
        return self._is_old(node)

    def _is_old(self, node: Node) -> bool:
        """Whether ``node`` is a lower layer's, and holds nothing of this one."""
        return node.layer < self._layer and not (isinstance(node, Directory) and node.children)
