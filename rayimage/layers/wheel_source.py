"""Opening a wheel: everything that must not be installed is refused here, before a byte is written.

Follows the "binary distribution format" of the Python packaging specifications. RECORD is read leniently, as pip does:
installers that validate it turned out to refuse popular wheels (python-poetry/poetry#7694).
"""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from typing import BinaryIO, Final, cast

from installer.records import parse_record_file
from installer.sources import WheelContentElement, WheelFile
from installer.utils import SCHEME_NAMES
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from rayimage.errors import WheelError
from rayimage.layers.layer import WheelOnDisk
from rayimage.layers.names import fault_in
from rayimage.layers.zip_member import Member

__all__ = ["Wheel", "open_wheel", "unreadable"]

_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_PATCH: Final = 0x20
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_METADATA: Final = 64 << 20
_SHA256: Final = re.compile(r"sha256=[A-Za-z0-9_-]{43}")
# Written by whoever installs, not by whoever builds; a wheel that carries them was zipped from an environment.
_INSTALLERS_OWN: Final = ("INSTALLER", "REQUESTED", "direct_url.json")


class Wheel(WheelFile):
    """A wheel whose streams are members of the zip file, so that they can be taken over as they are."""

    def __init__(self, archive: zipfile.ZipFile, file: BinaryIO, wheel: WheelOnDisk, *, trust_record: bool) -> None:
        """``trust_record`` false: hashes are computed, whatever RECORD says. Raises WheelError."""
        archive.filename = wheel.filename  # what WheelFile parses; the file itself may be named after its content
        super().__init__(archive)
        self.filename = wheel.filename
        self._file = file
        self._trust_record = trust_record
        self._limits = self._check_offsets()
        self._check_members()
        self._check_version()
        self._check_data_paths()
        for name in ("METADATA", "WHEEL", "RECORD"):
            if name not in self.dist_info_filenames:
                raise refused(self.filename, f"it has no {self.dist_info_dir}/{name}")

    @cached_property
    def dist_info_filenames(self) -> list[str]:  # read often, and slow on 10,000 members
        """Names of the files in the dist-info directory."""
        inside = f"{self.dist_info_dir}/"
        names = self._zipfile.namelist()
        return [name[len(inside) :] for name in names if name.startswith(inside) and not name.endswith("/")]

    @cached_property
    def data_dir(self) -> str:
        """The ``.data`` directory as the wheel spells it, which need not be as in the file name."""
        found = {name.split("/", 1)[0] for name in self._zipfile.namelist()}
        found = {name for name in found if name.endswith(".data")}
        if len(found) > 1:
            raise refused(self.filename, f"it has several .data directories: {', '.join(sorted(found))}")
        return found.pop() if found else super().data_dir

    def read_dist_info(self, filename: str) -> str:
        """A text file of the dist-info directory."""
        return self.read_dist_info_bytes(filename).decode()

    def read_dist_info_bytes(self, filename: str) -> bytes:
        """A file of the dist-info directory, whatever its encoding."""
        info = self._zipfile.getinfo(f"{self.dist_info_dir}/{filename}")
        if info.file_size > _MAX_METADATA:
            raise refused(self.filename, f"{info.filename} is larger than {_MAX_METADATA >> 20} MiB")
        return b"".join(self._member(info).blocks())

    def get_contents(self) -> Iterator[WheelContentElement]:
        """Every file to install; the stream is a Member, which carries what RECORD says about it.

        Bytecode stays out: it is not reproducible and trusted blindly by Python.
        """
        left_out = {f"{self.dist_info_dir}/{name}" for name in _INSTALLERS_OWN}
        hashes = self._record_hashes() if self._trust_record else {}
        for info in self._zipfile.infolist():
            path = info.filename
            if path.endswith("/") or path in left_out or "__pycache__" in path.split("/"):
                continue
            mode = info.external_attr >> 16
            member = self._member(info, hashes.get(path, ""))
            yield (path, "", ""), cast("BinaryIO", member), bool(stat.S_ISREG(mode) and mode & 0o111)

    def _member(self, info: zipfile.ZipInfo, expected: str = "") -> Member:
        limit = self._limits[info.header_offset]
        return Member(wheel=self.filename, fd=self._file.fileno(), info=info, limit=limit, expected=expected)

    def _record_hashes(self) -> dict[str, str]:
        rows = parse_record_file(self.read_dist_info("RECORD").splitlines())
        found = {path: value.rstrip("=") for path, value, _ in rows}
        return {path: value for path, value in found.items() if _SHA256.fullmatch(value)}

    def _check_offsets(self) -> dict[int, int]:
        """Where each member begins, and where it must have ended."""
        offsets = [info.header_offset for info in self._zipfile.infolist()]
        ordered = sorted({*offsets, self._zipfile.start_dir})
        if len(ordered) != len(offsets) + 1 or ordered[-1] != self._zipfile.start_dir or ordered[0] < 0:
            raise refused(
                self.filename,
                "members of the zip file share their bytes, or lie before its start or behind its directory",
            )
        return dict(pairwise(ordered))

    def _check_members(self) -> None:
        seen = set()
        for info in self._zipfile.infolist():
            # Not info.filename: zipfile cuts that at the first NUL.
            path = info.orig_filename
            why = fault_in(path.removesuffix("/")) or _fault_of(info)
            if not why and path in seen:
                why = "the wheel has two files of this name"
            if why:
                raise refused(self.filename, f"{path!r}: {why}")
            seen.add(path)

    def _check_version(self) -> None:
        """The directory's name has been held against the file's by ``dist_info_dir``; its version has not."""
        written = self.dist_info_dir.removesuffix(".dist-info").rpartition("-")[2]
        _, version, _, _ = parse_wheel_filename(self.filename)
        try:
            same = Version(written) == version
        except InvalidVersion:
            same = False
        if not same:
            raise refused(self.filename, f"its {self.dist_info_dir} is of another version")

    def _check_data_paths(self) -> None:
        """``installer`` looks for the scheme in an endless loop when the path has none."""
        for path in self._zipfile.namelist():
            parts = path.split("/")
            if parts[0] != self.data_dir or path.endswith("/"):
                continue
            if len(parts) < 3 or parts[1] not in SCHEME_NAMES:
                raise refused(self.filename, f"{path!r}: not in one of {', '.join(SCHEME_NAMES)}")


