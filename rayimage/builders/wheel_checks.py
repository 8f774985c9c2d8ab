"""Whether the contents of a wheel that was built here may go onto a base.

A published wheel's tags were checked by whoever published it (auditwheel); a wheel that was built here says
``linux_x86_64`` whatever it needs. So its programs and libraries are read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from mmap import mmap
from pathlib import Path

from packaging.version import Version

from rayimage.errors import WheelError
from rayimage.layers.elf import read_elf
from rayimage.model.inventory import Inventory
from rayimage.model.platform import MACHINES

__all__ = ["check_built_wheel", "elf_faults"]

_SHOWN = 5


def check_built_wheel(wheel: Path, name: str, base: Inventory, private: Sequence[str]) -> None:
    """Raise WheelError for what could not be loaded in ``base``, and for a path in it that is in ``private``."""
    faults: list[str] = []
    leaks: dict[str, str] = {}
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            data = archive.read(info)
            faults += elf_faults(info.filename, data, base.platform.architecture, base.glibc)
            leaks.update((info.filename, path) for path in private if path.encode() in data)
    if faults:
        raise WheelError(
            f"the wheel that was built of {name} would not load in the base",
            why="\n".join(faults[:_SHOWN]),
            fix="it brings or was linked with libraries of another system; see how its build finds them",
        )
    if leaks:
        raise WheelError(
            f"the wheel that was built of {name} names paths of this machine",
            why="\n".join(f"{member}: {path}" for member, path in list(leaks.items())[:_SHOWN]),
            fix="they would be in the image, and the wheel would be another one on every machine; report it to the"
            " package, or build a wheel yourself and give its directory with --find-links",
        )


def elf_faults(path: str, data: bytes | mmap, architecture: str, glibc: Version | None) -> Iterator[str]:
    """Why a system of this architecture and glibc cannot load the file; nothing for what is no program or library."""
    elf, machine = read_elf(data), MACHINES.get(architecture, architecture)
    if elf is None:
        return
    if elf.machine != machine:
        yield f"{path} is for {elf.machine}, the base for {machine}"
    elif elf.glibc and glibc and elf.glibc > glibc:
        yield f"{path} needs glibc {elf.glibc}, the base has {glibc}"
