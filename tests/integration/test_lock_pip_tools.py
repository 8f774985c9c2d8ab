"""The pip-tools engine: pip-compile itself, on a small index here and on the example; and uv's lock beside it."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.base import read_inventory, resolve_base
from rayimage.builders.docker.run import BaseRunner
from rayimage.errors import LockError
from rayimage.lock import LockRequest, NoSolution, Options, lock_path, read_lock, write_lock
from rayimage.lock.joint import resolve
from rayimage.lock.pip_places import HostPython
from rayimage.lock.pip_tools import PipToolsEngine
from rayimage.lock.target import MACHINES
from rayimage.model.platform import Platform
from rayimage.model.progress import SILENT
from rayimage.specs import collect_specs
from tests.support.cli import rayimage
from tests.support.example import ROOT, copy_example
from tests.support.index import PackageIndex, running_index, sdist, wheel
from tests.support.services import Engine
from tests.unit.lock.samples import dist, inventory

HOST = HostPython.here()
PLATFORM = Platform("linux", {machine: arch for arch, machine in MACHINES.items()}.get(platform.machine(), "amd64"))
pytestmark = pytest.mark.skipif(HOST.glibc is None, reason="pip-tools resolves for a base on a glibc Linux only")


@pytest.fixture(autouse=True)
def same_index_for_both(monkeypatch):
    """Neither engine sees what this machine's own configuration has."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        if name not in ("PIP_CERT", "PIP_DEFAULT_TIMEOUT", "PIP_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")


@pytest.fixture
def index(monkeypatch):
    files = [
        wheel("new-1.0-py3-none-any.whl", "shared"),
        wheel("new-2.0-py3-none-any.whl", "shared>=2", "other; extra == 'more'\nProvides-Extra: more"),
        wheel("new-3.0-cp27-cp27mu-manylinux1_x86_64.whl"),
        wheel("shared-1.0-py3-none-any.whl"),
        wheel("shared-2.0-py3-none-any.whl"),
        wheel("shared-2.1-py3-none-any.whl"),
        wheel("held-1.0-py3-none-any.whl", "shared<2"),
        wheel("held-1.5-py3-none-any.whl"),
        wheel("other-1.0-py3-none-any.whl"),
        wheel("click-9.0-py3-none-any.whl"),
        wheel("ray-2.56.0-py3-none-any.whl"),
        sdist("sourceonly", "1.0"),
    ]
    with running_index(*files) as running:
        use(monkeypatch, running)
        yield running


def use(monkeypatch, index: PackageIndex) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)


def base_like_this_machine(*dists, **changes):
    likeness = {"python": str(HOST.python), "glibc": str(HOST.glibc), "platform": PLATFORM}
    return inventory(*dists, **(likeness | changes))


def ask(base, root, *requirements, role="worker"):
    (root / f"{role}.in").write_text("\n".join(requirements) + "\n")
    specs = collect_specs(root=root, requirements=[Path(f"{role}.in")])
    return LockRequest(role=role, platform=base.platform, base="ray:2.55.1", inventory=base, specs=specs)


def lock(request, engine="pip-tools", previous=None, **options):
    (result,) = resolve([request], Options(engine=engine, **options), previous=previous or {}, progress=SILENT)
    return result


def without_sizes(result):
    """An index in HTML does not say how long its files are: uv leaves it at that, pip-tools asks the files' host."""
    return replace(result, wheels=tuple(replace(wheel, size=None) for wheel in result.wheels))


def versions(result):
    return {item.name: str(item.version) for item in (*result.wheels, *result.provided)}


BASES = {
    "nothing of it": (),
    "a version that fits": ("shared==2.0",),
    "a version that must move": ("shared==1.0",),
    "a package that must move along": ("shared==1.0", dist("held==1.0", "shared<2")),
    "a version that no index has": ("shared==2.0+base.1",),
    "a requirement that it does not meet itself": (dist("shared==2.0", "absent-everywhere"),),
}


@pytest.mark.parametrize("dists", BASES.values(), ids=BASES)
@pytest.mark.parametrize("wanted", [["held", "new[more]"], ["new", "click>=9"]])
def test_both_engines_give_the_same_lock(index, tmp_path, dists, wanted):
    request = ask(base_like_this_machine("click==8.1.7", *dists), tmp_path, *wanted)
    result = lock(request)
    assert without_sizes(result) == lock(request, "uv")
    assert all(wheel.size == len(index.files[wheel.filename]) for wheel in result.wheels)
    assert not any("base-" in wheel.url for wheel in result.wheels), "a stub is never locked"


