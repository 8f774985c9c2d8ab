"""Ports through which content is read and written: registries, OCI layouts and the Engine implement them."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from rayimage.model.descriptor import Descriptor
from rayimage.model.manifest import Index, Manifest
from rayimage.model.reference import Reference

__all__ = ["Blob", "ByteStream", "ContentSource", "ContentStore", "Outcome"]


class ByteStream(Protocol):
    """As much of a binary file as content needs; ``read(n)`` answers ``b""`` only at the end."""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A piece of content that can be sent: what it is, how to read it (again), where it may be mounted from.

    ``mend``, if there is one, makes the bytes anew when they are not what the descriptor says; whether that was so.
    """

    descriptor: Descriptor
    open: Callable[[], AbstractContextManager[ByteStream]]
    origin: Reference | None = None
    mend: Callable[[], bool] | None = None

    @classmethod
    def of_bytes(cls, descriptor: Descriptor, data: bytes) -> Blob:
        """Content that is at hand."""

        def open_bytes() -> AbstractContextManager[ByteStream]:
            return io.BytesIO(data)

        return cls(descriptor=descriptor, open=open_bytes)


class Outcome(Enum):
    """How a blob came to be where it is now."""

    EXISTS = "exists"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


class ContentSource(Protocol):
    """Somewhere images can be read from."""

    def get_manifest(self, target: str) -> Manifest | Index:
        """The manifest or index under a tag or ``sha256:…``, verified when asked for by digest.

        Raises RegistryError (also when absent), AuthError, ContentError.
        """
        ...

    def open_blob(self, descriptor: Descriptor) -> AbstractContextManager[ByteStream]:
        """A stream of exactly the blob's bytes; its end raises ContentError when digest or size differ."""
        ...


class ContentStore(ContentSource, Protocol):
    """Somewhere images can be written to. Every method may be called again after a failure."""

    def head(self, target: str) -> Descriptor | None:
        """What a tag or digest points at, without reading it; None when it is not there."""
        ...

    def put_blob(self, blob: Blob, advance: Callable[[int], None] | None = None) -> Outcome:
        """Make the blob exist; ``advance`` hears the bytes sent. Thread-safe."""
        ...

    def put_manifest(self, manifest: Manifest | Index, tag: str = "") -> None:
        """Store a manifest or index by digest, or under ``tag`` when one is given."""
        ...
