from __future__ import annotations

import pytest
from packaging.markers import Marker
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock.target import Target, best_wheel
from rayimage.model.platform import Platform
from tests.unit.lock.samples import AMD64, ARM64, inventory


def target(platform=AMD64, glibc="2.35", python="3.11.13"):
    return Target(python=Version(python), platform=platform, glibc=Version(glibc))


@pytest.mark.parametrize(
    ("tags", "amd64", "arm64"),
    [
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", True, False),
        ("cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64", False, True),
        ("cp311-cp311-manylinux2014_x86_64", True, False),
        ("cp311-cp311-manylinux2014_aarch64", False, True),
        ("cp311-cp311-manylinux1_x86_64", True, False),
        ("cp311-cp311-manylinux2010_x86_64", True, False),
        ("cp311-cp311-manylinux_2_35_x86_64", True, False),
        ("cp311-cp311-manylinux_2_36_x86_64", False, False),
        ("cp311-cp311-linux_x86_64", True, False),
        ("cp38-abi3-manylinux_2_28_x86_64", True, False),
        ("cp312-abi3-manylinux_2_28_x86_64", False, False),
        ("cp311-none-manylinux_2_28_aarch64", False, True),
        ("py3-none-manylinux_2_28_x86_64", True, False),
        ("py3-none-any", True, True),
        ("py2.py3-none-any", True, True),
        ("py311-none-any", True, True),
        ("py312-none-any", False, False),
        ("py2-none-any", False, False),
        ("cp310-cp310-manylinux_2_28_x86_64", False, False),
        ("cp311-cp311t-manylinux_2_28_x86_64", False, False),
        ("cp311-cp311-musllinux_1_2_x86_64", False, False),
        ("cp311-cp311-macosx_11_0_arm64", False, False),
        ("cp311-cp311-win_amd64", False, False),
        ("pp311-pypy311_pp73-manylinux_2_28_x86_64", False, False),
    ],
)
def test_which_wheels_fit(tags, amd64, arm64):
    filename = f"thing-1.0-{tags}.whl"
    assert best_wheel([filename], target(AMD64)) == (filename if amd64 else None)
    assert best_wheel([filename], target(ARM64)) == (filename if arm64 else None)


@pytest.mark.parametrize(("glibc", "fits"), [("2.27", False), ("2.28", True), ("2.31", True)])
def test_glibc_is_a_ceiling(glibc, fits):
    filename = "thing-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert (best_wheel([filename], target(glibc=glibc)) == filename) is fits


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("thing-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "thing-1.0-cp39-abi3-manylinux_2_28_x86_64.whl"),
        ("thing-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "thing-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"),
        ("thing-1.0-cp39-abi3-manylinux_2_28_x86_64.whl", "thing-1.0-cp38-abi3-manylinux_2_28_x86_64.whl"),
        ("thing-1.0-cp38-abi3-manylinux_2_28_x86_64.whl", "thing-1.0-py3-none-any.whl"),
        ("thing-1.0-2-py3-none-any.whl", "thing-1.0-1-py3-none-any.whl"),
        ("thing-1.0-1-py3-none-any.whl", "thing-1.0-py3-none-any.whl"),
        ("thing-1.0-py3-none-any.whl", "not a wheel.whl"),
    ],
)
def test_the_better_wheel_wins_in_any_order(better, worse):
    assert best_wheel([better, worse], target()) == better
    assert best_wheel([worse, better], target()) == better


def test_of_equals_the_first_is_taken():
    assert best_wheel(["a-1.0-py3-none-any.whl", "a-1.0.0-py3-none-any.whl"], target()) == "a-1.0-py3-none-any.whl"
    assert best_wheel([], target()) is None


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("sys_platform == 'linux' and platform_machine == 'aarch64'", True),
        ("python_full_version == '3.11.13' and python_version == '3.11'", True),
        ("implementation_name == 'cpython' and os_name == 'posix'", True),
        ("platform_system == 'Darwin' or sys_platform == 'win32'", False),
        ("platform_release == '' and platform_version == ''", True),
    ],
)
def test_markers_are_those_of_the_base(marker, expected):
    assert Marker(marker).evaluate(dict(target(ARM64).environment)) is expected


def test_every_marker_variable_is_set():
    from packaging.markers import default_environment

    assert set(target().environment) == set(default_environment())


@pytest.mark.parametrize("platform", [Platform("windows", "amd64"), Platform("linux", "s390x")])
def test_no_target_without_ray_wheels(platform):
    with pytest.raises(LockError, match=str(platform)):
        Target.of(inventory(platform=platform))


@pytest.mark.parametrize("glibc", ["", "1.2"])
def test_no_target_without_glibc(glibc):
    with pytest.raises(LockError) as caught:
        Target.of(inventory(glibc=glibc))
    assert "glibc" in caught.value.why
