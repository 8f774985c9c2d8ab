"""The distributions that are installed in an image: ``.dist-info`` and ``.egg-info`` directories of its Python."""

from __future__ import annotations

import csv
import io
import json
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from typing import Any

from packaging.utils import InvalidName, NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.base.tree import File, Tree
from rayimage.model.inventory import Distribution, InstalledFile

__all__ = ["read_distributions"]

Real = Callable[[str], "str | None"]
"""From a directory to its path without symbolic links; None for a loop."""


def read_distributions(
    tree: Tree, site_dirs: Sequence[str], prefix: str, warn: Callable[[str], None]
) -> tuple[Distribution, ...]:
    """The distributions in ``site_dirs`` (in the order of ``sys.path``), sorted by name.

    A name counts once: the first directory's wins, as it does for ``import``; within a directory the last by path
    does, with a warning. ``prefix`` is where conda's records are.
    """
    conda = _conda_files(tree, prefix)
    real = cache(tree.resolve)
    found: dict[NormalizedName, Distribution] = {}
    for directory in site_dirs:
        here: dict[NormalizedName, Distribution] = {}
        for dist in _in_directory(tree, directory, conda, real, warn):
            if other := here.get(dist.name):
                warn(f"the base has {dist.name} twice: {other.dist_info} is ignored, {dist.dist_info} counts")
            here[dist.name] = dist
        found = here | found
    return tuple(sorted(found.values(), key=lambda dist: dist.name))


class _Metadata(metadata.Distribution):
    """A metadata directory (or egg-info file) of the image, for the standard library to read."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def read_text(self, filename: str) -> str | None:
        data = self._files.get(filename)
        return None if data is None else data.decode(errors="replace")

    def locate_file(self, path: Any) -> Any:
        return path


def _in_directory(
    tree: Tree, directory: str, conda: Mapping[str, Sequence[str]], real: Real, warn: Callable[[str], None]
) -> Iterator[Distribution]:
    for name in sorted(tree.children(directory)):
        # pip renames what it is about to remove to ~name, and ignores what an interrupted run left so.
        if not name.endswith((".dist-info", ".egg-info")) or name.startswith("~"):
            continue
        path = f"{directory}/{name}"
        # By path and not by node: environments made of links (Nix, Spack) have them here.
        contents = {child: tree.content(f"{path}/{child}") for child in tree.children(path)}
        contents["PKG-INFO"] = contents.get("PKG-INFO") or tree.content(path)
        files = {child: content for child, content in contents.items() if content is not None}
        dist = _distribution(path, files, conda.get(path, ()), real)
        if dist:
            yield dist
        elif files:
            warn(f"{path} of the base is ignored: it has no valid name and version")


def _distribution(path: str, files: Mapping[str, bytes], conda_files: Sequence[str], real: Real) -> Distribution | None:
    if not {"METADATA", "PKG-INFO"} & files.keys():
        return None
    text = _Metadata(files)
    header = text.metadata
    try:
        name = canonicalize_name(header.get("Name") or "", validate=True)  # type: ignore[attr-defined]
        version = Version(header.get("Version") or "")  # type: ignore[attr-defined]
    except (InvalidName, ValueError):  # InvalidVersion, or more digits than int() takes
        return None
    if _name_in(path) not in ("", name):
        return None
    installer = (files.get("INSTALLER") or b"").decode(errors="replace").strip()
    return Distribution(
        name=name,
        version=version,
        requires=tuple(" ".join(line.split()) for line in text.requires or ()),
        installer=installer or ("conda" if conda_files else ""),
        files=_files(path, files, conda_files, real),
        dist_info=path,
    )


def _name_in(path: str) -> str:
    """The name in that of a ``.dist-info`` directory, which is what importlib.metadata and pip go by."""
    stem = posixpath.basename(path).removesuffix(".dist-info")
    return canonicalize_name(stem.rpartition("-")[0]) if path.endswith(".dist-info") else ""


def _files(path: str, files: Mapping[str, bytes], conda_files: Sequence[str], real: Real) -> tuple[InstalledFile, ...]:
    """What the distribution put into the image: by RECORD, else conda's record, else setuptools' old list.

    Where it is, not where links lead to it from: a file is removed and compared by its own path.
    """
    if "RECORD" in files:
        found = dict(_record(posixpath.dirname(path), files["RECORD"]))
    elif conda_files:
        found = dict.fromkeys(conda_files, "")
    else:
        lines = files.get("installed-files.txt", b"").decode(errors="surrogateescape").splitlines()
        found = {posixpath.normpath(f"{path}/{line}"): "" for line in lines if line}
    placed = {_without_links(name, real): digest for name, digest in found.items()}
    return tuple(InstalledFile(name, placed[name]) for name in sorted(placed))


def _without_links(path: str, real: Real) -> str:
    directory, _, name = path.rpartition("/")
    return posixpath.join(real(directory) or directory, name)


def _record(directory: str, data: bytes) -> Iterator[tuple[str, str]]:
    """The rows of a RECORD (Recording installed projects, packaging specifications): path, and sha256 if any."""
    rows = csv.reader(io.StringIO(data.decode(errors="surrogateescape"), newline=""))
    with suppress(csv.Error):  # NUL before Python 3.11, or a field of more than 128 KiB: no RECORD has either
        for row in rows:
            if row and row[0]:
                digest = row[1] if len(row) > 1 and row[1].startswith("sha256=") else ""
                yield posixpath.normpath(posixpath.join(directory, row[0])), digest


def _conda_files(tree: Tree, prefix: str) -> dict[str, list[str]]:
    """The files of conda's Python packages, by the path of the metadata directory that is among them."""
    found = {}
    for name, node in sorted(tree.children(f"{prefix}/conda-meta").items()):
        if not name.endswith(".json") or not isinstance(node, File) or not node.content:
            continue
        files = [posixpath.normpath(f"{prefix}/{file}") for file in json.loads(node.content)["files"]]
        for file in files:
            head, suffix, _ = _split_metadata_path(file)
            if suffix:
                found[head + suffix] = files
    return found


def _split_metadata_path(path: str) -> tuple[str, str, str]:
    suffix = ".dist-info" if ".dist-info/" in path else ".egg-info"
    return path.partition(suffix)
