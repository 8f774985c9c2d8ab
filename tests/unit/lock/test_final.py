from __future__ import annotations

from dataclasses import replace

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.layers import WheelMetadata
from rayimage.lock import check_final
from rayimage.model.lock import Move, Provided
from tests.unit.lock.samples import ARM64, dist, inventory, request, role_lock


def wheel(pin):
    name, _, version = pin.partition("==")
    filename = f"{name}-{version}-py3-none-any.whl"
    return replace(role_lock().wheels[0], name=name, version=Version(version), filename=filename)


def says(pin, *requires, python="", file=None):
    name, _, version = pin.partition("==")
    return WheelMetadata(
        filename=wheel(file or pin).filename,
        name=canonicalize_name(name),
        version=Version(version),
        requires=requires,
        requires_python=python,
    )


def lock(*pins, moves=(), provided=()):
    pairs = [pin.partition("==")[::2] for pin in provided]
    return role_lock(
        wheels=tuple(map(wheel, pins)),
        moves=tuple(Move(canonicalize_name(name), Version(old), Version(new)) for name, old, new in moves),
        provided=tuple(Provided(canonicalize_name(n), Version(v)) for n, v in pairs),
    )


def refused(base, locked, *packages, asks=()):
    with pytest.raises(LockError) as caught:
        check_final([(request(base, *asks), locked, packages)])
    assert caught.value.what == "the locked packages do not fit together"
    assert "run `rayimage lock`" in caught.value.fix
    return caught.value.why.splitlines()


BASE = inventory("click==8.1.7", "numpy==1.26.4")
HERE = "(role worker on linux/amd64)"


def test_all_is_well():
    locked = lock("numpy==2.0", "new==1", moves=[("numpy", "1.26.4", "2.0")], provided=["click==8.1.7"])
    packages = (says("numpy==2.0", python=">=3.9"), says("new==1", "numpy>=2", "click", "absent; os_name == 'nt'"))
    assert check_final([(request(BASE, "new", "click>=8"), locked, packages)]) == ((), ())


@pytest.mark.parametrize(
    ("requires", "line"),
    [
        ("click>=9", "new 1 requires click>=9, but 8.1.7 is installed; require click"),
        ("absent>=2", "new 1 requires absent>=2, but it is not installed; require absent>=2"),
    ],
)
def test_a_wheel_requires_what_is_not_there(requires, line):
    (said,) = refused(BASE, lock("new==1"), says("new==1", requires))
    assert said.startswith(line)
    assert said.endswith(HERE)


def test_the_way_out_is_the_name_of_what_is_required():
    item = (request(BASE), lock("new==1"), (says("new==1", "Click>=9"),))
    with pytest.raises(LockError) as caught:
        check_final([item])
    assert 'allow-unmet = ["click"]' in caught.value.fix
    warned, _ = check_final([item], frozenset({canonicalize_name("click")}))
    assert [text.partition(";")[0] for text in warned] == ["new 1 requires Click>=9, but 8.1.7 is installed"]


def test_name_and_version_are_the_locked_ones():
    assert refused(BASE, lock("new==1"), says("new==1.1", file="new==1")) == [
        f"new-1-py3-none-any.whl is locked as new 1, but its METADATA says that it is new 1.1; use another build of it {HERE}"
    ]


def test_requires_python():
    assert refused(BASE, lock("new==1"), says("new==1", python="<3.11")) == [
        f"new 1 requires Python <3.11, but the base has 3.11.13; require another version of new {HERE}"
    ]
    assert check_final([(request(BASE), lock("new==1"), (says("new==1", python="3 or so"),))]) == ((), ())


def test_metadata_that_is_not_there_is_not_passed_over():
    assert refused(BASE, lock("new==1")) == [f"new-1-py3-none-any.whl: its metadata is unknown {HERE}"]


def test_what_the_project_requires_is_not_locked():
    why = refused(BASE, lock("new==1"), says("new==1"), asks=("new>=2", "other", "never; os_name == 'nt'"))
    assert why == [
        f"the project requires new>=2, but 1 would be installed {HERE}",
        f"the project requires other, but it would not be installed {HERE}",
    ]


def test_extras_that_the_project_asks_for():
    base = inventory("click==8.1.7", dist("uvicorn==1", "httptools; extra == 'standard'"))
    (said,) = refused(base, lock(), asks=("uvicorn[standard]",))
    assert said.startswith("uvicorn 1 requires httptools")


def test_moves_and_provided_are_the_bases():
    locked = lock("numpy==2.0", moves=[("click", "8.1.7", "8.2")], provided=["numpy==1.0", "gone==1"])
    assert [line.partition(" (role")[0] for line in refused(BASE, locked, says("numpy==2.0"))][:4] == [
        "numpy 2.0 is added beside the base's 1.26.4: the lock has no move of it",
        "the base's click 8.1.7 is removed, but the lock has no wheel in its place",
        "numpy 1.0 is locked as the base's, but the base has 1.26.4",
        "gone 1 is locked as the base's, but the base does not have it",
    ]


def test_what_a_move_breaks_is_a_warning_and_the_bases_own_is_apart():
    base = inventory("click==8.1.7", dist("dagger==1", "click<8.2"), dist("torn==1", "gone"))
    locked = lock("click==8.3", moves=[("click", "8.1.7", "8.3")])
    warned, known = check_final([(request(base), locked, (says("click==8.3"),))])
    assert [text.partition(";")[0] for text in warned] == ["dagger 1 requires click<8.2, but 8.3 is installed"]
    assert known == (f"the base's own: torn 1 requires gone, but it is not installed {HERE}",)


def test_the_projects_own_wheel_counts():
    (said,) = refused(BASE, lock(), says("app==1", "click>=9"))
    assert said.startswith("app 1 requires click>=9")


def test_the_same_for_two_images_is_said_once():
    arm = inventory("click==8.1.7", platform=ARM64)
    packages = (says("new==1", "gone", "there; platform_machine == 'aarch64'"),)
    with pytest.raises(LockError) as caught:
        check_final([(request(base), lock("new==1"), packages) for base in (BASE, arm)])
    both, one = caught.value.why.splitlines()
    assert both.endswith("require gone (role worker on linux/amd64, role worker on linux/arm64)")
    assert "new 1 requires there" in one
    assert one.endswith("(role worker on linux/arm64)")


def test_a_wheel_for_another_platform():
    locked = role_lock(wheels=(replace(wheel("new==1"), filename="new-1-cp311-cp311-win_amd64.whl"),), moves=())
    says_so = replace(says("new==1"), filename="new-1-cp311-cp311-win_amd64.whl")
    (said, *_) = refused(BASE, locked, says_so)
    assert said == f"new-1-cp311-cp311-win_amd64.whl is not for Python 3.11 on linux/amd64 (glibc 2.35) {HERE}"
