from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.errors import ConfigError
from rayimage.model.digest import Digest
from rayimage.specs import LocalPackage, collect_specs
from rayimage.specs.local import LocalLine, project_name


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("./common", LocalLine(target="./common")),
        (
            "../libs/common[a,b] ; os_name == 'nt'",
            LocalLine(target="../libs/common", extras="[a,b]", marker="os_name == 'nt'"),
        ),
        ("file:../libs/common#egg=x", LocalLine(target="file:../libs/common")),
        ("name[a] @ file:///libs/common", LocalLine(target="file:///libs/common", name="name", extras="[a]")),
        ("name@file:../x;os_name=='nt'", LocalLine(target="file:../x", name="name", marker="os_name=='nt'")),
        ("./common-1.0-py3-none-any.whl", None),
        ("../common-1.0.tar.gz", None),
        ("name @ file:///x/common-1.0-py3-none-any.whl", None),
        ("https://example.com/common", None),
        ("git+file:///srv/common.git", None),
        ("name @ https://example.com/common", None),
    ],
)
def test_lines(text, line):
    is_path = not text.startswith("name")
    assert LocalLine.parse(text, is_path=is_path) == line


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("pyproject.toml", '[project]\nname = "a"', "a"),
        ("pyproject.toml", '[tool.poetry]\nname = "b"', "b"),
        ("pyproject.toml", '[project]\ndynamic = ["name"]', None),
        ("pyproject.toml", "not TOML", None),
        ("setup.cfg", "[metadata]\nname = c\n", "c"),
        ("setup.py", "from setuptools import setup\nsetup(version='1', name='d')\n", "d"),
        ("setup.py", "setup(name=NAME)", None),
        ("setup.py", "def (", None),
        ("README", "", None),
    ],
)
def test_names_are_read_not_computed(tmp_path, file, text, name):
    (tmp_path / file).write_text(text)
    assert project_name(tmp_path) == name


def package(directory: Path, name: str, text: str = "") -> None:
    directory.mkdir(parents=True)
    (directory / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1"\n{text}')


def test_two_directories_of_one_name_are_a_problem(tmp_path):
    package(tmp_path / "one", "common")
    package(tmp_path / "two", "Common")
    (tmp_path / "a.in").write_text("./one\n./two\n")
    with pytest.raises(ConfigError) as caught:
        collect_specs(root=tmp_path, requirements=[Path("a.in")])
    assert caught.value.problems == ("a.in:2: Common is both in one and in two",)


def test_packages_that_require_each_other_end(tmp_path):
    sources = '[tool.uv.sources]\nb = { path = "../b" }\na = { path = "../a" }\n'
    package(tmp_path / "a", "a", f'dependencies = ["b"]\n{sources}')
    package(tmp_path / "b", "b", f'dependencies = ["a"]\n{sources}')
    (tmp_path / "x.in").write_text("./a\n")
    specs = collect_specs(root=tmp_path, requirements=[Path("x.in")])
    assert [local.name for local in specs.local] == ["a", "b"]


def test_a_directory_that_no_name_can_be_read_from(tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "x.in").write_text("\n-e ./odd\n")
    with pytest.raises(ConfigError) as caught:
        collect_specs(root=tmp_path, requirements=[Path("x.in")])
    assert caught.value.problems == ("x.in:2: odd has no name that can be read without building it",)


def test_a_source_that_is_not_there(tmp_path):
    package(tmp_path / "app", "app", 'dependencies = ["common"]\n[tool.uv.sources]\ncommon = { path = "../gone" }\n')
    with pytest.raises(ConfigError) as caught:
        collect_specs(root=tmp_path / "app", project=True)
    assert caught.value.problems == ("pyproject.toml:4: there is no directory ../gone for common",)


def test_built_packages_are_part_of_the_digest_and_of_the_sources(tmp_path):
    package(tmp_path / "common", "common")
    (tmp_path / "x.in").write_text("./common\n")
    specs = collect_specs(root=tmp_path, requirements=[Path("x.in")])
    [local] = specs.local

    def built(content: bytes, wheel: str):
        return specs.with_local(
            [
                LocalPackage(
                    name=local.name, directory=local.directory, digest=Digest.of(content), wheel=tmp_path / wheel
                )
            ]
        )

    one, other, elsewhere = built(b"1", "a.whl"), built(b"2", "a.whl"), built(b"1", "b.whl")
    assert len({specs.digest, one.digest, other.digest}) == 3
    assert one.digest == elsewhere.digest
    assert one.sources[0].wheels == (("common", tmp_path / "a.whl"),)
    assert ("local package common", Digest.of(b"1")) in one.files
    assert specs.with_local([]) is specs


def test_a_broken_file_above_is_somebody_elses(tmp_path):
    (tmp_path / "pyproject.toml").write_text("not TOML")
    package(tmp_path / "app", "app", 'dependencies = ["six"]\n')
    specs = collect_specs(root=tmp_path / "app", project=True)
    assert [str(requirement) for requirement in specs.requirements] == ["six"]


def test_a_directory_that_is_no_member_is_in_no_workspace(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["libs/*"]\nexclude = ["libs/old"]\n')
    package(
        tmp_path / "libs/old", "old", 'dependencies = ["common"]\n[tool.uv.sources]\ncommon = { workspace = true }\n'
    )
    package(tmp_path / "libs/common", "common", 'dependencies = ["old"]\n')
    assert collect_specs(root=tmp_path / "libs/old", project=True).local == ()
