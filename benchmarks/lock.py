"""``python -m benchmarks.lock``: ``rayimage lock`` beside bare ``uv pip compile``, a base's inventory beside gzip.

Each pair runs in turn, so that both see the same machine; what counts are the ratios of the medians. The packages are
made up and come from loopback, uv's cache is warm for both, the base's inventory is cached, and nothing is locked
before, but where the lock of an unchanged project is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from uv import find_uv_bin

from benchmarks.package_world import BASE_MINOR, direct, requires, serving
from tests.support.images import dist_info, make_image, make_layer, ray_base

__all__ = ["main"]

ROOT = Path(__file__).parents[1]
TARGETS = {"lock / uv pip compile": 1.3, "seconds of an unchanged lock": 0.5}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write the JSON where ``--json`` says."""
    parser = argparse.ArgumentParser(prog="benchmarks.lock", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each side (default: 5)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 100, 300], help="packages of the projects")
    parser.add_argument("--base", type=Path, default=ROOT / ".cache/base", help="OCI layout for the inventory pass")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {"runs": options.runs, "targets": TARGETS}
    with TemporaryDirectory(prefix="bench-lock-") as scratch:
        results["projects"] = [_project(size, Path(scratch) / str(size), options.runs) for size in options.sizes]
        if options.base.is_dir():
            results["inventory"] = _inventory(options.base, Path(scratch) / "inventory", options.runs)
    _show(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _project(size: int, root: Path, runs: int) -> dict[str, Any]:
    """One project with a head, and one with a head and a worker, that require the same."""
    _write(root, size)
    with serving(size) as url:
        env = {**os.environ, "UV_DEFAULT_INDEX": url, "UV_CACHE_DIR": str(root / "uv")}
        env |= {"RAYIMAGE_CACHE_DIR": str(root / "cache"), "NO_COLOR": "1"}
        for name in ("UV_INDEX", "UV_FIND_LINKS", "UV_EXTRA_INDEX_URL", "UV_INDEX_URL"):
            env.pop(name, None)
        sides: dict[str, Callable[[], object]] = {
            "uv": lambda: _compile(root, env),
            "one role": lambda: _lock(root / "one", env),
            "two roles": lambda: _lock(root / "two", env),
            "unchanged": lambda: _run(_rayimage(root / "kept"), env),
            "uv, nothing cached": lambda: _compile(root, _fresh(root, env)),
            "one role, nothing cached": lambda: _lock(root / "one", _fresh(root, env)),
        }
        _run(_rayimage(root / "kept"), env)
        times, cpu = _in_turn(sides, runs)
    locked = (root / "pylock.compiled.toml").read_text(encoding="utf-8").count("[[packages]]")
    return {
        "packages": locked,
        "seconds": times,
        "CPU seconds": cpu,
        "ratio": {
            "one role": times["one role"] / times["uv"],
            "two roles": times["two roles"] / times["uv"],
            "nothing cached": times["one role, nothing cached"] / times["uv, nothing cached"],
        },
    }


def _write(root: Path, size: int) -> None:
    """The base has every other package of the world, and as many that the project knows nothing of as a Ray image."""
    installed = ray_base(python="3.11.13") | dist_info("click", "8.1.7")
    for number in range(0, size, 2):
        needs = [need for need in requires(number, size) if not need[1:4].isdigit() or int(need[1:4]) % 2 == 0]
        installed |= dist_info(f"p{number:03}", f"1.{BASE_MINOR}", requires=needs)
    for number in range(150):
        installed |= dist_info(f"other{number}", "1.0", requires=[f"other{n}>=0.1" for n in range(number % 5)])
    make_image(root / "base", [make_layer(installed)], user="1000", tag="2.55.1")
    roles = {"one": "[images.head]\n", "two": "[images.head]\n[images.worker]\n", "kept": "[images.head]\n"}
    for name, tables in roles.items():
        (root / name).mkdir()
        (root / name / "requirements.in").write_text("\n".join([*direct(size), ""]), encoding="utf-8")
        config = f'requirements = ["requirements.in"]\nbase = "oci:../base:2.55.1"\n{tables}'
        (root / name / "rayimage.toml").write_text(config, encoding="utf-8")


def _compile(root: Path, env: Mapping[str, str]) -> None:
    output = root / "pylock.compiled.toml"
    output.unlink(missing_ok=True)
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--format", "pylock.toml"]
    command += ["--python", sys.executable, "--no-python-downloads", "--only-binary", ":all:"]
    command += ["--python-version", "3.11.13", "--python-platform", "x86_64-manylinux_2_35"]
    _run([*command, "--output-file", str(output), str(root / "one/requirements.in")], env)


def _lock(project: Path, env: Mapping[str, str]) -> None:
    shutil.rmtree(project / "lockfiles", ignore_errors=True)
    _run(_rayimage(project), env)


def _rayimage(project: Path) -> list[str]:
    return [sys.executable, "-m", "rayimage", "--quiet", "-C", str(project), "lock"]


def _fresh(root: Path, env: Mapping[str, str]) -> dict[str, str]:
    """With an empty cache of uv's, as on a new CI runner; rayimage's stays."""
    shutil.rmtree(root / "fresh", ignore_errors=True)
    return {**env, "UV_CACHE_DIR": str(root / "fresh")}


def _inventory(base: Path, scratch: Path, runs: int) -> dict[str, Any]:
    """The pass over a base's layers beside gzip on the same bytes; MB are 10⁶ bytes of the unpacked layers."""
    code = (
        "import sys, pathlib; from rayimage.base import read_inventory, resolve_base;"
        "from rayimage.model.platform import Platform;"
        "base = resolve_base(f'oci:{sys.argv[1]}', Platform('linux', 'amd64'), root=pathlib.Path('.'));"
        "read_inventory(base, cache_dir=pathlib.Path(sys.argv[2]))"
    )
    layers = [str(path) for path in sorted((base / "blobs/sha256").iterdir()) if path.read_bytes()[:2] == b"\x1f\x8b"]
    size = 0

    def gzip() -> None:
        nonlocal size
        script = 'for layer; do gzip -dc "$layer"; done | wc -c'
        size = int(_run(["sh", "-c", script, "sh", *layers], os.environ))

    def read() -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        _run([sys.executable, "-c", code, str(base), str(scratch)], os.environ)

    times, _ = _in_turn({"gzip -dc | wc -c": gzip, "inventory": read}, runs)
    speeds = {name: size / seconds / 1e6 for name, seconds in times.items()}
    return {"bytes": size, "seconds": times, "MB/s": speeds, "ratio": times["inventory"] / times["gzip -dc | wc -c"]}


def _in_turn(sides: Mapping[str, Callable[[], object]], runs: int) -> tuple[dict[str, float], dict[str, float]]:
    """The median seconds of each side, of wall and of CPU, run one after the other.

    A first round warms the caches and does not count. CPU time tells more on a machine that has other work to do.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(runs + 1):
        for name, side in sides.items():
            started, cpu = time.perf_counter(), _cpu()
            side()
            if turn:
                seconds[name].append((time.perf_counter() - started, _cpu() - cpu))
    wall, used = ({name: statistics.median(pair[n] for pair in each) for name, each in seconds.items()} for n in (0, 1))
    return wall, used


def _cpu() -> float:
    times = resource.getrusage(resource.RUSAGE_CHILDREN)
    return times.ru_utime + times.ru_stime


def _run(command: Sequence[str], env: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} → {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _show(results: Mapping[str, Any]) -> None:
    rows = [
        [
            str(each["packages"]),
            *(f"{each['seconds'][name]:.2f} s" for name in ("uv", "one role", "two roles", "unchanged")),
            *(f"{ratio:.2f}" for ratio in each["ratio"].values()),
            f"{each['CPU seconds']['unchanged']:.2f} s",
        ]
        for each in results["projects"]
    ]
    heading = ["packages", "uv", "one role", "two roles", "unchanged", "one/uv", "two/uv", "uncached", "CPU unch."]
    for row in [heading, *rows]:
        sys.stdout.write("  ".join(cell.rjust(10) for cell in row) + "\n")
    if inventory := results.get("inventory"):
        speeds = ", ".join(f"{name} {speed:.0f} MB/s" for name, speed in inventory["MB/s"].items())
        size = f"{inventory['bytes'] / 1e6:.0f} MB"
        sys.stdout.write(f"inventory of {size}: {speeds}; time ratio {inventory['ratio']:.2f}\n")


if __name__ == "__main__":
    main()
