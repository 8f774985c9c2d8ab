from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker

from rayimage.specs.markers import any_of, decide

LINUX = {"sys_platform": "linux", "python_version": "3.11", "os_name": "posix"}


@pytest.mark.parametrize(
    ("marker", "verdict"),
    [
        (None, True),
        ("'gpu' in extras", True),
        ("'plot' in extras", False),
        ("'plot' not in extras", True),
        ("'Serve' in dependency_groups", True),
        ("extra == 'GPU'", True),
        ("'gpu' == extra", True),
        ("extra != 'gpu'", False),
        ("sys_platform == 'linux'", 'sys_platform == "linux"'),
        ("'gpu' in extras and sys_platform == 'linux'", 'sys_platform == "linux"'),
        ("'plot' in extras and sys_platform == 'linux'", False),
        ("'gpu' in extras or sys_platform == 'linux'", True),
        ("'plot' in extras or sys_platform not in 'win32 cygwin'", 'sys_platform not in "win32 cygwin"'),
        (
            "('plot' in extras or os_name == 'nt' or os_name == 'java') and python_version >= '3.9'",
            '(os_name == "nt" or os_name == "java") and python_version >= "3.9"',
        ),
        (
            "os_name == 'nt' and python_version >= '3.9' or extra == 'plot'",
            'os_name == "nt" and python_version >= "3.9"',
        ),
    ],
)
def test_extras_and_groups_are_decided_and_the_rest_stays(marker, verdict):
    assert decide(marker, extras=["gpu"], groups=["serve"]) == verdict


atoms = st.sampled_from(
    ["sys_platform == 'linux'", "python_version >= '3.12'", "os_name == 'nt'", "'a' in extras", "'b' in extras"]
)
markers = st.recursive(
    atoms,
    lambda inner: st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
)


@given(markers, st.sets(st.sampled_from(["a", "b"])))
def test_what_is_left_says_the_same(marker, extras):
    whole = Marker(marker).evaluate({**LINUX, "extras": frozenset(extras)}, context="lock_file")
    verdict = decide(marker, extras=extras)
    left = (
        verdict
        if isinstance(verdict, bool)
        else Marker(verdict).evaluate({**LINUX, "extras": frozenset()}, context="lock_file")
    )
    assert left == whole


def test_one_of_several():
    assert any_of([]) is False
    assert any_of([False, True, "os_name == 'nt'"]) is True
    assert any_of([False, "os_name == 'nt'", "os_name == 'nt'"]) == "os_name == 'nt'"
    assert any_of(["os_name == 'nt'", "os_name == 'java'"]) == "os_name == 'nt' or os_name == 'java'"
