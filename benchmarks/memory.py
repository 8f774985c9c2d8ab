"""Peak resident memory of ``rayimage build`` with a very large wheel: ``python -m benchmarks.memory [MIB]``.

Prints JSON: MB for each compression. The test in tests/integration does the same with a smaller wheel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.integration.test_memory import MEASURED, MIB, make_big_wheel
from tests.support.project import make_project


def peak(project: Path, environment: dict[str, str], output: Path) -> float:
    """MB."""
    command = [sys.executable, "-c", MEASURED, "-C", str(project), "build", "--output", f"oci:{output}"]
    run = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(run.stderr)
    return round(int(run.stderr.rsplit("peak ", 1)[1]) / 1e6, 1)


def main() -> None:
    """Build with one wheel, in both compressions."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    result: dict[str, float] = {"wheel_unpacked_mib": size}
    with tempfile.TemporaryDirectory(prefix="rayimage-memory-") as scratch:
        project = make_project(Path(scratch), "registry.example.com/team/big")
        make_big_wheel(Path(scratch) / "wheels", size * MIB)
        configuration = project.root / "rayimage.toml"
        plain = configuration.read_text()
        for compression in ("gzip", "zstd"):
            configuration.write_text(f'compression = "{compression}"\n{plain}')
            environment = {"RAYIMAGE_CACHE_DIR": str(project.cache)}
            result[compression] = peak(project.root, environment, Path(scratch) / compression)
    json.dump(result, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
