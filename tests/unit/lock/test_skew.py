"""One version everywhere: where that is impossible, what lets packages differ, and packages with an index of their own."""

from __future__ import annotations

import pytest

from rayimage.errors import LockError
from rayimage.lock import NoSolution, Options
from rayimage.lock.joint import resolve
from tests.support.listener import Listener
from tests.unit.lock.samples import ARM64, WorldEngine, dist, inventory, request

BASE = inventory("click==8.1.7")
WORLD = {
    "torch==2.6": ("sympy",),
    "torch==2.7": ("sympy",),
    "sympy==1.13": (),
    "sympy==1.14": (),
    "vllm==0.8": ("torch==2.7",),
    "old==1": ("sympy<1.14",),
    "nvidia==1": (),
}
CPU, CUDA = "https://index.example.com/cpu", "https://index.example.com/cu128"


def lock(wants, world=WORLD, worlds=None, listener=None, previous=(), base=BASE, indexes=None, **rules):
    """Lock a role for each source; ``indexes`` are by role, other rules are everyone's."""
    requests = [
        request(base, *needs, role=role, indexes=(indexes or {}).get(role, {}), **rules)
        for role, needs in wants.items()
    ]
    engine = WorldEngine(wants, world, worlds)
    former = {(item.role, str(item.platform)): item for item in previous}
    locks = resolve(requests, Options(), previous=former, engine=engine, progress=listener or Listener())
    return {item.role: {wheel.name: str(wheel.version) for wheel in item.wheels} for item in locks}, engine


def test_a_package_that_cannot_be_the_same_has_its_chain_on_each_side():
    with pytest.raises(NoSolution, match="torch cannot have one version everywhere") as caught:
        lock({"head": ["torch==2.6"], "worker": ["vllm"]})
    assert caught.value.why == (
        "role head on linux/amd64: role head requires torch==2.6; "
        "role worker on linux/amd64: vllm 0.8 requires torch==2.7, role worker requires vllm"
    )
    assert 'allow-skew = ["torch"]' in caught.value.fix


def test_it_may_differ_where_that_is_allowed():
    listener = Listener()
    found, _ = lock({"head": ["torch==2.6"], "worker": ["vllm"]}, listener=listener, allow_skew={"torch"})
    assert found["head"] == {"torch": "2.6", "sympy": "1.14"}
    assert found["worker"] == {"torch": "2.7", "sympy": "1.14", "vllm": "0.8"}
    assert "allow-skew: torch is 2.6 in role head on linux/amd64, 2.7 in role worker on linux/amd64" in listener.notes


def test_what_is_allowed_to_differ_does_not_without_need():
    listener = Listener()
    found, _ = lock({"head": ["torch"], "worker": ["vllm"]}, listener=listener, allow_skew={"torch"})
    assert [item["torch"] for item in found.values()] == ["2.7", "2.7"]
    assert not any("allow-skew" in note for note in listener.notes)


def test_the_rest_agrees_all_the_same():
    found, _ = lock({"head": ["torch==2.6"], "worker": ["vllm", "old"]}, allow_skew={"torch"})
    assert [item["sympy"] for item in found.values()] == ["1.13", "1.13"]


def test_allowing_the_wrong_one_does_not_help():
    with pytest.raises(NoSolution, match="torch cannot have one version") as caught:
        lock({"head": ["torch==2.6"], "worker": ["vllm"]}, allow_skew={"sympy"})
    assert 'allow-skew = ["torch"]' in caught.value.fix


def test_more_than_one_package_in_conflict():
    world = {**WORLD, "triton==1": (), "triton==2": ()}
    with pytest.raises(NoSolution, match="torch and triton cannot") as caught:
        lock({"head": ["torch==2.6", "triton==1"], "worker": ["vllm", "triton==2"]}, world)
    assert 'allow-skew = ["torch", "triton"]' in caught.value.fix


def test_an_exchanged_package_that_may_differ_is_a_warning():
    listener = Listener()
    world = {"numpy==1": (), "numpy==2": ()}
    lock({"head": ["numpy==1"], "worker": ["numpy==2"]}, world, listener=listener, allow_skew={"numpy"})
    (warning,) = listener.warnings
    assert warning == (
        "nodes exchange objects of numpy, and it is not the same on all: 1 in role head on linux/amd64; "
        "2 in role worker on linux/amd64"
    )


