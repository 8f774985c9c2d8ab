"""The cache on bad days: damaged, full, read-only, not a directory, shared, pruned under a running build."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from rayimage.image.layout import OciLayout
from rayimage.image.validate import validate
from tests.support.cli import rayimage, rayimage_json
from tests.support.fake_registry import FakeRegistry
from tests.support.index import PackageIndex, running_index
from tests.support.project import Project, make_project
from tests.support.wheelmaker import wheel_files, zipped

CACHED = ("blobs/sha256", "layers", "wheels/sha256", "local-wheels", "inventory", "stubs")


@dataclass(frozen=True)
class Bench:
    """A project whose wheels come from an index, beside a package of the project's own."""

    project: Project
    index: PackageIndex

    @property
    def env(self) -> dict[str, str]:
        return {"UV_CACHE_DIR": str(self.project.root.parent / "uv"), "NO_COLOR": "1"}

    def build(self, output: str, **env: str) -> Any:
        """Build into a layout, which must be whole; the metadata."""
        run = self.run(output, **env)
        assert run.returncode == 0, run.stderr
        layout = OciLayout(self.project.root.parent / output)
        assert [problem for tag in layout.tags for problem in validate(layout, tag)] == []
        return json.loads(run.stdout)

    def run(self, output: str, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
        place = f"oci:{self.project.root.parent / output}"
        arguments = ("--json", "build", "--output", place, *more)
        return rayimage(self.project.root, *arguments, cache=self.project.cache, env={**self.env, **env})

    def start(self, output: str, code: str = "") -> subprocess.Popen[str]:
        """The same, running; ``code`` goes first."""
        program = f"{code}\nfrom rayimage.__main__ import main; main()"
        command = [sys.executable, "-c", program, "-C", str(self.project.root), "--json", "build", "--output"]
        env = {**os.environ, **self.env, "RAYIMAGE_CACHE_DIR": str(self.project.cache)}
        return subprocess.Popen(
            [*command, f"oci:{self.project.root.parent / output}"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def digests(self, data: Any) -> dict[str, str]:
        return {role: found["digest"] for role, found in data["roles"].items()}

    def at(self, cache: Path) -> Bench:
        return replace(self, project=Project(self.project.root, cache))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    project = make_project(tmp_path, "registry.example.com/team/small")
    noise = random.Random(0).randbytes(3 << 20)
    files = [
        ("common", "1.0", {"common/__init__.py": b"VALUE = 1\n" * 100}),
        ("extra", "1.0", {"extra/__init__.py": b"VALUE = 2\n" * 100}),
        ("old", "2.0", {"old/__init__.py": b"2"}),
        ("large", "1.0", {"large/__init__.py": b"", "large/data.bin": noise}),
    ]
    wheels = [(f"{n}-{v}-py3-none-any.whl", zipped(wheel_files(f, n, v))) for n, v, f in files]
    own = project.root / "libs/own"
    (own / "own").mkdir(parents=True)
    (own / "own/__init__.py").write_text("")
    (own / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "own"\nversion = "1.0"\n'
    )
    (own / "backend.py").write_text(BACKEND)
    with running_index(*wheels) as index:
        (project.root / "requirements.in").write_text(
            f"--index-url {index.url}\ncommon\nlarge\nold>=2\nown @ {own.as_uri()}\n"
        )
        yield Bench(project, index)


BACKEND = """
import zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "own-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as archive:
        archive.writestr("own/__init__.py", "")
        info = "own-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: own\\nVersion: 1.0\\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(f"{info}/RECORD", "")
    return name
"""


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def files_of(cache: Path, *kinds: str) -> list[Path]:
    return [file for kind in kinds for file in sorted((cache / kind).rglob("*")) if file.is_file()]


def forget(cache: Path, *kinds: str) -> None:
    for kind in kinds:
        shutil.rmtree(cache / kind)


class TestDamage:
    def test_everything_at_once(self, bench: Bench) -> None:
        cache = bench.project.cache
        first = bench.digests(bench.build("a"))
        assert all(files_of(cache, kind) for kind in CACHED)
        for file in files_of(cache, "blobs/sha256", "layers", "local-wheels", "inventory"):
            flip(file)
        again = bench.run("b")
        assert again.returncode == 0, again.stderr
        assert bench.digests(json.loads(again.stdout)) == first
        assert bench.digests(bench.build("c")) == first

    def test_layers_are_made_again_in_the_same_run(self, bench: Bench) -> None:
        first = bench.digests(bench.build("a"))
        blobs = files_of(bench.project.cache, "blobs/sha256")
        for file in blobs:
            flip(file)
        again = bench.run("b")
        assert again.returncode == 0, again.stderr
        assert again.stderr.count("was damaged in the cache, and has been made again") == len(blobs)
        assert bench.digests(json.loads(again.stdout)) == first
        quiet = bench.run("c")
        assert "damaged" not in quiet.stderr

    def test_also_when_they_are_pushed(self, bench: Bench, tmp_path: Path) -> None:
        bench.build("a")
        for file in files_of(bench.project.cache, "blobs/sha256"):
            flip(file)
        with FakeRegistry() as registry:
            config = bench.project.root / "rayimage.toml"
            config.write_text(config.read_text().replace("registry.example.com", registry.host))
            pushed = rayimage(bench.project.root, "build", "--tag", "v1", cache=bench.project.cache, env=bench.env)
            assert pushed.returncode == 0, pushed.stderr
            assert "made again" in pushed.stderr
            assert set(registry.tags["team/small"]) == {"v1-head", "v1-worker", "rayimage-cache"}

    @pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
    def test_wheels_are_fetched_again_in_the_same_run(self, bench: Bench, damage: str) -> None:
        first = bench.digests(bench.build("a"))
        forget(bench.project.cache, "blobs", "layers")
        for file in files_of(bench.project.cache, "wheels/sha256"):
            if damage == "flipped":
                flip(file)
            elif damage == "cut":
                file.write_bytes(file.read_bytes()[:-7])
            else:
                file.unlink()
        bench.index.requests.clear()
        assert bench.digests(bench.build("b")) == first
        assert any(path.startswith("/files/large") for path in bench.index.requests)

    def test_a_layer_that_cannot_be_made_again_is_an_error(self, bench: Bench) -> None:
        bench.build("a")
        for file in files_of(bench.project.cache, "blobs/sha256"):
            flip(file)
        forget(bench.project.cache, "wheels")
        bench.index.files.clear()
        failed = bench.run("b")
        assert failed.returncode == 6
        assert "cannot download" in failed.stderr
        assert not OciLayout(bench.project.root.parent / "b").tags


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """A mount for root, whom modes do not stop, else modes."""
    if os.geteuid():
        paths = [directory, *directory.rglob("*")]
        for path in paths:
            path.chmod(path.stat().st_mode & ~0o222)
        yield
        for path in paths:
            path.chmod(path.stat().st_mode | 0o200)
        return
    if _mounted("--bind", str(directory), str(directory)):
        pytest.skip("no mounts here")
    try:
        assert not _mounted("-o", "remount,ro,bind", str(directory))
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@contextmanager
def small(directory: Path, size: str) -> Iterator[None]:
    directory.mkdir()
    if os.geteuid() or _mounted("-t", "tmpfs", "-o", f"size={size}", "none", str(directory)):
        pytest.skip("no mounts here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def _mounted(*arguments: str) -> int:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode


class TestNoRoom:
    def test_a_cache_that_may_only_be_read_is_used(self, bench: Bench, tmp_path: Path) -> None:
        first = bench.digests(bench.build("a"))
        before = files_of(bench.project.cache, *CACHED)
        (bench.project.root / "app/main.py").write_text("print('changed')\n")
        with read_only(bench.project.cache):
            run = bench.run("b", TMPDIR=str(tmp_path))
        assert run.returncode == 0, run.stderr
        assert "cannot be written (Read-only file system)" in run.stderr or "Permission denied" in run.stderr
        data = json.loads(run.stdout)
        assert bench.digests(data) != first
        made = {
            layer["kind"]: layer["cached"]
            for role in data["roles"].values()
            for platform in role["platforms"].values()
            for layer in platform["layers"]
        }
        assert not made.pop("code")
        assert all(made.values())
        assert files_of(bench.project.cache, *CACHED) == before
        assert not list(tmp_path.glob("rayimage-*")), "nothing is left behind"

    def test_damage_in_a_cache_that_may_only_be_read(self, bench: Bench) -> None:
        first = bench.digests(bench.build("a"))
        for file in files_of(bench.project.cache, "blobs/sha256", "wheels/sha256", "local-wheels", "inventory"):
            flip(file)
        with read_only(bench.project.cache):
            assert bench.digests(bench.build("b")) == first

    def test_a_cache_that_cannot_be_made(self, bench: Bench, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        with read_only(tmp_path / "home"):
            run = bench.at(tmp_path / "home/cache").run("a")
        assert run.returncode == 0, run.stderr
        assert "cannot be written" in run.stderr

    @pytest.mark.parametrize("size", ["64k", "70m"])
    def test_a_cache_that_is_full(self, bench: Bench, tmp_path: Path, size: str) -> None:
        """Of 64 kB at once, of 70 MB while it is filled."""
        with small(tmp_path / "full", size):
            filler = tmp_path / "full/other"
            there = os.statvfs(tmp_path / "full")
            left = (1 << 16) if size == "64k" else (65 << 20)
            filler.write_bytes(b"x" * max(there.f_bavail * there.f_frsize - left, 0))
            code = (
                "import rayimage.cli.planning as s; from pathlib import Path\n"
                "plan = s.plan_targets\n"
                "def fill(*a):\n"
                "    with open(FILE, 'ab') as f:\n"
                "        try:\n"
                "            while True: f.write(bytes(65536)); f.flush()\n"
                "        except OSError: pass\n"
                "    return plan(*a)\n"
                "s.plan_targets = fill"
            ).replace("FILE", repr(str(filler)))
            process = bench.at(tmp_path / "full/cache").start("a", code)
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "no space left" in err.lower()
        assert err.count("! the cache") == 1
        assert bench.digests(json.loads(out)) == bench.digests(bench.build("b"))

    def test_no_room_anywhere(self, bench: Bench, tmp_path: Path) -> None:
        with small(tmp_path / "full", "100k"):
            run = bench.at(tmp_path / "full/cache").run("a", TMPDIR=str(tmp_path / "full"))
        assert run.returncode
        assert "Traceback" not in run.stderr
        assert "No space left on device" in run.stderr

    def test_a_full_disk_makes_room_by_pruning(self, bench: Bench, tmp_path: Path) -> None:
        with small(tmp_path / "full", "80m"):
            old = tmp_path / "full/cache/blobs/sha256" / ("0" * 64)
            old.parent.mkdir(parents=True)
            old.write_bytes(bytes(60 << 20))
            os.utime(old, (1, 1))
            run = bench.at(tmp_path / "full/cache").run("a")
            assert run.returncode == 0, run.stderr
            assert "! the cache" not in run.stderr
            assert not old.exists()
            assert files_of(tmp_path / "full/cache", "layers")

    def test_a_file_in_the_place_of_the_cache(self, bench: Bench, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        for cache in (tmp_path / "file", tmp_path / "file/below"):
            for arguments in (("build", "--output", f"oci:{tmp_path}/x"), ("cache",), ("cache", "prune")):
                run = rayimage(bench.project.root, *arguments, cache=cache, env=bench.env)
                if cache.name == "below" and arguments[0] == "cache":
                    assert run.returncode == 0
                    continue
                assert run.returncode == 2, run.stderr
                assert "is no directory" in run.stderr
                assert "RAYIMAGE_CACHE_DIR" in run.stderr
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_limit_that_is_no_size(self, bench: Bench) -> None:
        run = bench.run("a", RAYIMAGE_CACHE_SIZE="lots")
        assert run.returncode == 2
        assert "RAYIMAGE_CACHE_SIZE" in run.stderr


class TestShared:
    def test_two_builds_at_once_and_a_third_that_is_killed(self, bench: Bench) -> None:
        victim = bench.start("victim", SLOW)
        runs = [bench.start(f"out{n}") for n in range(2)]
        wait_for(lambda: list((bench.project.cache / "locks").glob("layer-*")))
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        results = [(run.communicate(timeout=120), run.returncode) for run in runs]
        assert [code for _, code in results] == [0, 0], results
        assert len({json.dumps(bench.digests(json.loads(out))) for (out, _), _ in results}) == 1
        for n in range(2):
            layout = OciLayout(bench.project.root.parent / f"out{n}")
            assert [p for tag in layout.tags for p in validate(layout, tag)] == []
        bench.build("victim")

    def test_another_build_locks_the_project_meanwhile(self, bench: Bench) -> None:
        """Between the look for locks and their resolution, which then finds those of the other build."""
        first = bench.digests(bench.build("first"))
        code = (
            "import rayimage.cli.locking as l\n"
            "l.read_locks = lambda *a: l.Locked(locks=(), problems={}, any_file=False)\n"
        )
        forget(bench.project.cache, "blobs", "layers", "wheels")
        late = bench.start("late", code)
        out, err = late.communicate(timeout=120)
        assert late.returncode == 0, err
        assert "no lock yet" in err
        assert bench.digests(json.loads(out)) == first

    def test_pruned_all_the_time_while_builds_run(self, bench: Bench) -> None:
        runs = [bench.start(f"out{n}") for n in range(2)]
        prunes = 0
        while any(run.poll() is None for run in runs):
            pruned = rayimage_json(bench.project.root, "cache", "prune", "--all", cache=bench.project.cache)
            assert pruned["removedSize"] >= 0
            prunes += 1
        results = [(run.communicate(), run.returncode) for run in runs]
        assert [code for _, code in results] == [0, 0], results
        assert prunes
        assert not any("damaged" in err for (_, err), _ in results)

    def test_layers_that_are_deleted_while_a_build_runs(self, bench: Bench) -> None:
        first = bench.digests(bench.build("a"))
        code = (
            "import shutil, os, rayimage.cli.destination as d\n"
            "send = d.Destination.send\n"
            "def gone(*a):\n"
            "    for name in ('blobs', 'layers', 'wheels'): shutil.rmtree(f'{os.environ[\"RAYIMAGE_CACHE_DIR\"]}/{name}')\n"
            "    return send(*a)\n"
            "d.Destination.send = gone"
        )
        run = bench.start("b", code)
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
        assert bench.digests(json.loads(out)) == first

    def test_a_limit_keeps_the_cache_small_and_builds_right(self, bench: Bench) -> None:
        first = bench.digests(bench.build("a"))
        assert bench.digests(bench.build("b", RAYIMAGE_CACHE_SIZE="1MB")) == first
        shown = rayimage_json(bench.project.root, "cache", cache=bench.project.cache)
        assert 0 < shown["size"] <= 1_000_000
        assert bench.digests(bench.build("c", RAYIMAGE_CACHE_SIZE="0")) == first
        shown = rayimage_json(bench.project.root, "cache", cache=bench.project.cache)
        assert shown["size"] == 0
        assert bench.digests(bench.build("d")) == first


SLOW = """
import time, rayimage.builders.direct as d
write = d.write_wheel_layer
def slow(*a):
    time.sleep(30)
    return write(*a)
d.write_wheel_layer = slow
"""


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")
