"""The platform of an image: operating system, architecture, variant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rayimage.errors import UsageError

__all__ = ["MACHINES", "Platform"]

MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
"""Architectures of images that Ray is published for, and ``platform.machine()`` there."""
_PART = re.compile(r"[a-z0-9_.-]+")


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """A platform in the words of the OCI image index: ``linux/amd64``, ``linux/arm64/v8``."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``os/arch[/variant]``; raises UsageError for anything else."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(_PART.fullmatch(part) for part in parts):
            raise UsageError(f"not a platform: {text!r}", fix="write os/architecture, for example linux/amd64")
        return cls(*parts)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Platform:
        """Read the ``platform`` object of a descriptor, or the same keys of an image config."""
        return cls(str(data.get("os", "")), str(data.get("architecture", "")), str(data.get("variant", "")))

    def to_json(self) -> dict[str, str]:
        """The ``platform`` object of a descriptor."""
        data = {"architecture": self.architecture, "os": self.os}
        return data | {"variant": self.variant} if self.variant else data

    def matches(self, other: Platform) -> bool:
        """Whether ``other`` can serve where this one is asked for; no variant here accepts any."""
        same = (self.os, self.architecture) == (other.os, other.architecture)
        return same and (not self.variant or self.variant == other.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
