"""Building a wheel from a source tree, and writing it in one form.

Backends differ in order, times, modes and their own name, none of which should make another image layer.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from rayimage.layers.zip_member import record_hash
from rayimage.processes import run_captured
from rayimage.specs.exporters import find_uv
from rayimage.specs.findings import without_secrets

__all__ = ["EPOCH", "build_wheel", "fits_everywhere", "last_words", "rewrite_wheel"]

EPOCH: Final = 315619200
"""1980-01-02, the first whole day that a zip file can state in any time zone."""
_TIME: Final = (1980, 1, 2, 0, 0, 0)
_DIRECT: Final = re.compile(r"^(Requires-Dist: [^@;\n]+?) ?@ ?file:[^;\n]*", re.MULTILINE)
_GENERATOR: Final = re.compile(r"^Generator: .*$", re.MULTILINE)


def build_wheel(
    source: Path, made: Path, *, directory: Path, environment: Mapping[str, str] | None = None
) -> tuple[Path | None, str]:
    """Build the tree ``source`` into the directory ``made``: the wheel, None when that fails, and what was said.

    In isolation, by uv, whose indexes and credentials are those of the lock; ``directory`` is where it looks for its
    configuration.
    """
    command = [find_uv(), "build", "--wheel", "--no-progress", "--no-python-downloads", "--python", sys.executable]
    env = {**os.environ, **(environment or {}), "SOURCE_DATE_EPOCH": str(EPOCH), "NO_COLOR": "1"}
    done = run_captured([*command, "--out-dir", str(made), str(source)], env=env, cwd=directory)
    wheels = sorted(made.glob("*.whl"))
    return (wheels[0] if not done.returncode and len(wheels) == 1 else None), done.stdout + done.stderr


def last_words(text: str, lines: int = 8) -> str:
    """The end of a program's output, without secrets."""
    return without_secrets("\n".join(text.strip().splitlines()[-lines:]))


def fits_everywhere(tags: Iterable[Tag]) -> bool:
    """Whether a wheel of these tags is for every platform: nothing in it was compiled."""
    return all(tag.abi == "none" and tag.platform == "any" for tag in tags)


def rewrite_wheel(wheel: Path, target: Path) -> None:
    """The same wheel in one form: sorted, with one time, plain modes, no generator, and no path of this machine."""
    with zipfile.ZipFile(wheel) as archive:
        members = {info.filename: (info, archive.read(info)) for info in archive.infolist() if not info.is_dir()}
    record = next(name for name in members if name.endswith(".dist-info/RECORD"))
    names = sorted(members.keys() - {record}, key=lambda name: (".dist-info/" in name, name))
    contents = {name: _settled(name, members[name][1]) for name in names}
    contents[record] = "".join(_record(contents, record)).encode()
    # Stored: deflate's output is a matter of the zlib at hand. What is compiled is large, and built once.
    how = zipfile.ZIP_STORED if fits_everywhere(parse_wheel_filename(target.name)[3]) else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in contents.items():
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system = 3
            program = (members[name][0].external_attr >> 16) & 0o100
            info.external_attr = (0o100755 if program else 0o100644) << 16
            archive.writestr(info, data, compress_type=how)


def _settled(name: str, data: bytes) -> bytes:
    if name.endswith(".dist-info/WHEEL"):
        return _GENERATOR.sub("Generator: rayimage", data.decode()).encode()
    if name.endswith(".dist-info/METADATA"):
        # ``Requires-Dist: common @ file:///…`` of a sibling would be this machine's path.
        return _DIRECT.sub(r"\1", data.decode()).encode()
    return data


def _record(contents: dict[str, bytes], record: str) -> Iterator[str]:
    for name, data in contents.items():
        quoted = f'"{name}"' if "," in name else name
        yield f"{quoted},{record_hash(hashlib.sha256(data).digest())},{len(data)}\n"
    yield f"{record},,\n"
