"""The real uv against small indexes on loopback: what it says of requirements, indexes and wheels is as we read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rayimage.errors import LockError
from rayimage.lock import LockRequest, NoSolution, Options, Rules, lock_path, read_lock, write_lock
from rayimage.lock.joint import resolve
from rayimage.lock.uv_log import specifier
from rayimage.model.lock import RoleLock
from rayimage.specs import collect_specs
from tests.support.index import PackageIndex, running_index, sdist, wheel
from tests.support.listener import Listener
from tests.unit.lock.samples import AMD64, ARM64, dist, inventory

LINUX = "cp311-cp311-manylinux_2_28_x86_64.whl"
ARM = "cp311-cp311-manylinux_2_28_aarch64.whl"
SPECIFIERS = (
    "==2.6",
    "==2.6.*",
    ">2.5",
    "<=2.6",
    "!=2.5",
    "!=2.5.*",
    "~=2.6",
    ">=2,!=2.5.1,!=2.5.2,<3",
    "",
    ">=2.0rc1",
)


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    files = [
        wheel("numpy-1.26.4-py3-none-any.whl"),
        wheel("numpy-2.1-py3-none-any.whl"),
        wheel("model-1-py3-none-any.whl", "numpy>=2,<3", "helper[fast]~=1.0", "absent; sys_platform == 'win32'"),
        wheel("helper-1.0-py3-none-any.whl", "extra-helper; extra == 'fast'"),
        wheel("extra_helper-3-py3-none-any.whl"),
        wheel("lightning-1-py3-none-any.whl", "torch>=2"),
        *(wheel(f"torch-{version}-{LINUX}") for version in ("2.7.1", "2.8.0")),
        wheel("nvidia-12-py3-none-any.whl"),
        *(wheel(f"asks{n}-1-py3-none-any.whl", f"target{text}") for n, text in enumerate(SPECIFIERS)),
        wheel("target-2.6-py3-none-any.whl"),
        wheel("windows-1-cp311-cp311-win_amd64.whl"),
        wheel("both-1-cp311-cp311-win_amd64.whl"),
        sdist("both", "1"),
        sdist("source", "1"),
        wheel(f"intel-1-{LINUX}"),
        wheel(f"intel-2-{LINUX}"),
        wheel(f"intel-1-{ARM}"),
        wheel(f"onlyintel-1-{LINUX}"),
    ]
    with running_index(*files) as running:
        yield running


@pytest.fixture(scope="module")
def cpu() -> Iterator[PackageIndex]:
    files = [wheel(f"torch-{version}+cpu-{LINUX}") for version in ("2.7.1", "2.8.0")]
    with running_index(*files, wheel("numpy-9-py3-none-any.whl")) as running:
        yield running


@pytest.fixture(scope="module")
def cuda() -> Iterator[PackageIndex]:
    files = [wheel(f"torch-{version}+cu128-{LINUX}", "nvidia") for version in ("2.6.0", "2.7.1")]
    with running_index(*files) as running:
        yield running


@pytest.fixture(autouse=True)
def only_these(index, tmp_path, monkeypatch):
    for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")


BASE = inventory("click==8.1.7", "numpy==1.26.4")


def ask(root: Path, *requirements: str, role: str = "worker", base=BASE, **rules) -> LockRequest:
    (root / f"{role}.in").write_text("\n".join(requirements) + "\n")
    specs = collect_specs(root=root, requirements=[Path(f"{role}.in")])
    return LockRequest(
        role=role, platform=base.platform, base="ray:2.55.1", inventory=base, specs=specs, rules=Rules(**rules)
    )


def lock(*requests: LockRequest, previous=(), **options) -> tuple[RoleLock, ...]:
    former = {(item.role, str(item.platform)): item for item in previous}
    return resolve(requests, Options(**options), previous=former, progress=Listener())


def wheels(role_lock: RoleLock) -> dict[str, str]:
    return {item.name: str(item.version) for item in role_lock.wheels}


def test_uv_says_what_requires_what(tmp_path):
    (found,) = lock(ask(tmp_path, "model", "helper"))
    assert [(move.name, move.because) for move in found.moves] == [
        ("numpy", ("model 1 requires numpy<3,>=2", "worker.in requires model"))
    ]
    assert {item.name: item.dependencies for item in found.wheels} == {
        "extra-helper": (),
        "helper": ("extra-helper",),
        "model": ("helper", "numpy"),
        "numpy": (),
    }


def test_uv_writes_ranges_as_we_read_them(tmp_path):
    from packaging.specifiers import SpecifierSet

    from rayimage.lock.uv import UvEngine

    class Recording(UvEngine):
        answers = ()

        def solve(self, question):
            self.answers = super().solve(question)
            return self.answers

    engine = Recording(Options())
    names = [f"asks{number}" for number in range(len(SPECIFIERS))]
    resolve([ask(tmp_path, *names)], Options(), previous={}, engine=engine)
    found = {package.name: package.requires for package in engine.answers}
    wanted = [SpecifierSet(text) for text in SPECIFIERS]
    expected = [
        SpecifierSet("<3,>=2.6") if text == "~=2.6" else each for text, each in zip(SPECIFIERS, wanted, strict=True)
    ]
    assert [found[name] for name in names] == [(f"target{each}",) for each in expected]
    assert specifier(">=2.6, <3.dev0") == str(expected[SPECIFIERS.index("~=2.6")])


def test_pinned_packages_of_the_base(tmp_path):
    with pytest.raises(NoSolution) as caught:
        lock(ask(tmp_path, "model", base_packages="pin"))
    assert 'numpy==1.26.4 is held by the base ray:2.55.1 (base-packages = "pin").' in caught.value.why
    assert "model" in caught.value.why
    assert 'base-packages = "prefer"' in caught.value.fix


def test_cpu_for_the_head_and_cuda_for_the_workers(tmp_path, index, cpu, cuda):
    requests = [
        ask(tmp_path, "torch", "numpy", role="head", indexes={"torch": cpu.url}),
        ask(tmp_path, "lightning", indexes={"torch": cuda.url}),
    ]
    head, worker = lock(*requests)
    assert wheels(head) == {"torch": "2.7.1+cpu"}
    assert wheels(worker) == {"lightning": "1", "nvidia": "12", "torch": "2.7.1+cu128"}
    assert [item.url.startswith(cpu.url.removesuffix("/simple")) for item in head.wheels] == [True]
    assert not any("/numpy" in path for path in cpu.requests)
    again = lock(*requests, previous=(head, worker), upgrade_packages=("click",))
    assert [wheels(item) for item in again] == [wheels(head), wheels(worker)]
    for item in (head, worker):
        file = lock_path(tmp_path, item.role, AMD64)
        write_lock(item, file)
        assert read_lock(file) == item


def test_an_index_of_its_own_is_the_only_one(tmp_path, cuda):
    (found,) = lock(ask(tmp_path, "torch", indexes={"torch": cuda.url}))
    assert wheels(found) == {"nvidia": "12", "torch": "2.7.1+cu128"}
    with pytest.raises(NoSolution, match="no solution for role worker"):
        lock(ask(tmp_path, "torch>=2.8", indexes={"torch": cuda.url}))


def test_a_base_with_a_local_build_provides_it(tmp_path, cuda):
    base = inventory("click==8.1.7", dist("torch==2.6.0+cu128", "nvidia"), "nvidia==12")
    (found,) = lock(ask(tmp_path, "lightning", base=base, indexes={"torch": cuda.url}))
    assert wheels(found) == {"lightning": "1"}
    assert ("torch", "2.6.0+cu128") in [(item.name, str(item.version)) for item in found.provided]


def test_a_version_with_wheels_for_both_platforms(tmp_path):
    arm = inventory("click==8.1.7", "numpy==1.26.4", platform=ARM64)
    found = lock(ask(tmp_path, "intel"), ask(tmp_path, "intel", base=arm))
    assert [wheels(item) for item in found] == [{"intel": "1"}, {"intel": "1"}]
    assert [item.wheels[0].filename for item in found] == [f"intel-1-{LINUX}", f"intel-1-{ARM}"]


@pytest.mark.parametrize(
    ("name", "there", "fix"),
    [
        ("windows", "Of windows==1 there is windows-1-cp311-cp311-win_amd64.whl; no source distribution.", "nothing to build one from"),
        ("both", "Of both==1 there is both-1-cp311-cp311-win_amd64.whl and a source distribution.", "--find-links"),
        ("source", "Of source==1 there is a source distribution.", "--find-links"),
    ],
)  # fmt: skip
def test_no_wheel_for_the_platform(tmp_path, name, there, fix):
    with pytest.raises(NoSolution) as caught:
        lock(ask(tmp_path, name))
    assert there in caught.value.why
    assert fix in caught.value.fix


def test_no_wheel_for_one_of_two_platforms(tmp_path):
    arm = inventory("click==8.1.7", "numpy==1.26.4", platform=ARM64)
    with pytest.raises(NoSolution, match="no solution for role worker on linux/arm64") as caught:
        lock(ask(tmp_path, "onlyintel"), ask(tmp_path, "onlyintel", base=arm))
    assert f"Of onlyintel==1 there is onlyintel-1-{LINUX}; no source distribution." in caught.value.why
    assert "linux/arm64 (glibc 2.35)" in caught.value.fix


def test_roles_that_cannot_agree(tmp_path):
    requests = [ask(tmp_path, "numpy<2", role="head"), ask(tmp_path, "model")]
    with pytest.raises(NoSolution, match="numpy cannot have one version everywhere") as caught:
        lock(*requests)
    assert caught.value.why == (
        "role head on linux/amd64: head.in requires numpy<2; "
        "role worker on linux/amd64: model 1 requires numpy<3,>=2, worker.in requires model"
    )
    skewed = [ask(tmp_path, "numpy<2", role="head", allow_skew=frozenset({"numpy"}))]
    skewed.append(ask(tmp_path, "model", allow_skew=frozenset({"numpy"})))
    head, worker = lock(*skewed)
    assert (wheels(head), wheels(worker)["numpy"]) == ({}, "2.1")


def test_credentials_of_an_index_stay_out_of_locks_and_errors(tmp_path, cuda):
    url = cuda.url.replace("http://", "http://user:secret@")
    (found,) = lock(ask(tmp_path, "torch", indexes={"torch": url}))
    file = lock_path(tmp_path, "worker", AMD64)
    write_lock(found, file)
    assert "secret" not in file.read_text()
    with pytest.raises(LockError) as caught:
        lock(ask(tmp_path, "torch>=3", indexes={"torch": url}))
    assert "secret" not in f"{caught.value} {caught.value.fix}"
