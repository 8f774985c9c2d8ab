"""A shared library small enough to write by hand: program headers, a dynamic section, and version needs."""

from __future__ import annotations

import struct

__all__ = ["make_elf"]

_BASE = 0x1000


def make_elf(machine: int = 62, *versions: str) -> bytes:
    """A 64-bit little-endian library for ``machine`` (62 is x86_64, 183 aarch64) that needs symbol ``versions``."""
    strings = b"\0libc.so.6\0" + b"".join(f"{version}\0".encode() for version in versions)
    offsets = [strings.index(f"{version}\0".encode()) for version in versions]
    start = 64 + 2 * 56
    need = start + len(strings)
    entries = struct.pack("<HHIII", 1, len(versions), 1, 16, 0) if versions else b""
    for number, offset in enumerate(offsets):
        entries += struct.pack("<IHHII", 0, 0, number + 2, offset, 16 if number + 1 < len(offsets) else 0)
    tags = [(5, _BASE + start), (0x6FFFFFFE, _BASE + need), (0x6FFFFFFF, 1 if versions else 0), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    place = need + len(entries)
    size = place + len(dynamic)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, 0, size, size, 0x1000)
    table = struct.pack("<IIQQQQQQ", 2, 6, place, _BASE + place, 0, len(dynamic), len(dynamic), 8)
    return header + load + table + strings + entries + dynamic
