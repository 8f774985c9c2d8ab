from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rayimage.errors import BaseImageError, LockError
from rayimage.lock import NoSolution, Options
from rayimage.lock.joint import resolve
from rayimage.model.progress import SILENT
from tests.unit.lock.samples import ARM64, TableEngine, dist, inventory, request

BASE = inventory("click==8.1.7", "numpy==1.26.4")
ARM = inventory("click==8.1.7", "numpy==1.26.4", platform=ARM64)


class Notes:
    def __init__(self):
        self.lines = []

    @contextmanager
    def stage(self, name) -> Iterator[None]:
        yield

    def task(self, label, total=None):
        return SILENT.task(label, total)

    def note(self, text):
        self.lines.append(text)

    def warn(self, text):
        self.lines.append(text)


def lock(requests, engine, **options):
    return resolve(requests, Options(**options), previous={}, progress=SILENT, engine=engine)


def versions(role_lock):
    return {wheel.name: str(wheel.version) for wheel in role_lock.wheels}


def test_a_single_role_is_one_question():
    engine = TableEngine({"worker": ["numpy", "a"]}, {"numpy": {"any": ["1.26.4", "2.0"]}, "a": {"any": ["1", "2"]}})
    notes = Notes()
    (result,) = resolve([request(BASE)], Options(), previous={}, progress=notes, engine=engine)
    assert versions(result) == {"a": "2"}
    assert [item.name for item in result.provided] == ["numpy", "ray"]
    (question,) = engine.questions
    assert (question.constraints, question.subject, str(question.ray)) == ({}, "role worker on linux/amd64", "2.55.1")
    assert notes.lines == ["role worker on linux/amd64: 2 provided, 0 moved, 1 added"]


def test_nothing_to_lock():
    assert lock([], TableEngine({}, {})) == ()


def test_a_package_of_two_roles_has_one_version():
    head = inventory("click==8.1.7", "shared==1", seed="head")
    engine = TableEngine(
        {"head": ["shared"], "worker": ["shared", "a"]}, {"shared": {"any": ["1", "2"]}, "a": {"any": ["5"]}}
    )
    first, second = lock([request(BASE, role="worker"), request(head, role="head")], engine)
    assert [first.role, second.role] == ["worker", "head"]
    assert versions(first) == {"shared": "1", "a": "5"}
    assert versions(second) == {}
    assert engine.questions[0].subject == "roles worker and head on linux/amd64"
    assert len(engine.questions[0].bases) == 2
    assert {str(version) for version in engine.questions[1].constraints.values()} == {"1", "5"}
    assert len(engine.questions) == 3


def test_what_one_role_moves_moves_in_the_other_role_that_has_it():
    base = inventory("click==8.1.7", "shared==1")
    engine = TableEngine({"head": [], "worker": ["shared"]}, {"shared": {"any": ["2"]}})
    locks = lock([request(base, role="head"), request(base, role="worker")], engine)
    assert [versions(item) for item in locks] == [{"shared": "2"}, {"shared": "2"}]
    assert [[move.name for move in item.moves] for item in locks] == [["shared"], ["shared"]]


def test_what_one_role_adds_stays_out_of_the_other():
    engine = TableEngine({"head": [], "worker": ["a", "numpy"]}, {"a": {"any": ["1"]}, "numpy": {"any": ["1.26.4"]}})
    head, worker = lock([request(BASE, role="head"), request(BASE, role="worker")], engine)
    assert versions(head) == {}
    assert versions(worker) == {"a": "1"}


def test_roles_that_are_alike_are_resolved_once():
    engine = TableEngine({"common": ["a"]}, {"a": {"any": ["1"]}})
    locks = lock([request(BASE, role=role, path="/project/common.in") for role in ("head", "worker")], engine)
    assert [versions(item) for item in locks] == [{"a": "1"}, {"a": "1"}]
    assert len(engine.questions) == 1


def test_platforms_agree_too():
    engine = TableEngine({"worker": ["a"]}, {"a": {"x86_64": ["1", "2", "3"], "aarch64": ["1", "2", "3"]}})
    locks = lock([request(BASE), request(ARM)], engine)
    assert [versions(item) for item in locks] == [{"a": "3"}, {"a": "3"}]
    assert len(engine.questions) == 2


