"""The base as a package index: one metadata-only wheel for each of its distributions.

Given to a resolver as find-links, they make the base's copies available as they are: also versions that no index has
(Ray nightlies, conda builds, ``+cu128`` labels, yanked releases), and with the requirements that they have *there*.
A stub is never installed: a solution that contains one is met by the base.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rayimage.cachedir import CacheDir, Kind
from rayimage.errors import LockError
from rayimage.lock._metadata import parse_requires
from rayimage.lock.target import Target, applies
from rayimage.model.digest import Digest
from rayimage.model.inventory import Distribution, Inventory

__all__ = ["stub_requires", "write_stubs"]

_EXTRA = re.compile(r"""\bextra\s*==\s*["']([^"']+)["']|["']([^"']+)["']\s*==\s*extra\b""")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_stubs(inventory: Inventory, target: Target, platform_tag: str, parent: Path) -> Path:
    """Write the stubs of a base into a directory below ``parent`` and answer it.

    The directory is named by its content, so one that exists is complete and is used again (uv caches what it reads
    by path). The stubs carry the best tag there is, or a resolver would read an index's wheel of that version instead.
    """
    interpreter = f"cp{target.python.major}{target.python.minor}"
    tag = f"{interpreter}-{interpreter}-{platform_tag}"
    stubs = dict(
        sorted(_stub(dist, stub_requires(dist, inventory, target), tag) for dist in inventory.by_name.values())
    )
    key = Digest.of(b"".join(f"{name}\0".encode() + stub for name, stub in stubs.items()))
    cache = CacheDir(parent)
    directory = cache.path(Kind.STUBS, key.short)
    if cache.use(directory):
        return directory

    def fill(target: Path) -> None:
        for name, content in stubs.items():
            (target / name).write_bytes(content)

    try:
        cache.make(directory, fill)
    except OSError as error:
        raise LockError(f"cannot write {directory}", why=str(error), fix="make the cache writable") from error
    return directory


def stub_requires(dist: Distribution, inventory: Inventory, target: Target) -> Iterator[Requirement]:
    """The requirements of a base's distribution, without those that the base itself does not meet.

    What the base runs with although its metadata says otherwise (conda's native dependencies, ``ray-llm``) must not
    move packages. A requirement of an extra whose package is absent stays: that extra was not installed.
    """
    for requirement in parse_requires(dist.requires):
        found = inventory.by_name.get(canonicalize_name(requirement.name))
        if requirement.url:
            continue
        if found is not None:
            if requirement.specifier.contains(found.version, prereleases=True):
                yield requirement
        elif not applies(requirement, target.environment):
            yield requirement


def _stub(dist: Distribution, requires: Iterator[Requirement], tag: str) -> tuple[str, bytes]:
    lines = [str(requirement) for requirement in requires]
    extras = sorted({a or b for line in lines for a, b in _EXTRA.findall(line)})
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {dist.name}",
        f"Version: {dist.version}",
        *(f"Provides-Extra: {extra}" for extra in extras),
        *(f"Requires-Dist: {line}" for line in lines),
    ]
    stem = f"{dist.name.replace('-', '_')}-{dist.version}"
    files = {
        "METADATA": "\n".join(metadata) + "\n",
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: rayimage\nRoot-Is-Purelib: false\nTag: {tag}\n",
        "RECORD": "",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/{name}", _EPOCH), text)
    return f"{stem}-{tag}.whl", buffer.getvalue()
