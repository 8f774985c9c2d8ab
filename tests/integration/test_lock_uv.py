"""The uv engine against a real package index: uv's own configuration says which."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rayimage.errors import LockError
from rayimage.lock import (
    LockRequest,
    Options,
    Rules,
    check_environment,
    export_requirements,
    lock_path,
    read_lock,
    read_preferences,
    write_lock,
)
from rayimage.lock.joint import resolve
from rayimage.lock.stubs import write_stubs
from rayimage.lock.target import Target
from rayimage.model.progress import SILENT
from rayimage.specs import collect_specs
from rayimage.specs.exporters import find_uv
from tests.unit.lock.samples import AMD64, ARM64, dist, inventory

pytestmark = pytest.mark.index
FREEZE = Path(__file__).resolve().parents[3] / "shared" / "data" / "ray-freezes" / "ray_2.55.1_img_py311.lock"


@pytest.fixture(scope="session", autouse=True)
def index(tmp_path_factory):
    where = tmp_path_factory.mktemp("probe")
    command = [find_uv(), "pip", "compile", "--quiet", "--python", sys.executable, "-", "-o", str(where / "out.txt")]
    if subprocess.run(command, input="six", text=True, capture_output=True, check=False).returncode:
        pytest.skip("no package index: uv cannot resolve 'six'")


@pytest.fixture(scope="module")
def ray_base():
    """The packages of a Ray 2.55.1 image; who needs whom is in the file's comments."""
    if not FREEZE.exists():
        pytest.skip(f"{FREEZE.name} is not here")
    pins, needs, name = {}, {}, ""
    for line in FREEZE.read_text().splitlines():
        if pin := re.match(r"([A-Za-z0-9_.-]+)(?:\[.*\])?==([^\s;]+)", line):
            name = canonicalize_name(pin[1])
            pins[name] = pin[2]
        elif by := re.match(r"\s+#\s+(?:via\s+)?([a-z0-9_.-]+)$", line):
            needs.setdefault(canonicalize_name(by[1]), []).append(name)
    dists = [
        dist(f"{n}=={v}", *(need for need in needs.get(n, ()) if need in pins)) for n, v in pins.items() if n != "ray"
    ]
    core = (
        "click>=7.0",
        "filelock",
        "jsonschema",
        "msgpack<2.0.0,>=1.0.0",
        "packaging>=24.2",
        "protobuf>=3.20.3",
        "pyyaml",
    )
    serve = ("fastapi; extra == 'serve'", "starlette; extra == 'serve'", "uvicorn[standard]; extra == 'serve'")
    ray = dist("ray==2.55.1", *core, "requests", *serve)
    return {platform: inventory(*dists, ray, platform=platform) for platform in (AMD64, ARM64)}


def ask(base, root, *requirements, role="worker"):
    (root / f"{role}.in").write_text("\n".join(requirements) + "\n")
    specs = collect_specs(root=root, requirements=[Path(f"{role}.in")])
    return LockRequest(
        role=role, platform=base.platform, base="rayproject/ray:2.55.1-py311", inventory=base, specs=specs
    )


def lock(requests, options=None, previous=None):
    return resolve(requests, options or Options(), previous=previous or {}, progress=SILENT)


def test_head_and_worker_on_two_platforms(ray_base, tmp_path):
    requests = [
        ask(base, tmp_path, *requirements, role=role)
        for role, requirements in (
            ("head", ["ray[serve]", "numpy"]),
            ("worker", ["ray", "numpy", "pandas", "scikit-learn"]),
        )
        for base in ray_base.values()
    ]
    locks = lock(requests)
    found = {}
    for item in locks:
        for entry in [*item.wheels, *item.provided]:
            found.setdefault(entry.name, set()).add(entry.version.public)
    assert {name: versions for name, versions in found.items() if len(versions) > 1} == {}
    assert {len(item.provided) > 10 for item in locks} == {True}
    head, *_, worker = locks
    assert {"fastapi", "uvicorn", "ray", "numpy"} <= {entry.name for entry in head.provided}
    (scikit,) = (wheel for wheel in worker.wheels if wheel.name == "scikit-learn")
    assert "aarch64" in scikit.filename
    assert scikit.size > 1_000_000
    assert check_environment(ray_base[ARM64], worker, {}).new == ()