@contextmanager
def open_wheel(wheel: WheelOnDisk, *, trust_record: bool = True) -> Iterator[Wheel]:
    """The wheel, checked; raises WheelError for whatever is wrong with it."""
    try:
        parse_wheel_filename(wheel.filename)
        file = wheel.path.open("rb")
    except (InvalidWheelFilename, OSError) as error:
        raise refused(wheel.filename, str(error)) from error
    with file:
        with unreadable(wheel.filename):
            archive = zipfile.ZipFile(file)
            source = Wheel(archive, file, wheel, trust_record=trust_record)
        with archive:
            yield source


@contextmanager
def unreadable(filename: str) -> Iterator[None]:
    """Turn what ``zipfile`` and ``installer`` raise about a malformed wheel into WheelError.

    The list is long because ``installer`` asserts, and lets the errors of csv, configparser and codecs through.
    """
    import configparser
    import csv
    import struct
    import zlib

    from installer.exceptions import InstallerError
    from installer.records import InvalidRecordEntry

    malformed = (zipfile.BadZipFile, InstallerError, InvalidRecordEntry, configparser.Error, csv.Error, struct.error)
    try:
        yield
    except WheelError:
        raise
    except (*malformed, zlib.error, ValueError, KeyError, AssertionError, AttributeError, NotImplementedError) as error:
        raise refused(filename, str(error) or f"a file in it is malformed ({type(error).__name__})") from error


def refused(filename: str, why: str) -> WheelError:
    """The error about a wheel as a whole."""
    fix = "use another version or build of the package, or report it to those who publish the wheel"
    return WheelError(f"cannot install {filename}", why=why, fix=fix)


def _fault_of(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is neither a file nor a directory (wheels have no symbolic links)"
    if info.flag_bits & _ENCRYPTED:
        return "it is encrypted"
    if info.flag_bits & _PATCH or info.compress_type not in _METHODS:
        return f"compression method {info.compress_type} is not allowed in wheels (stored and deflate are)"
    return ""
