from __future__ import annotations

import zipfile
from dataclasses import replace

import pytest
from packaging.version import Version

from rayimage.errors import WheelError
from rayimage.lock import check_environment, wheel_requires
from tests.unit.lock.samples import dist, inventory, role_lock


def lock(*pins):
    wheel = role_lock().wheels[0]
    wheels = [
        replace(wheel, name=name, version=Version(version)) for name, _, version in (p.partition("==") for p in pins)
    ]
    return role_lock(wheels=tuple(wheels), provided=(), moves=())


def texts(problems):
    return [str(problem) for problem in problems]


def test_clean():
    base = inventory("click==8.1.7", dist("flask==3.0", "click>=8", "missing; sys_platform == 'win32'"))
    report = check_environment(base, lock("click==8.2", "new==1.0"), {"click": (), "new": ("flask>=3", "click")})
    assert (report.new, report.known, report.trusted) == ((), (), ())


def test_a_move_breaks_a_package_of_the_base():
    base = inventory("click==8.1.7", dist("dagger==1.0", "click<8.2"))
    report = check_environment(base, lock("click==8.2"), {})
    assert texts(report.new) == ["dagger 1.0 requires click<8.2, but 8.2 is installed"]
    assert report.known == ()
    assert report.trusted == ("click",)


def test_an_added_wheel_misses_something():
    report = check_environment(inventory("click==8.1.7"), lock("new==1.0"), {"new": ("absent>=2", "click<8")})
    assert texts(report.new) == [
        "new 1.0 requires absent>=2, but it is not installed",
        "new 1.0 requires click<8, but 8.1.7 is installed",
    ]


def test_the_base_was_broken_before():
    base = inventory("click==8.1.7", dist("vllm==1.0", "click<8", "gone"), dist("good==1", "click<8.2"))
    report = check_environment(base, lock("click==8.3"), {"click": ()})
    assert texts(report.known) == [
        "vllm 1.0 requires click<8, but 8.3 is installed",
        "vllm 1.0 requires gone, but it is not installed",
    ]
    assert texts(report.new) == ["good 1 requires click<8.2, but 8.3 is installed"]


def test_a_move_heals_the_base():
    base = inventory("click==8.1.7", dist("vllm==1.0", "click>=8.2"))
    assert check_environment(base, lock("click==8.3"), {"click": ()}) == check_environment(
        inventory("click==8.1.7"), lock("click==8.3"), {"click": ()}
    )


def test_extras_count_where_somebody_asks_for_them():
    uvicorn = dist("uvicorn==0.22.0", "h11", "httptools>=0.5; extra == 'standard'")
    base = inventory("click==8", uvicorn, "h11==0.16")
    assert check_environment(base, lock(), {}).new == ()
    report = check_environment(base, lock("app==1"), {"app": ("uvicorn[standard]",)})
    assert [(problem.name, problem.found) for problem in report.new] == [("uvicorn", None)]


def test_extras_of_extras():
    base = inventory("click==8", dist("b==1", "c[y]; extra == 'x'"), dist("c==1", "d>1; extra == 'y'"), "d==1")
    assert check_environment(base, lock(), {}).new == ()
    report = check_environment(base, lock("a==1"), {"a": ("b[x]",)})
    assert [(problem.name, str(problem.found)) for problem in report.new] == [("c", "1")]


def test_markers_are_the_bases():
    requires = ("a; platform_machine == 'x86_64'", "b; platform_machine == 'aarch64'", "c; python_version < '3.11'")
    report = check_environment(inventory("click==8"), lock("new==1"), {"new": requires})
    assert [problem.requirement for problem in report.new] == ['a; platform_machine == "x86_64"']


def test_prereleases_urls_names_and_nonsense():
    base = inventory("click==8", "Some.Thing==2.0rc1", "direct==1")
    requires = ("some_thing>=1", "direct @ https://example.com/d-9-py3-none-any.whl", "not a (requirement")
    assert check_environment(base, lock("new==1"), {"new": requires}).new == ()


def wheel(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return path


def test_wheel_requires(tmp_path):
    metadata = (
        "Metadata-Version: 2.1\nName: x\nVersion: 1\nRequires-Dist: a>=1\nRequires-Dist: b; extra == 'c'\n\ntext\n"
    )
    files = {"x-1.dist-info/METADATA": metadata, "x/sub/y.dist-info/METADATA": "other"}
    assert wheel_requires(wheel(tmp_path / "x.whl", **files)) == ("a>=1", "b; extra == 'c'")
    assert wheel_requires(wheel(tmp_path / "y.whl", **{"x-1.dist-info/METADATA": "Name: x\n"})) == ()


def test_not_a_wheel(tmp_path):
    (tmp_path / "text.whl").write_text("no zip")
    for file in (wheel(tmp_path / "empty.whl"), tmp_path / "text.whl", tmp_path / "absent.whl"):
        with pytest.raises(WheelError, match="not a wheel"):
            wheel_requires(file)
