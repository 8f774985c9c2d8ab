from __future__ import annotations

import zipfile
from tempfile import mkdtemp

import pytest
from packaging.metadata import Metadata

from rayimage.errors import LockError
from rayimage.lock.stubs import stub_requires, write_stubs
from rayimage.lock.target import Target
from tests.unit.lock.samples import dist, inventory

RAY = dist(
    "ray==3.0.0.dev0",
    "click>=7",
    "fastapi ; extra == 'serve'",
    "cupy ; (platform_machine == 'x86_64') and extra == 'cuda'",
)
BASE = inventory("click==8.1.7", "torch==2.7.1+cu128", "Typing_Extensions==4.15", RAY)


def write(base, parent):
    return write_stubs(base, Target.of(base), "manylinux_2_35_x86_64", parent)


def test_one_wheel_for_each_distribution(tmp_path):
    directory = write(BASE, tmp_path / "cache")
    assert sorted(file.name for file in directory.iterdir()) == [
        "click-8.1.7-cp311-cp311-manylinux_2_35_x86_64.whl",
        "ray-3.0.0.dev0-cp311-cp311-manylinux_2_35_x86_64.whl",
        "torch-2.7.1+cu128-cp311-cp311-manylinux_2_35_x86_64.whl",
        "typing_extensions-4.15-cp311-cp311-manylinux_2_35_x86_64.whl",
    ]


def test_the_metadata_is_valid(tmp_path):
    (wheel,) = write(BASE, tmp_path).glob("ray-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        metadata = Metadata.from_email(archive.read("ray-3.0.0.dev0.dist-info/METADATA"))
        assert "Tag: cp311-cp311-manylinux_2_35_x86_64" in archive.read("ray-3.0.0.dev0.dist-info/WHEEL").decode()
    assert (metadata.name, str(metadata.version)) == ("ray", "3.0.0.dev0")
    assert metadata.provides_extra == ["cuda", "serve"]
    assert [str(item.name) for item in metadata.requires_dist or ()] == ["click", "fastapi", "cupy"]


def test_the_same_base_has_the_same_directory(tmp_path):
    first = write(BASE, tmp_path)
    before = {file.name: file.stat().st_mtime_ns for file in first.iterdir()}
    assert write(BASE, tmp_path) == first
    assert {file.name: file.stat().st_mtime_ns for file in first.iterdir()} == before
    assert write(inventory("click==8.1.8", RAY), tmp_path) != first
    assert len(list(tmp_path.iterdir())) == 2


def test_losing_a_race_is_no_loss(tmp_path, monkeypatch):
    def overtaken(**options):
        monkeypatch.undo()
        write(BASE, tmp_path)
        return mkdtemp(**options)

    monkeypatch.setattr("rayimage.cachedir.directory.tempfile.mkdtemp", overtaken)
    directory = write(BASE, tmp_path)
    assert list((tmp_path / "stubs").iterdir()) == [directory]
    assert not list((tmp_path / "scratch").iterdir())


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(target)

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(LockError, match="cannot write"):
        write(BASE, tmp_path)
    assert not [*(tmp_path / "stubs").iterdir(), *(tmp_path / "scratch").iterdir()]


def test_what_the_base_does_not_meet_is_not_required():
    vllm = dist(
        "vllm==1.0",
        "click<8",  # broken in the base
        "typing-extensions>=4",
        "absent",  # missing in the base
        "absent ; extra == 'more'",  # an extra that was not installed
        "torch==2.6 ; extra == 'more'",
        "windows ; sys_platform == 'win32'",
        "torch @ https://example.com/torch.whl",
        "not a (requirement",
    )
    base = inventory("click==8.1.7", "torch==2.7.1+cu128", "typing-extensions==4.15", vllm)
    assert [str(item) for item in stub_requires(vllm, base, Target.of(base))] == [
        "typing-extensions>=4",
        'absent; extra == "more"',
        'windows; sys_platform == "win32"',
    ]
