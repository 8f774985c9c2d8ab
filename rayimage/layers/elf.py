"""What an ELF file says that decides whether it loads somewhere: its machine, and the symbol versions it needs.

Enough of the System V ABI (gabi, "Object Files" and "Dynamic Linking") and of the LSB's symbol versioning to read that
from the program headers, which the dynamic linker itself goes by: section headers may be stripped. A dependency would
bring a DWARF reader along for the sake of these lines.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Final

from packaging.version import Version

__all__ = ["ElfFile", "read_elf"]

_MAGIC: Final = b"\x7fELF"
_MACHINES: Final = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64", 21: "ppc64le", 22: "s390x"}
_LOAD, _DYNAMIC = 1, 2
_STRTAB, _VERNEED, _VERNEEDNUM = 5, 0x6FFFFFFE, 0x6FFFFFFF
_GLIBC: Final = re.compile(r"GLIBC_(2\.[0-9.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfFile:
    """``machine`` as ``platform.machine()`` says it; ``versions`` are the symbol versions needed: ``GLIBC_2.34``."""

    machine: str
    versions: frozenset[str]

    @property
    def glibc(self) -> Version | None:
        """The glibc that it needs, None when it needs none."""
        found = [Version(match[1]) for version in self.versions if (match := _GLIBC.fullmatch(version))]
        found += [Version("2.36")] if "GLIBC_ABI_DT_RELR" in self.versions else []
        return max(found, default=None)


def read_elf(data: bytes | mmap) -> ElfFile | None:
    """Read a program or shared library; None when ``data`` is none, or is cut off or malformed."""
    if len(data) < 64 or data[:4] != _MAGIC or data[4] not in (1, 2) or data[5] not in (1, 2):
        return None
    reader = _Reader(data, wide=data[4] == 2, order="<" if data[5] == 1 else ">")
    try:
        machine = reader.number(18, 2)
        return ElfFile(machine=_MACHINES.get(machine, f"machine {machine}"), versions=frozenset(reader.versions()))
    except (struct.error, ValueError):
        return None


class _Reader:
    def __init__(self, data: bytes | mmap, *, wide: bool, order: str) -> None:
        self._data, self._wide, self._order = data, wide, order
        self._word = 8 if wide else 4

    def number(self, offset: int, size: int) -> int:
        code = {2: "H", 4: "I", 8: "Q"}[size]
        (value,) = struct.unpack_from(self._order + code, self._data, offset)
        return int(value)

    def versions(self) -> Iterator[str]:
        """Every version in the chain of DT_VERNEED, whichever library it is asked of."""
        segments = list(self._segments())
        dynamic = dict(self._dynamic(segments))
        if not {_STRTAB, _VERNEED, _VERNEEDNUM} <= dynamic.keys():
            return
        strings = _offset(dynamic[_STRTAB], segments)
        need = _offset(dynamic[_VERNEED], segments)
        for _ in range(min(dynamic[_VERNEEDNUM], 1 << 12)):
            entry = need + self.number(need + 8, 4)
            for _ in range(self.number(need + 2, 2)):
                yield self._string(strings + self.number(entry + 8, 4))
                entry += self.number(entry + 12, 4)
            need += self.number(need + 12, 4)

    def _segments(self) -> Iterator[tuple[int, int, int, int]]:
        """Type, offset in the file, address and length in the file of each program header."""
        start = self.number(32 if self._wide else 28, self._word)
        size, count = (self.number(at, 2) for at in ((54, 56) if self._wide else (42, 44)))
        places = (8, 16, 32) if self._wide else (4, 8, 16)
        for at in range(start, start + size * count, size or 1):
            offset, address, length = (self.number(at + place, self._word) for place in places)
            yield self.number(at, 4), offset, address, length

    def _dynamic(self, segments: list[tuple[int, int, int, int]]) -> Iterator[tuple[int, int]]:
        for kind, offset, _, length in segments:
            if kind == _DYNAMIC:
                for at in range(offset, offset + length, 2 * self._word):
                    yield self.number(at, self._word), self.number(at + self._word, self._word)

    def _string(self, offset: int) -> str:
        return self._data[offset : self._data.find(b"\0", offset)].decode("ascii", "replace")


def _offset(address: int, segments: list[tuple[int, int, int, int]]) -> int:
    for kind, offset, start, length in segments:
        if kind == _LOAD and start <= address < start + length:
            return offset + address - start
    raise ValueError(f"no segment has the address {address}")
