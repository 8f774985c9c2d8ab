"""Content descriptors (OCI image specification, descriptor.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rayimage.errors import ContentError
from rayimage.model import media
from rayimage.model.digest import Digest
from rayimage.model.platform import Platform

__all__ = ["EMPTY", "EMPTY_CONFIG", "Descriptor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a piece of content is called, how long it is (bytes) and what it means."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    artifact_type: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Descriptor:
        """Read a descriptor object; raises ContentError when a required field is absent or malformed."""
        try:
            return cls(
                media_type=str(data["mediaType"]),
                digest=Digest.parse(data["digest"]),
                size=_size(data["size"]),
                annotations={str(k): str(v) for k, v in (data.get("annotations") or {}).items()},
                platform=Platform.from_json(data["platform"]) if data.get("platform") else None,
                urls=tuple(data.get("urls") or ()),
                artifact_type=str(data.get("artifactType", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ContentError("malformed content descriptor", why=f"{error!r} in {data!r:.200}") from error

    def to_json(self) -> dict[str, Any]:
        """The descriptor object, without the fields that are empty."""
        optional = {
            "artifactType": self.artifact_type,
            "annotations": dict(self.annotations),
            "platform": self.platform.to_json() if self.platform else None,
            "urls": list(self.urls),
        }
        required = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        return required | {key: value for key, value in optional.items() if value}

    def annotated(self, **annotations: str) -> Descriptor:
        """The same content with more annotations."""
        return replace(self, annotations={**self.annotations, **annotations})


def _size(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"not a size: {value!r}")
    return value


EMPTY: Final = b"{}"
EMPTY_CONFIG: Final = Descriptor(media_type=media.OCI_EMPTY, digest=Digest.of(EMPTY), size=len(EMPTY))
"""The config of an artifact that has none (OCI image specification, "Guidance for an Empty Descriptor")."""
