from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock.classify import provides, role_lock
from rayimage.lock.request import lock_inputs
from rayimage.model.digest import Digest
from tests.unit.lock.samples import inventory, package, request

BASE = inventory("click==8.1.7", "numpy==1.26.4", "Typing_Extensions==4.15", "torch==2.7.1+cu128")


@pytest.mark.parametrize(
    ("installed", "wanted", "expected"),
    [
        ("1.0", "1.0", True),
        ("1.0", "1.0.0", True),
        ("1.0", "1.1", False),
        ("2.7.1+cu128", "2.7.1", True),
        ("2.7.1+cu128", "2.7.1+cu128", True),
        ("2.7.1+cu128", "2.7.1+cpu", False),
        ("2.7.1", "2.7.1+cpu", False),
        ("2.7.1rc1", "2.7.1", False),
    ],
)
def test_provides(installed, wanted, expected):
    assert provides(Version(installed), Version(wanted)) is expected


def test_provided_moved_and_added():
    answer = tuple(
        package(pin)
        for pin in (
            "zeta==1",
            "typing-extensions==4.15.0",
            "torch==2.7.1",
            "ray==2.55.1",
            "numpy==2.2.6",
            "click==8.1.7",
        )
    )
    ask = request(BASE)
    lock = role_lock(ask, answer)
    assert [f"{item.name} {item.version}" for item in lock.provided] == [
        "click 8.1.7",
        "ray 2.55.1",
        "torch 2.7.1+cu128",
        "typing-extensions 4.15",
    ]
    assert [f"{item.name} {item.old} {item.new}" for item in lock.moves] == ["numpy 1.26.4 2.2.6"]
    assert [item.name for item in lock.wheels] == ["numpy", "zeta"]
    assert [item.name for item in lock.added] == ["zeta"]
    assert lock.base.reference == "rayproject/ray:2.55.1-py311"
    assert (lock.base.digest, lock.inputs) == (BASE.image, lock_inputs(ask))


def test_another_local_label_is_another_version():
    lock = role_lock(request(BASE), (package("torch==2.7.1+cpu"),))
    assert [str(item.new) for item in lock.moves] == ["2.7.1+cpu"]


def test_a_file_asked_for_replaces_the_same_version():
    lock = role_lock(request(BASE), (package("numpy==1.26.4", direct=True),))
    assert [item.name for item in lock.moves] == ["numpy"]
    assert lock.provided == ()


@pytest.mark.parametrize("answer", [package("ray==2.56.0"), package("ray==2.55.1", direct=True)])
def test_ray_never_moves(answer):
    with pytest.raises(LockError) as caught:
        role_lock(request(BASE), (answer,))
    assert "2.55.1" in caught.value.why


def test_no_wheel_says_what_there_is():
    # uv once answered a macOS wheel for Linux: astral-sh/uv#16019.
    answer = package("zeta==1", "zeta-1-cp311-cp311-macosx_11_0_arm64.whl", sdist="zeta-1.tar.gz")
    with pytest.raises(LockError) as caught:
        role_lock(request(BASE), (answer,))
    assert (
        caught.value.what
        == "zeta 1 has no wheel for Python 3.11 on linux/amd64 (glibc 2.35), needed by role worker on linux/amd64"
    )
    assert caught.value.why == "there are only zeta-1-cp311-cp311-macosx_11_0_arm64.whl, zeta-1.tar.gz"
    assert "build a wheel of zeta-1.tar.gz and give its directory with --find-links" in caught.value.fix
    with pytest.raises(LockError) as caught:
        role_lock(request(BASE), (replace(answer, sdist=""),))
    assert "there is no sdist" in caught.value.fix


def test_an_index_without_hashes():
    answer = package("zeta==1")
    answer = replace(answer, wheels=tuple(replace(file, digest=None) for file in answer.wheels))
    with pytest.raises(LockError, match="zeta 1 cannot be locked"):
        role_lock(request(BASE), (answer,))


def test_a_local_wheel_is_measured(tmp_path):
    file = tmp_path / "zeta-1-py3-none-any.whl"
    file.write_bytes(b"wheel")
    answer = package("zeta==1", url=file.as_uri())
    bare = replace(answer, wheels=(replace(answer.wheels[0], digest=None, size=None),))
    (wheel,) = role_lock(request(BASE), (bare,)).wheels
    assert (wheel.size, wheel.digest, wheel.url) == (5, Digest(hashlib.sha256(b"wheel").hexdigest()), file.as_uri())
    file.unlink()
    with pytest.raises(LockError, match="cannot read wheel"):
        role_lock(request(BASE), (bare,))


def test_inputs_change_with_what_matters():
    first = request(BASE, "numpy")
    assert lock_inputs(first) == lock_inputs(request(BASE, "numpy", role="other"))
    others = [
        request(BASE, "numpy>1"),
        request(inventory("click==8.1.8"), "numpy"),
        replace(first, inventory=replace(BASE, python=Version("3.11.14"))),
        replace(first, platform=replace(first.platform, architecture="arm64")),
    ]
    assert lock_inputs(first) not in {lock_inputs(other) for other in others}
