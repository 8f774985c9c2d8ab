"""What is in the registry: the layers of an image, and proof that a contender did its work."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from isal import igzip
from packaging.utils import canonicalize_name

__all__ = ["ImageInRegistry", "Verifier", "WrongImageError", "node_bytes"]

_ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_DIST_INFO = re.compile(r".*/site-packages/([^/]+)-([^/-]+)\.dist-info/RECORD")


class WrongImageError(Exception):
    """An image is not there, or does not contain what it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInRegistry:
    """An image's manifest digest, and its layers from bottom to top: digest → compressed size."""

    digest: str
    layers: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """Of a layer: packages with versions, and the code below the working directory by its sha256."""

    packages: Mapping[str, str]
    code: Mapping[str, str]


def node_bytes(image: ImageInRegistry, before: ImageInRegistry) -> int:
    """Compressed bytes of the layers that a node with ``before`` must pull to run ``image``."""
    return sum(size for digest, size in image.layers.items() if digest not in before.layers)


@dataclass(slots=True)
class Verifier:
    """Reads images from a registry. Each layer is read once, since its digest says what is in it."""

    http: urllib3.PoolManager = field(default_factory=urllib3.PoolManager)
    seen: dict[str, _Content] = field(default_factory=dict)

    def image(self, reference: str) -> ImageInRegistry:
        """The image that ``reference`` (host/repository:tag) names now; raises WrongImageError."""
        host, repository, tag = _parts(reference)
        raw = self._get(f"http://{host}/v2/{repository}/manifests/{tag}")
        data: dict[str, Any] = json.loads(raw)
        if "manifests" in data:
            raw = self._get(f"http://{host}/v2/{repository}/manifests/{data['manifests'][0]['digest']}")
            data = json.loads(raw)
        layers = {layer["digest"]: int(layer["size"]) for layer in data["layers"]}
        return ImageInRegistry(digest=f"sha256:{hashlib.sha256(raw).hexdigest()}", layers=layers)

    def check(
        self, reference: str, base: ImageInRegistry, versions: Mapping[str, str], code: Path, name: str
    ) -> ImageInRegistry:
        """The image, if it stands on ``base``, adds exactly ``versions``, and has the file ``code`` as ``name``.

        Raises WrongImageError.
        """
        image = self.image(reference)
        if missing := set(base.layers) - set(image.layers):
            raise WrongImageError(f"{reference} does not stand on the base: it has no layer {', '.join(missing)}")
        packages: dict[str, str] = {}
        files: dict[str, str] = {}
        for digest in image.layers:
            if digest not in base.layers:
                content = self._content(reference, digest)
                packages |= content.packages
                files |= content.code
        if packages != versions:
            wrong = sorted(set(packages.items()) ^ set(versions.items()))
            raise WrongImageError(f"{reference} has other packages than the lock: {wrong[:5]}")
        if files.get(name) != hashlib.sha256(code.read_bytes()).hexdigest():
            raise WrongImageError(f"{reference} does not have the code of now: {name}")
        return image

    def _content(self, reference: str, digest: str) -> _Content:
        if digest not in self.seen:
            host, repository, _ = _parts(reference)
            url = f"http://{host}/v2/{repository}/blobs/{digest}"
            with self.http.request("GET", url, preload_content=False) as response:
                if response.status != 200:
                    raise WrongImageError(f"{reference}: the registry has no layer {digest}")
                self.seen[digest] = _read_layer(response)
        return self.seen[digest]

    def _get(self, url: str) -> bytes:
        response = self.http.request("GET", url, headers={"Accept": _ACCEPT})
        if response.status != 200:
            raise WrongImageError(f"{url}: {response.status}")
        return response.data


def _parts(reference: str) -> tuple[str, str, str]:
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    return host, repository, tag


def _read_layer(stream: Any) -> _Content:
    """One pass over a gzip'd tar, of however many gzip members."""
    packages: dict[str, str] = {}
    code: dict[str, str] = {}
    plain = igzip.IGzipFile(fileobj=stream)  # type: ignore[no-untyped-call]
    with tarfile.open(fileobj=plain, mode="r|") as archive:
        for member in archive:
            path = "/" + member.name.removeprefix("./").lstrip("/")
            if match := _DIST_INFO.fullmatch(path):
                packages[canonicalize_name(match[1])] = match[2]
            elif path.startswith("/home/ray/app/") and member.isfile():
                data = archive.extractfile(member).read()  # type: ignore[union-attr]  # a file has one
                code[path.removeprefix("/home/ray/app/")] = hashlib.sha256(data).hexdigest()
    return _Content(packages=packages, code=code)