def test_again_is_the_same_and_pip_can_read_it(ray_base, tmp_path):
    request = ask(ray_base[AMD64], tmp_path, "ray", "scikit-learn", "six")
    (first,) = lock([request])
    file = lock_path(tmp_path, "worker", AMD64)
    write_lock(first, file)
    (second,) = lock([request], previous={("worker", "linux/amd64"): read_lock(file)})
    assert not write_lock(second, file)
    target = ["--target", str(tmp_path / "target"), "--python", sys.executable, "--python-version", "3.11.13"]
    target += ["--python-platform", "x86_64-manylinux_2_35"]
    command = [find_uv(), "pip", "install", "--dry-run", "--no-deps", *target, "-r", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Would install {len(first.wheels)} package" in done.stderr
    export = export_requirements(first)
    assert {wheel.name: wheel.version for wheel in first.wheels} == read_preferences(export)


def test_a_base_of_versions_that_no_index_has(tmp_path):
    base = inventory("click==8.1.7+conda.1", dist("ray==3.0.0.dev0+abc", "click>=7", "absent-from-every-index-xyz"))
    (result,) = lock([ask(base, tmp_path, "ray>=2", "click", "six")])
    assert [(item.name, str(item.version)) for item in result.provided] == [
        ("click", "8.1.7+conda.1"),
        ("ray", "3.0.0.dev0+abc"),
    ]
    assert [wheel.name for wheel in result.wheels] == ["six"]


def test_a_move_and_its_upgrade(tmp_path):
    base = inventory("click==8.1.7", "six==1.15.0", "idna==3.7")
    previous = lock([ask(base, tmp_path, "six==1.16.0", "idna", "click")])
    request = ask(base, tmp_path, "six>=1.16", "idna", "click")
    kept = lock([request], previous={("worker", "linux/amd64"): previous[0]})
    assert [(str(m.old), str(m.new)) for m in kept[0].moves] == [("1.15.0", "1.16.0")]
    upgraded = lock([request], Options(upgrade=True), previous={("worker", "linux/amd64"): previous[0]})
    assert upgraded[0].moves[0].new > kept[0].moves[0].new
    assert [move.name for move in lock([request], Options(upgrade_packages=("idna",)))[0].moves] == ["idna", "six"]


def test_local_wheels(tmp_path):
    wheels = write_stubs(
        inventory("my-model==1.0", ray="", seed="wheels"), Target.of(inventory()), "manylinux_2_35_x86_64", tmp_path
    )
    (result,) = lock([ask(inventory("click==8.1.7"), tmp_path, "my-model")], Options(find_links=(str(wheels),)))
    (wheel,) = result.wheels
    assert wheel.url == (wheels / wheel.filename).as_uri()
    assert wheel.size == (wheels / wheel.filename).stat().st_size
    shutil.copy(wheels / wheel.filename, tmp_path)
    (direct,) = lock([ask(inventory("my-model==1.0"), tmp_path, f"./{wheel.filename}")], Options(directory=tmp_path))
    assert [move.name for move in direct.moves] == ["my-model"]


@pytest.mark.parametrize(
    ("requirement", "why", "fix"),
    [
        ("this-package-does-not-exist-xyzzy", "was not found in the package registry", "spelling"),
        ("pyspark==3.5.0", "pyspark==3.5.0 has no usable wheels", "--find-links"),
        ("pywin32", "win_amd64", "has a wheel for Python 3.11 on linux/amd64"),
        ("click<7", "ray==2.55.1 depends on click>=7", "Ray stays at the base's 2.55.1"),
    ],
)
def test_no_solution(tmp_path, requirement, why, fix):
    with pytest.raises(LockError, match="no solution for role worker on linux/amd64") as caught:
        lock([ask(inventory("click==8.1.7"), tmp_path, requirement)])
    assert why in caught.value.why
    assert fix in caught.value.fix


def test_an_index_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(LockError, match="a package index cannot be reached") as caught:
        lock([ask(inventory("click==8.1.7"), tmp_path, "six")])
    assert "secret" not in str(caught.value)


def test_the_projects_uv_configuration_counts(tmp_path):
    base = inventory("click==8.1.7")
    (tmp_path / "uv.toml").write_text("no-index = true\n[pip]\nuniversal = true\nupgrade = true\n")
    with pytest.raises(LockError, match="no solution"):
        lock([ask(base, tmp_path, "six")], Options(directory=tmp_path))
    (result,) = lock([replace(ask(base, tmp_path, "click"))], Options(directory=tmp_path))
    assert [item.name for item in result.provided] == ["click", "ray"]


def test_a_model_on_the_published_pins_moves_only_what_it_must(ray_base, tmp_path):
    """transformers, torch, scikit-learn and fastapi on the packages of a published Ray 2.55.1 image."""
    base = ray_base[AMD64]
    (result,) = lock([ask(base, tmp_path, "transformers", "torch", "scikit-learn", "fastapi")])
    assert len(result.provided) > len(result.moves)
    assert {"ray", "fastapi", "starlette", "pydantic"} <= {item.name for item in result.provided}
    for move in result.moves:
        first, last = move.because[0], move.because[-1]
        requirement = Requirement(first.partition(" requires ")[2])
        assert canonicalize_name(requirement.name) == move.name
        assert not requirement.specifier.contains(move.old, prereleases=True), first
        assert requirement.specifier.contains(move.new, prereleases=True), first
        assert last.startswith("worker.in requires "), last
    problems = check_environment(base, result, {}).new
    assert {problem.found for problem in problems} <= {move.new for move in result.moves}


def test_pinned_published_packages_stay(ray_base, tmp_path):
    base = ray_base[AMD64]
    request = replace(ask(base, tmp_path, "transformers", "scikit-learn", "fastapi"), rules=Rules(base_packages="pin"))
    (result,) = lock([request])
    assert result.moves == ()
    assert {"scikit-learn", "transformers"} <= {wheel.name for wheel in result.wheels}
