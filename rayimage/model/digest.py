"""Content digests, as in the OCI image specification's descriptor.md (sha256 only)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rayimage.errors import UsageError

__all__ = ["Digest"]

_BLOCK: Final = 1 << 20
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A sha256 digest; ``hex`` is always 64 lower-case hexadecimal digits."""

    hex: str

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(f"sha256:{self.hex}"):
            raise UsageError(f"not a sha256 digest: {self.hex!r}", fix="write sha256: and 64 lower-case hex digits")

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``sha256:<hex>``; raises UsageError for anything else."""
        match = _SHA256.fullmatch(text)
        if not match:
            raise UsageError(f"not a digest: {text!r}", fix="write sha256: and 64 lower-case hex digits")
        return cls(match[1])

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of ``data``."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> Digest:
        """The digest of a file, read in pieces; raises OSError."""
        hasher = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                hasher.update(block)
        return cls(hasher.hexdigest())

    @property
    def short(self) -> str:
        """Twelve digits, for people."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"sha256:{self.hex}"
