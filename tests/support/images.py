"""Small images in OCI layouts, for tests that read or extend a base.

layer = make_layer({"etc/os-release": "ID=ubuntu\\n", "bin": Symlink("usr/bin")})
layout = make_image(tmp_path / "base", [layer], user="1000", env={"PATH": "/usr/bin"})
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rayimage.image.layout import OciLayout
from rayimage.model import media
from rayimage.model.content import Blob
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest, canonical_json
from rayimage.model.platform import Platform
from tests.support.values import AMD64, PREFIX, SITE

RAY_PATH = f"{PREFIX}/bin:/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Symlink:
    target: str


@dataclass(frozen=True)
class HardLink:
    target: str


class Directory:
    """An entry of its own for a directory."""


File = str | bytes | Symlink | HardLink | Directory | type[Directory]


def make_tar(files: Mapping[str, File], *, format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    """An uncompressed layer; names are taken as they are, parents are not added."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for name, content in files.items():
            info, data = _member(name, content)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def make_layer(files: Mapping[str, File]) -> bytes:
    """A gzipped layer."""
    return gzip.compress(make_tar(files), mtime=0)


def make_image(
    directory: Path,
    layers: Sequence[bytes],
    *,
    tag: str = "latest",
    platform: Platform = AMD64,
    user: str = "",
    env: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    workdir: str = "/home/ray",
    media_types: Mapping[int, str] | None = None,
) -> OciLayout:
    """An image in the layout at ``directory`` under ``tag``; ``media_types`` by layer number, gzip otherwise."""
    layout = OciLayout.create(directory)
    manifest = put_image(layout, layers, platform, user, env or {"PATH": RAY_PATH}, labels or {}, workdir, media_types)
    layout.put_manifest(manifest, tag)
    return layout


def make_index(
    directory: Path, images: Mapping[Platform, Sequence[bytes]], *, tag: str = "latest", user: str = "1000"
) -> OciLayout:
    """A multi-platform image in the layout at ``directory`` under ``tag``."""
    layout = OciLayout.create(directory)
    children = []
    for platform, layers in images.items():
        child = put_image(layout, layers, platform, user, {"PATH": RAY_PATH}, {}, "/home/ray", None)
        layout.put_manifest(child)
        children.append(
            Descriptor(media_type=child.media_type, digest=child.digest, size=len(child.raw), platform=platform)
        )
    layout.put_manifest(Index.build(manifests=tuple(children), annotations={}), tag)
    return layout


def put_image(
    layout: OciLayout,
    layers: Sequence[bytes],
    platform: Platform,
    user: str,
    env: Mapping[str, str],
    labels: Mapping[str, str],
    workdir: str,
    media_types: Mapping[int, str] | None,
) -> Manifest:
    """Store layers and config, and return the manifest that is yet to be stored."""
    descriptors = tuple(
        put_bytes(layout, layer, (media_types or {}).get(number, media.OCI_LAYER_GZIP))
        for number, layer in enumerate(layers)
    )
    runtime = {
        "User": user,
        "Env": [f"{key}={value}" for key, value in env.items()],
        "Labels": dict(labels),
        "WorkingDir": workdir,
    }
    diff_ids = [f"sha256:{hashlib.sha256(_plain(layer)).hexdigest()}" for layer in layers]
    config = {**platform.to_json(), "config": runtime, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    return Manifest.build(
        config=put_bytes(layout, canonical_json(config), media.OCI_CONFIG), layers=descriptors, annotations={}
    )


def put_bytes(layout: OciLayout, data: bytes, media_type: str = "application/octet-stream") -> Descriptor:
    """Store a blob."""
    descriptor = Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data))
    layout.put_blob(Blob(descriptor=descriptor, open=lambda: nullcontext(io.BytesIO(data))))
    return descriptor


def dist_info(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    installer: str = "pip",
    files: Mapping[str, str] | None = None,
    site: str = SITE,
    record: bool = True,
) -> dict[str, File]:
    """The entries of an installed distribution; ``files`` are paths relative to site-packages and their contents."""
    directory = f"{site.lstrip('/')}/{name}-{version}.dist-info"
    headers = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {line}" for line in requires),
    ]
    entries: dict[str, File] = {f"{site.lstrip('/')}/{path}": content for path, content in (files or {}).items()}
    entries[f"{directory}/METADATA"] = "\n".join(headers) + "\n\nA description.\n\nName: not-this\n"
    entries[f"{directory}/INSTALLER"] = f"{installer}\n"
    if record:
        rows = [f"{path},sha256=abc,{len(content)}" for path, content in (files or {}).items()]
        own = f"{name}-{version}.dist-info"
        entries[f"{directory}/RECORD"] = "\n".join([*rows, f"{own}/METADATA,,", f"{own}/RECORD,,", ""])
    return entries


def ray_base(*, ray: str = "2.55.1", python: str = "3.11.11") -> dict[str, File]:
    """The entries of a base that is like rayproject/ray, as far as it matters: conda, Ray, user 1000:100."""
    prefix, minor = PREFIX.lstrip("/"), python.rpartition(".")[0]
    site = f"{PREFIX}/lib/python{minor}/site-packages"
    return {
        "bin": Symlink("usr/bin"),
        "lib": Symlink("usr/lib"),
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nray:x:1000:100::/home/ray:/bin/bash\n",
        "etc/group": "root:x:0:\nusers:x:100:ray\n",
        "usr/lib/x86_64-linux-gnu/libc.so.6": b"\x7fELF\0GNU C Library (Ubuntu GLIBC 2.35-0ubuntu3.8) stable release "
        b"version 2.35.\nCopyright\0",
        f"{prefix}/bin/python{minor}": b"\x7fELF",
        f"{prefix}/bin/python3": Symlink(f"python{minor}"),
        f"{prefix}/bin/python": Symlink(f"python{minor}"),
        f"{prefix}/conda-meta/python-{python}-h0_0_cpython.json": json.dumps(
            {"name": "python", "version": python, "files": ["bin/python"]}
        ),
        **dist_info("ray", ray, requires=["click>=7.0", 'aiohttp; extra == "serve"'], site=site),
    }


def _member(name: str, content: File) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    if isinstance(content, Symlink | HardLink):
        info.type = tarfile.SYMTYPE if isinstance(content, Symlink) else tarfile.LNKTYPE
        info.linkname = content.target
        return info, b""
    if not isinstance(content, str | bytes):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        return info, b""
    data = content.encode() if isinstance(content, str) else content
    info.size = len(data)
    return info, data


def _plain(layer: bytes) -> bytes:
    """The tar in a layer, or the layer itself when it is not an intact gzip file."""
    try:
        return gzip.decompress(layer)
    except (OSError, EOFError):
        return layer
