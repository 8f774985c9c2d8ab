"""Constant memory: a wheel much larger than the budget passes through within it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

from rayimage.layers.zip_member import record_hash
from tests.support.project import make_project
from tests.support.wheelmaker import WHEEL_FILE

MIB = 1 << 20
BUDGET = 200 * MIB
# VmHWM, not ru_maxrss: that one also counts the parent, whose memory a child has until it executes something.
MEASURED = """
import re, sys
from pathlib import Path
from rayimage.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit as exit_:
    code = exit_.code or 0
else:
    code = 0
peak = re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())
print("peak", int(peak[1]) * 1024, file=sys.stderr)
sys.exit(code)
"""


def make_big_wheel(directory: Path, size: int) -> None:
    """A wheel with one library of ``size`` bytes, half noise and half zeros, so that both sides of it are large."""
    library, digest = "big/libbig.so", sha256()
    with zipfile.ZipFile(
        directory / "extra-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as archive:
        with archive.open(library, "w", force_zip64=True) as stream:
            for number in range(size // MIB):
                block = os.urandom(MIB) if number % 2 else bytes(MIB)
                digest.update(block)
                stream.write(block)
        metadata = b"Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n"
        record = f"{library},{record_hash(digest.digest())},{size}\n"
        for name, data in (("METADATA", metadata), ("WHEEL", WHEEL_FILE), ("RECORD", record.encode())):
            archive.writestr(f"extra-1.0.dist-info/{name}", data)


def test_a_large_wheel_passes_within_the_budget(tmp_path: Path) -> None:
    project = make_project(tmp_path, "registry.example.com/team/small")
    make_big_wheel(tmp_path / "wheels", 500 * MIB)
    command = [sys.executable, "-c", MEASURED, "-C", str(project.root), "build", "--output", f"oci:{tmp_path}/out"]
    environment = {**os.environ, "RAYIMAGE_CACHE_DIR": str(project.cache)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    peak = int(run.stderr.rsplit("peak ", 1)[1])
    assert peak < BUDGET
    assert (tmp_path / "out/blobs/sha256").is_dir()
