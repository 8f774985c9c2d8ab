"""Source distributions that build without an index: their build backend is their own, and zips what lies there."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Sequence

__all__ = ["BACKEND", "make_sdist", "source_files"]

BACKEND = """\
import pathlib
import zipfile


def build_wheel(target, config_settings=None, metadata_directory=None):
    text = pathlib.Path("PKG").read_text()
    name, version, tag, *requires = text.split("\\n")[:-1]
    if tag == "fails":
        raise SystemExit("no such header: x.h")
    info = f"{name}-{version}.dist-info"
    lines = "".join(f"Requires-Dist: {line}\\n" for line in requires)
    with zipfile.ZipFile(pathlib.Path(target) / f"{name}-{version}-{tag}.whl", "w") as archive:
        for file in sorted(pathlib.Path(name).iterdir()):
            archive.write(file, file.as_posix())
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{lines}")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: {tag}\\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}-{version}-{tag}.whl"
"""


def source_files(
    name: str, version: str, *requires: str, tag: str = "py3-none-any", more: dict[str, bytes] | None = None
) -> dict[str, bytes]:
    """The files of a source tree whose wheel has ``tag``; building fails where that is ``fails``."""
    project = f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = {json.dumps(requires)}\n'
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    return {
        "pyproject.toml": (project + system).encode(),
        "backend.py": BACKEND.encode(),
        "PKG": "".join(f"{line}\n" for line in (name, version, tag, *requires)).encode(),
        "PKG-INFO": "\n".join(
            ["Metadata-Version: 2.2", f"Name: {name}", f"Version: {version}"]
            + [f"Requires-Dist: {line}" for line in requires]
            + [""]
        ).encode(),
        f"{name}/__init__.py": b"VALUE = 1\n",
        **(more or {}),
    }


def make_sdist(name: str, version: str, *requires: str, **how) -> tuple[str, bytes]:
    """A source distribution of such a tree: file name and content."""
    files: Sequence[tuple[str, bytes]] = sorted(source_files(name, version, *requires, **how).items())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in files:
            info = tarfile.TarInfo(f"{name}-{version}/{path}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return f"{name}-{version}.tar.gz", gzip.compress(buffer.getvalue(), mtime=0)