def test_a_new_package_is_the_newest_and_the_base_gives_way(index, tmp_path):
    """pip takes preferences for constraints, and would rather have new 1.0."""
    result = lock(ask(base_like_this_machine("click==8.1.7", "shared==1.0"), tmp_path, "new"))
    assert versions(result) == {"new": "2.0", "shared": "2.1", "ray": "2.55.1", "click": "8.1.7"}
    assert [(move.name, move.because[0]) for move in result.moves] == [("shared", "new 2.0 requires shared>=2")]


def test_the_same_again_and_an_upgrade(index, tmp_path):
    request = ask(base_like_this_machine("click==8.1.7", "shared==1.0"), tmp_path, "new")
    with running_index(*((name, data) for name, data in index.files.items() if "2.1" not in name)) as older:
        environ = {"PIP_INDEX_URL": older.url}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PIP_INDEX_URL", environ["PIP_INDEX_URL"])
            first = lock(request)
    previous = {request.key: first}
    other = replace(request, specs=replace(request.specs, digest=first.inputs))  # as if a comment had changed
    assert versions(lock(other, previous=previous))["shared"] == "2.0"
    assert versions(lock(other, previous=previous, upgrade=True))["shared"] == "2.1"
    assert versions(lock(other, previous=previous, upgrade_packages=("shared",)))["shared"] == "2.1"


def test_head_and_worker_agree_and_the_lock_can_be_read_back(index, tmp_path):
    base = base_like_this_machine("click==8.1.7", "shared==1.0")
    requests = [ask(base, tmp_path, "other", role="head"), ask(base, tmp_path, "new", role="worker")]
    head, worker = resolve(requests, Options(engine="pip-tools"), previous={}, progress=SILENT)
    assert versions(head)["shared"] == versions(worker)["shared"] == "2.1"  # what one moves, moves in both
    assert (head, worker) == resolve(requests, Options(engine="pip-tools"), previous={}, progress=SILENT)
    file = lock_path(tmp_path, "worker", PLATFORM)
    write_lock(worker, file)
    assert read_lock(file).wheels == worker.wheels


def test_the_engines_differ_in_which_index_counts(index, tmp_path, monkeypatch):
    """Of several indexes, uv takes the first that has a package at all, pip the one with the best version."""
    request = ask(base_like_this_machine("click==8.1.7"), tmp_path, "shared")
    with running_index(wheel("shared-1.9-py3-none-any.whl")) as private:
        indexes = (private.url,)
        assert versions(lock(request, "uv", indexes=indexes))["shared"] == "1.9"
        assert versions(lock(request, indexes=indexes))["shared"] == "2.1"
        monkeypatch.setenv("UV_INDEX_STRATEGY", "unsafe-best-match")
        assert lock(request, "uv", indexes=indexes) == without_sizes(lock(request, indexes=indexes))


def test_the_engines_differ_in_whether_the_order_of_requirements_counts(index, tmp_path):
    """A new package, and a package of the base that the project names too, which cannot both be had as preferred.

    uv decides in the order of the file. pip has no order: what the project names is held where the base has it.
    """
    base = base_like_this_machine("click==8.1.7", "shared==1.0")
    found = {
        (engine, *order): versions(lock(ask(base, tmp_path, *order), engine))["shared"]
        for engine in ("uv", "pip-tools")
        for order in (("new", "shared"), ("shared", "new"))
    }
    assert found == {
        ("uv", "new", "shared"): "2.1",
        ("uv", "shared", "new"): "1.0",
        ("pip-tools", "new", "shared"): "1.0",
        ("pip-tools", "shared", "new"): "1.0",
    }


def test_constraints_of_the_machine_are_no_input(index, tmp_path, monkeypatch):
    (tmp_path / "constraints.txt").write_text("shared<2\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    monkeypatch.setenv("PIP_REQUIRE_HASHES", "1")
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "target"))
    assert versions(lock(ask(base_like_this_machine("click==8.1.7"), tmp_path, "new")))["shared"] == "2.1"