def test_bases_that_differ_in_what_no_role_asks_for_are_a_warning():
    listener = Listener()
    requests = [
        request(inventory(f"numpy=={v}", "click==8"), "click", role=r) for v, r in (("1", "head"), ("2", "worker"))
    ]
    resolve(requests, Options(), previous={}, progress=listener, engine=WorldEngine({"head": [], "worker": []}, {}))
    assert ["numpy" in text for text in listener.warnings] == [True]


LOCAL = {
    CPU: {"torch==2.7.1+cpu": ("sympy",), "torch==2.8.0+cpu": ("sympy",)},
    CUDA: {"torch==2.7.1+cu128": ("sympy", "nvidia"), "torch==2.6.0+cu128": ("sympy", "nvidia")},
}
PER_ROLE = {"head": {"torch": CPU}, "worker": {"torch": CUDA}}


def test_each_role_has_its_own_build_of_one_version():
    found, _ = lock({"head": ["torch"], "worker": ["torch"]}, worlds=LOCAL, indexes=PER_ROLE)
    assert found == {
        "head": {"torch": "2.7.1+cpu", "sympy": "1.14"},
        "worker": {"torch": "2.7.1+cu128", "sympy": "1.14", "nvidia": "1"},
    }


def test_the_index_counts_for_what_only_another_package_wants():
    found, engine = lock(
        {"head": [], "worker": ["app"]}, {**WORLD, "app==1": ("torch",)}, worlds=LOCAL, indexes=PER_ROLE
    )
    assert found["head"] == {}
    assert found["worker"]["torch"] == "2.7.1+cu128"
    assert all(
        "torch" not in question.indexes for question in engine.questions if question.subject.startswith("role head")
    )


def test_an_index_alone_brings_no_package():
    found, engine = lock({"head": [], "worker": ["sympy"]}, worlds=LOCAL, indexes=PER_ROLE)
    assert found == {"head": {}, "worker": {"sympy": "1.14"}}
    assert all(not question.indexes for question in engine.questions)


def test_builds_that_are_locked_are_kept_by_each_role():
    wants = {"head": ["torch"], "worker": ["torch"]}
    requests = [request(BASE, *needs, role=role, indexes=PER_ROLE[role]) for role, needs in wants.items()]
    first = resolve(requests, Options(), previous={}, engine=WorldEngine(wants, WORLD, LOCAL))
    newer = {
        CPU: {**LOCAL[CPU], "torch==2.9+cpu": ("sympy",)},
        CUDA: {**LOCAL[CUDA], "torch==2.9+cu128": ("sympy", "nvidia")},
    }
    wants = {"head": ["torch"], "worker": ["torch", "old"]}
    found, _ = lock(wants, worlds=newer, previous=first, indexes=PER_ROLE)
    assert [item["torch"] for item in found.values()] == ["2.7.1+cpu", "2.7.1+cu128"]


def test_no_build_of_one_version_in_both_indexes():
    worlds = {CPU: {"torch==2.8.0+cpu": ()}, CUDA: {"torch==2.7.1+cu128": ()}}
    with pytest.raises(LockError, match="no solution for"):
        lock({"head": ["torch"], "worker": ["torch"]}, worlds=worlds, indexes=PER_ROLE)
    found, _ = lock({"head": ["torch"], "worker": ["torch"]}, worlds=worlds, indexes=PER_ROLE, allow_skew={"torch"})
    assert [item["torch"] for item in found.values()] == ["2.8.0+cpu", "2.7.1+cu128"]


def test_the_bases_build_provides_the_version():
    base = inventory("click==8.1.7", dist("torch==2.7.1+cu128", "sympy"), "sympy==1.13")
    found, _ = lock({"worker": ["torch"]}, base=base)
    assert found == {"worker": {}}


def test_platforms_may_differ_where_that_is_allowed():
    arm = inventory("click==8.1.7", platform=ARM64)

    class PerPlatform(WorldEngine):
        def _versions(self, name, question):
            found = super()._versions(name, question)
            newest = "2.7" if question.target.machine == "x86_64" else "2.6"
            return {version for version in found if str(version) == newest} if name == "torch" else found

    def both(**rules):
        requests = [request(BASE, "torch", **rules), request(arm, "torch", **rules)]
        return resolve(requests, Options(), previous={}, engine=PerPlatform({"worker": ["torch"]}, WORLD))

    with pytest.raises(NoSolution):
        both()
    assert [str(item.wheels[-1].version) for item in both(allow_skew={"torch"})] == ["2.7", "2.6"]
