"""What installing a wheel would write, as values: ``installer`` decides, nothing is written yet."""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from installer import install
from installer.destinations import WheelDestination
from installer.records import Hash, RecordEntry
from installer.utils import Scheme, construct_record_file, fix_shebang
from packaging.utils import canonicalize_name

from rayimage.errors import WheelError
from rayimage.layers.layer import FileInLayer
from rayimage.layers.names import fault_in
from rayimage.layers.wheel_source import Wheel, refused, unreadable
from rayimage.layers.zip_member import Member, record_hash
from rayimage.model.inventory import InstallLayout

if TYPE_CHECKING:
    import os

    from installer.scripts import ScriptSection

__all__ = ["InstalledFile", "plan_wheel"]

_MAX_SCRIPT: Final = 16 << 20
_MAX_SHEBANG: Final = 127
_INTERPRETER: Final = re.compile(r"python(w|\d+(\.\d+)?)?")
_LAUNCHER: Final = """\
# -*- coding: utf-8 -*-
import re
import sys
from {module} import {import_name}
if __name__ == "__main__":
    sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])
    sys.exit({attr}())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledFile:
    """A file that a wheel installs: made here (bytes), or a member as it is. ``digest`` is written as in RECORD."""

    path: str
    digest: str
    content: bytes | Member
    executable: bool = False

    @property
    def in_layer(self) -> FileInLayer:
        """The file as a finished layer lists it."""
        return FileInLayer(self.path, self.digest)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.size


def plan_wheel(wheel: Wheel, layout: InstallLayout) -> tuple[InstalledFile, ...]:
    """Everything that installing ``wheel`` writes, RECORD included; raises WheelError."""
    destination = _Plan(wheel, layout)
    with unreadable(wheel.filename):
        install(wheel, destination, additional_metadata={"INSTALLER": b"rayimage\n"})
    return tuple(destination.files.values())


class _Plan(WheelDestination):
    """Collects files; what is written where, and RECORD, are as SchemeDictionaryDestination does it."""

    def __init__(self, wheel: Wheel, layout: InstallLayout) -> None:
        self.files: dict[str, InstalledFile] = {}
        self._wheel = wheel
        self._interpreter = layout.interpreter
        self._roots: dict[str, str] = {
            "purelib": layout.purelib,
            "platlib": layout.platlib,
            "scripts": layout.scripts,
            "data": layout.data,
            "headers": f"{layout.headers}/{wheel.distribution}",
        }

    def write_script(self, name: str, module: str, attr: str, section: ScriptSection) -> RecordEntry:  # noqa: ARG002
        why = "the name has a / in it" if "/" in name else fault_in(name)
        if why:
            raise refused(self._wheel.filename, f"entry point {name!r}: {why}")
        return self._take("scripts", name, _launcher(self._interpreter, module, attr), executable=True)

    def write_file(
        self,
        scheme: Scheme,
        path: str | os.PathLike[str],
        stream: BinaryIO,
        is_executable: bool,  # noqa: FBT001 - installer's signature
    ) -> RecordEntry:
        content = stream if isinstance(stream, Member) else stream.read()
        if scheme == "scripts":
            # Whoever unpacks a wheel "may need to add the +x bit if the archive was created on Windows" (the format's
            # specification); pip and uv make every script executable.
            return self._take(scheme, str(path), self._with_shebang(content), executable=True)
        return self._take(scheme, str(path), content, executable=is_executable)

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        def prefix(other: Scheme) -> str | None:
            return None if other == scheme else posixpath.relpath(self._roots[other], self._roots[scheme]) + "/"

        with construct_record_file(records, prefix) as stream:
            self._take(scheme, record_file_path, stream.read(), executable=False)

    def _take(self, scheme: str, path: str, content: bytes | Member, *, executable: bool) -> RecordEntry:
        target = f"{self._roots[scheme]}/{path}"
        why = self._fault_in(target)
        if why:
            raise refused(self._wheel.filename, f"it writes {target}{why}")
        if isinstance(content, bytes):
            digest = record_hash(hashlib.sha256(content).digest())
        else:
            digest = content.expected or content.sha256()
        file = InstalledFile(path=target, digest=digest, content=content, executable=executable)
        self.files[target] = file
        return RecordEntry(path, Hash.parse(digest), file.size)

    def _fault_in(self, target: str) -> str:
        if target in self.files:
            return " twice"
        directory, _, name = target.rpartition("/")
        if directory == self._roots["scripts"] and _INTERPRETER.fullmatch(name):
            return ", which is the name of the image's Python"
        for root in {self._roots["purelib"], self._roots["platlib"]}:
            entry = target.removeprefix(f"{root}/").partition("/")[0]
            owner = _owner_of_metadata(entry)
            if owner not in ("", canonicalize_name(self._wheel.distribution)) and entry != self._wheel.dist_info_dir:
                return ", metadata of a distribution that it is not"
        return ""

    def _with_shebang(self, content: bytes | Member) -> bytes | Member:
        if isinstance(content, bytes) or not content.head().startswith(b"#!python"):
            return content
        if content.size > _MAX_SCRIPT:
            raise WheelError(
                f"cannot install {self._wheel.filename}",
                why=f"the script {content.info.filename!r} is larger than {_MAX_SCRIPT >> 20} MiB",
                fix="scripts are rewritten in memory; keep big content out of the script",
            )
        with fix_shebang(io.BytesIO(b"".join(content.blocks())), self._interpreter) as stream:
            return stream.read()


def _owner_of_metadata(entry: str) -> str:
    """The distribution that an entry of site-packages belongs to, for importlib.metadata; ``""`` for all others."""
    stem, _, suffix = entry.lower().rpartition(".")
    return canonicalize_name(stem.partition("-")[0]) if suffix in ("dist-info", "egg-info") else ""


def _launcher(interpreter: str, module: str, attr: str) -> bytes:
    """The script of an entry point, byte for byte what installer 1.1 makes of it.

    Not ``installer.scripts.Script``: a layer's bytes must not change when a machine has another release of installer.
    """
    code = _LAUNCHER.format(module=module, import_name=attr.partition(".")[0], attr=attr)
    shebang = f"#!{interpreter}\n"
    if " " in interpreter or len(shebang.encode()) > _MAX_SHEBANG:
        # Linux takes neither; read by sh, the rest is one command, read by Python a string (distlib's idea).
        shebang = f"#!/bin/sh\n'''exec' {shlex.quote(interpreter)} \"$0\" \"$@\"\n' '''\n"
    return (shebang + code).encode()