def test_options_in_requirements_files_count(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    (tmp_path / "build.py").write_text("raise SystemExit('the project hides the package of that name')\n")
    lines = [f"--index-url {index.url}", "-c limits.txt", "new"]
    (tmp_path / "limits.txt").write_text("shared<2.1\n")
    result = lock(ask(base_like_this_machine("click==8.1.7"), tmp_path, *lines), directory=tmp_path)
    assert versions(result)["shared"] == "2.0"


def test_a_project_and_local_wheels(index, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1"\ndependencies = ["new"]\n'
        '[project.optional-dependencies]\nserve = ["other"]\n'
        '[dependency-groups]\ntrain = ["./own-1.0-py3-none-any.whl"]\n'.replace(
            '"./own-1.0-py3-none-any.whl"', f'"own @ {(tmp_path / "own-1.0-py3-none-any.whl").as_uri()}"'
        )
    )
    name, data = wheel("own-1.0-py3-none-any.whl", "held")
    (tmp_path / name).write_bytes(data)
    specs = collect_specs(root=tmp_path, project=True, extras=["serve"], dependency_groups=["train"])
    base = base_like_this_machine("click==8.1.7", "own==1.0")
    request = LockRequest(role="head", platform=PLATFORM, base="ray", inventory=base, specs=specs)
    result = lock(request, directory=tmp_path)
    assert versions(result).keys() == {"new", "shared", "other", "own", "held", "ray", "click"}
    assert [(wheel.url, wheel.size) for wheel in result.wheels if wheel.name == "own"] == [
        ((tmp_path / name).as_uri(), len(data))
    ]
    assert [move.name for move in result.moves] == ["own"], "a file that is asked for replaces the base's copy"
    assert without_sizes(result) == without_sizes(lock(request, "uv", directory=tmp_path))


def test_a_local_package_that_others_require(index, tmp_path):
    name, data = wheel("shared-7.0-py3-none-any.whl")
    (tmp_path / name).write_bytes(data)
    request = ask(base_like_this_machine("click==8.1.7"), tmp_path, "new")
    wheels = ((canonicalize_name("shared"), tmp_path / name),)
    sources = tuple(replace(source, wheels=wheels) for source in request.specs.sources)
    result = lock(replace(request, specs=replace(request.specs, sources=sources)), directory=tmp_path)
    assert [wheel.url for wheel in result.wheels if wheel.name == "shared"] == [(tmp_path / name).as_uri()]


@pytest.mark.parametrize(
    ("requirement", "why", "fix"),
    [
        ("absent-everywhere", "absent-everywhere was not found in any package index", "spelling"),
        ("sourceonly", "sourceonly has no wheel for Python .* there are sourceonly-1.0.tar.gz", "--find-links"),
        ("new==3.0", "new==3.0 is required, and there are wheels of 1.0 2.0 only", "relax"),
        ("click<7", "ray 2.55.1 depends on click>=7.0, and you require click<7|there are wheels of", "Ray stays|relax"),
        ("new>=2\nshared<2", "new 2.0 depends on shared>=2.*you require shared<2|you require shared<2", "relax one"),
        ("thing @ git+https://example.com/thing", "a repository", "build a wheel"),
    ],
)
def test_no_solution(index, tmp_path, requirement, why, fix):
    with pytest.raises((LockError, NoSolution)) as caught:
        lock(ask(base_like_this_machine("click==8.1.7"), tmp_path, *requirement.splitlines()), directory=tmp_path)
    assert re.search(why, caught.value.why)
    assert re.search(fix, caught.value.fix)


def test_an_index_that_is_not_there(index, tmp_path, monkeypatch):
    """Also where another index would do: tomorrow, with both, the lock would be another one."""
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(LockError, match="a package index cannot be reached") as caught:
        lock(ask(base_like_this_machine("click==8.1.7"), tmp_path, "new"))
    assert "secret" not in f"{caught.value} {caught.value.fix}"


def test_the_patch_version_counts_where_something_tells_it_apart(tmp_path, monkeypatch):
    older = Version(f"{HOST.python.major}.{HOST.python.minor}.{HOST.python.micro + 1}")
    marker = f"python_full_version >= '{older}'"
    files = [
        wheel("plain-1.0-py3-none-any.whl", "needed; python_version >= '3'"),
        wheel("picky-1.0-py3-none-any.whl", f"needed; {marker}"),
        wheel("needed-1.0-py3-none-any.whl"),
    ]
    base = base_like_this_machine("click==8.1.7", python=str(older))
    with running_index(*files) as running:
        use(monkeypatch, running)
        assert versions(lock(ask(base, tmp_path, "plain")))["needed"] == "1.0"
        with pytest.raises(LockError, match=r"picky 1.0 requires needed; python_full_version") as caught:
            lock(ask(base, tmp_path, "picky"))
        assert f"for Python {older}, the base's, than for {HOST.python} here" in caught.value.why
        assert "--engine uv" in caught.value.fix
        assert versions(lock(ask(base, tmp_path, "picky"), "uv"))["needed"] == "1.0"


def test_wheels_for_more_than_the_bases_glibc_are_not_seen(tmp_path, monkeypatch):
    tag = f"cp{HOST.python.major}{HOST.python.minor}-cp{HOST.python.major}{HOST.python.minor}"
    machine = platform.machine()
    files = [
        wheel(f"built-1.0-{tag}-manylinux_2_17_{machine}.whl"),
        wheel(f"built-2.0-{tag}-manylinux_2_{HOST.glibc.minor}_{machine}.whl"),
    ]
    with running_index(*files) as running:
        use(monkeypatch, running)
        assert versions(lock(ask(base_like_this_machine("click==8.1.7"), tmp_path, "built")))["built"] == "2.0"
        base = base_like_this_machine("click==8.1.7", glibc="2.28")
        assert versions(lock(ask(base, tmp_path, "built")))["built"] == "1.0"


def example_requests(project, base_text):
    from rayimage.cli.app import App
    from rayimage.cli.locking import requests_of
    from rayimage.cli.targets import find_targets
    from rayimage.config import load_project

    config = load_project(project)
    app = App(directory=project, quiet=True)
    targets = find_targets(app, config, pinned=False)
    return requests_of(app, config, targets), targets


@pytest.mark.index
@pytest.mark.base
def test_the_example_is_locked_alike_byte_for_byte(tmp_path, ray_base, package_index, base_layout):
    project = copy_example(tmp_path, repository="registry.example.com/team/fraud", base=ray_base)
    mismatch = _mismatch(ray_base)
    if mismatch:
        pytest.skip(mismatch)
    locks = {}
    for engine in ("uv", "pip-tools"):
        for file in (tmp_path / "lockfiles").glob("*"):
            file.unlink()
        done = rayimage(project, "lock", "--engine", engine, cache=tmp_path / "cache")
        assert done.returncode == 0, done.stderr
        locks[engine] = {file.name: file.read_bytes() for file in (tmp_path / "lockfiles").glob("pylock.*")}
    assert locks["uv"].keys() == {"pylock.head-amd64.toml", "pylock.worker-amd64.toml"}
    assert locks["uv"] == locks["pip-tools"]


@pytest.mark.engine
@pytest.mark.index
@pytest.mark.base
def test_inside_the_base(tmp_path, engine: Engine, ray_base, package_index, monkeypatch):
    """Two cases that this machine cannot do: another minor version here, and a marker that tells patches apart."""
    monkeypatch.setenv("DOCKER_HOST", engine.docker_host)
    base = resolve_base(ray_base, Platform("linux", "amd64"), root=ROOT)
    there = read_inventory(base, cache_dir=tmp_path / "cache", progress=SILENT)
    calls = []
    runner = BaseRunner({there.image: base})

    def run(command):
        calls.append(command)
        return runner(command)

    options = Options(engine="pip-tools", cache_dir=tmp_path / "cache", run_in_base=run)
    elsewhere = replace(HOST, python=Version("3.8.1"))
    request = ask(there, tmp_path, "celery[redis]", "holidays")
    (result,) = resolve([request], options, previous={}, engine=PipToolsEngine(options, elsewhere))
    assert calls
    assert result == lock(request, "uv")
    assert engine.run("ps", "--all", "--quiet") == ""


def _mismatch(base_text):
    from rayimage.lock.target import Target

    base = resolve_base(base_text, PLATFORM, root=ROOT)
    there = read_inventory(base, cache_dir=ROOT / ".cache", progress=SILENT)
    return HOST.mismatch(Target.of(there))
