"""What there is in the cache directory, and where."""

from __future__ import annotations

from enum import Enum

__all__ = ["Kind"]


class Kind(Enum):
    """A kind of entries: the directory that they lie in, and what they are called."""

    BLOBS = ("blobs/sha256", "image layers")
    LAYERS = ("layers", "records of layers")
    WHEELS = ("wheels/sha256", "wheels")
    UNFINISHED = ("unfinished", "unfinished downloads")
    LOCAL_WHEELS = ("local-wheels", "wheels built from source")
    SOURCE_WHEELS = ("source-wheels", "wheels built from sdists and commits")
    SYSTEM = ("system", "layers of the operating system")
    INVENTORIES = ("inventory", "inventories of base images")
    BASES = ("bases", "manifests of base images")
    UPLOADS = ("uploads", "uploads to be continued")
    STUBS = ("stubs", "base images as indexes for resolvers")
    EXPORTS = ("exports", "answers of poetry and pdm")
    PIP_TOOLS = ("pip-tools", "pip-tools for base images")
    PIP = ("foreign", "pip's own cache")
    CONTEXTS = ("docker", "contexts of Docker builds")

    def __init__(self, directory: str, title: str) -> None:
        self.directory = directory
        self.title = title
