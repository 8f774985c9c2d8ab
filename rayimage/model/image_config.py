"""The image config blob: the part that a runtime reads, and the diffIDs of the layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayimage.errors import ContentError
from rayimage.model.digest import Digest
from rayimage.model.platform import Platform

__all__ = ["ImageConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """A parsed view of an image config; ``raw`` are the bytes that the manifest's descriptor names."""

    raw: bytes
    platform: Platform
    env: Mapping[str, str]
    user: str
    workdir: str
    labels: Mapping[str, str]
    diff_ids: tuple[Digest, ...]

    @classmethod
    def parse(cls, raw: bytes) -> ImageConfig:
        """Read a config blob (OCI or Docker, the fields are the same); raises ContentError if malformed."""
        try:
            data = json.loads(raw)
            runtime = data.get("config") or {}
            return cls(
                raw=raw,
                platform=Platform.from_json(data),
                env=dict(item.partition("=")[::2] for item in runtime.get("Env") or ()),
                user=str(runtime.get("User") or ""),
                workdir=str(runtime.get("WorkingDir") or ""),
                labels={str(k): str(v) for k, v in (runtime.get("Labels") or {}).items()},
                diff_ids=tuple(Digest.parse(item) for item in data["rootfs"]["diff_ids"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ContentError("malformed image config", why=repr(error)) from error

    @property
    def data(self) -> dict[str, Any]:
        """A fresh copy of the JSON object."""
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed

    @property
    def created(self) -> str:
        """When the image says that it was made; 1980 where it does not say."""
        return str(self.data.get("created") or "1980-01-02T00:00:00Z")

    @property
    def path(self) -> tuple[str, ...]:
        """The directories of PATH, in order."""
        return tuple(part for part in self.env.get("PATH", "").split(":") if part)
