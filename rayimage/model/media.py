"""Media types of image content: OCI's, and Docker's schema 2 which bases still use."""

from __future__ import annotations

from typing import Final

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"

DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_FOREIGN_LAYER: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
LAYERS: Final = frozenset({OCI_LAYER_GZIP, OCI_LAYER_ZSTD})
"""Of layers that are made here."""
ACCEPT: Final = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)

_TO_OCI: Final = {
    DOCKER_LAYER: OCI_LAYER_GZIP,
    # Foreign layers keep their urls and must not be pushed; OCI's deprecated twin says the same.
    DOCKER_FOREIGN_LAYER: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
}


def as_oci(media_type: str) -> str:
    """The OCI name of a layer's media type: same bytes, so same digest; unknown types pass as they are."""
    return _TO_OCI.get(media_type, media_type)


def is_distributable(media_type: str) -> bool:
    """Whether a registry may be asked to hold the layer (foreign layers live at their own urls)."""
    return "nondistributable" not in media_type and "foreign" not in media_type