def test_the_platform_with_fewer_wheels_decides():
    engine = TableEngine({"worker": ["a"]}, {"a": {"x86_64": ["1", "2", "3"], "aarch64": ["1", "2"]}})
    locks = lock([request(BASE), request(ARM)], engine)
    assert [versions(item) for item in locks] == [{"a": "2"}, {"a": "2"}]
    assert [item.platform.architecture for item in locks] == ["amd64", "arm64"]


def test_platforms_that_cannot_agree():
    engine = TableEngine({"worker": ["a"]}, {"a": {"x86_64": ["3"], "aarch64": ["2"]}})
    with pytest.raises(NoSolution, match="no solution for role worker on linux/arm64: a has no version 3"):
        lock([request(BASE), request(ARM)], engine)


def test_a_role_at_fault_is_named():
    engine = TableEngine({"head": ["a"], "worker": ["broken"]}, {"a": {"any": ["1"]}, "broken": {"any": []}})
    with pytest.raises(NoSolution, match="no solution for role worker on"):
        lock([request(BASE, role="head"), request(BASE, role="worker")], engine)


def test_a_failing_resolver_is_not_asked_again():
    class Broken:
        calls = 0

        def solve(self, question):
            self.calls += 1
            raise LockError("a package index cannot be reached")

    engine = Broken()
    with pytest.raises(LockError, match="cannot be reached"):
        lock([request(BASE), request(ARM)], engine)
    assert engine.calls == 1


@pytest.mark.parametrize(
    "requirement", ["ray[serve]==2.50", "Ray<2.55", "ray>2.55.1", "ray @ https://user:secret@example.com/ray.whl"]
)
def test_another_ray_is_refused_with_both_sides(requirement):
    with pytest.raises(LockError, match="role worker requires another Ray") as caught:
        lock([request(BASE, "click", requirement)], TableEngine({}, {}))
    assert requirement.replace("user:secret@", "") in caught.value.why
    assert "rayproject/ray:2.55.1-py311 has Ray 2.55.1" in caught.value.why
    assert "ray==2.55.1" in caught.value.fix


@pytest.mark.parametrize("requirement", ["ray", "ray[serve]>=2.50", "ray==2.50; sys_platform == 'win32'", "raylib==1"])
def test_the_same_ray_is_accepted(requirement):
    (result,) = lock([request(BASE, requirement)], TableEngine({"worker": []}, {}))
    assert [item.name for item in result.provided] == ["ray"]


def test_a_nightly_meets_a_plain_range():
    nightly = inventory("click==8", ray="3.0.0.dev0")
    assert lock([request(nightly, "ray>=2.9")], TableEngine({"worker": []}, {}))[0].provided


def test_bases_of_two_rays_or_two_pythons():
    for other, what in ((inventory(ray="2.56.0"), "Ray"), (inventory(python="3.12.1"), "Python")):
        with pytest.raises(LockError, match=f"different {what} versions") as caught:
            lock([request(BASE, role="head"), request(other)], TableEngine({}, {}))
        assert "(head)" in caught.value.why
        assert "(worker)" in caught.value.why


def test_two_patch_levels_of_python_are_resolved_for_the_older():
    other = inventory("click==8.1.7", python="3.11.9", glibc="2.31")
    engine = TableEngine({"head": ["a"], "worker": ["a"]}, {"a": {"any": ["1"]}})
    lock([request(BASE, role="head"), request(other)], engine)
    assert (str(engine.questions[0].target.python), str(engine.questions[0].target.glibc)) == ("3.11.9", "2.31")


def test_a_base_without_ray():
    with pytest.raises(BaseImageError, match="not a Ray image"):
        lock([request(inventory("click==8", ray=""))], TableEngine({}, {}))


def test_conda_is_pinned_and_wins_over_the_other_roles():
    bases = [inventory(dist(f"conda=={version}", installer="conda")) for version in ("24.1", "26.7")]
    engine = TableEngine({"head": ["conda"], "worker": ["conda"]}, {"conda": {"any": ["24.1", "26.7"]}})
    locks = lock([request(bases[0], role="head"), request(bases[1])], engine)
    assert [str(item.provided[0].version) for item in locks] == ["24.1", "26.7"]
