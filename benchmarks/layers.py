"""Wheels to layers, beside the least that a computer must do for it: ``python -m benchmarks.layers [WHEEL]…``.

The limit, on one core and in C: inflate every file (isal), hash the archive, hash the compressed bytes. It leaves out
what a layer needs beside: the zip directory, names and RECORD, each file's own hash and CRC-32, headers, writing.

Runs alternate, and what is reported are ratios of medians. ``one core`` pins the process to a core and compares CPU
time, which other work on the machine does not change much; ``all cores`` compares time on the clock. JSON on stdout, a
table on stderr.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from statistics import median

from isal import igzip_lib

from rayimage.layers import Layer, WheelOnDisk, write_wheel_layer
from rayimage.model.digest import Digest
from rayimage.model.layering import Compression
from tests.support.wheelmaker import LAYOUT

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_RUNS = 3


def _now() -> float:
    alone = len(os.sched_getaffinity(0)) == 1
    return time.process_time() if alone else time.perf_counter()


def limit(wheel: Path) -> float:
    """Seconds; the compressed bytes are in memory before the clock starts."""
    members: list[tuple[bytes, bool]] = []
    with wheel.open("rb") as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            file.seek(info.header_offset + 26)
            lengths = file.read(4)
            file.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), os.SEEK_CUR)
            deflated = info.compress_type == zipfile.ZIP_DEFLATED and info.file_size > 0
            members.append((file.read(info.compress_size), deflated))
    tar, blob = hashlib.sha256(), hashlib.sha256()
    start = _now()
    for data, deflated in members:
        blob.update(data)
        tar.update(igzip_lib.decompress(data, flag=igzip_lib.DECOMP_DEFLATE) if deflated else data)
    return _now() - start


def convert(wheel: Path, compression: Compression, target: Path) -> tuple[float, Layer]:
    """Seconds, and the layer."""
    start = _now()
    source = WheelOnDisk(wheel, wheel.name, Digest.of(b"not looked at"))
    layer = write_wheel_layer([source], LAYOUT, target, compression=compression)
    return _now() - start, layer


def unpack(layer: Layer, compression: Compression) -> float:
    """Seconds in which zlib or libzstd inflates it on one core."""
    start = _now()
    with gzip.open(layer.path) if compression == "gzip" else zstd.open(layer.path) as stream:
        while stream.read(1 << 20):
            pass
    return _now() - start


def measure(wheel: Path) -> dict[str, float]:
    """All figures of one wheel, with the cores that this process has."""
    times: dict[str, list[float]] = {"limit": [], "gzip": [], "zstd": [], "unpack gzip": [], "unpack zstd": []}
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(_RUNS):
            times["limit"].append(limit(wheel))
            for compression in ("gzip", "zstd"):
                seconds, layer = convert(wheel, compression, Path(scratch) / compression)
                times[compression].append(seconds)
                times[f"unpack {compression}"].append(unpack(layer, compression))
                sizes[compression], sizes["tar"] = layer.descriptor.size, layer.unpacked_size
    middle = {name: median(values) for name, values in times.items()}
    return {
        "tar MB": round(sizes["tar"] / 1e6),
        "gzip / limit": round(middle["gzip"] / middle["limit"], 2),
        "zstd / limit": round(middle["zstd"] / middle["limit"], 2),
        "zstd size / gzip size": round(sizes["zstd"] / sizes["gzip"], 3),
        "zstd unpack / gzip unpack": round(middle["unpack zstd"] / middle["unpack gzip"], 2),
        "layer size / wheel size": round(sizes["gzip"] / wheel.stat().st_size, 3),
    }


def main() -> None:
    """Each wheel with one core and with all, in processes of their own: threads are counted at the start."""
    if sys.argv[1:2] == ["--here"]:
        json.dump(measure(Path(sys.argv[2])), sys.stdout)
        return
    report: dict[str, dict[str, dict[str, float]]] = {}
    cores = sorted(os.sched_getaffinity(0))
    for name in sys.argv[1:]:
        for how, usable in (("one core", cores[-1:]), ("all cores", cores)):
            os.sched_setaffinity(0, usable)
            command = [sys.executable, "-m", "benchmarks.layers", "--here", name]
            found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            report.setdefault(Path(name).name, {})[how] = found
            print(f"{Path(name).name[:32]:33}{how:10}", found, file=sys.stderr)
    json.dump(report, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
