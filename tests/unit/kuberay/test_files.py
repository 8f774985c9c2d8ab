from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rayimage.errors import KubeRayError
from rayimage.kuberay import Images, emit_files, write_emissions

RELEASE = Images({"head": "x/new:2"})
Head = Callable[[str], str]


@pytest.fixture
def cluster(tmp_path: Path, head: Head) -> Path:
    file = tmp_path / "cluster.yaml"
    file.write_bytes(head("image: a/b:1").encode())
    return file


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_emitting_writes_nothing_and_writing_writes_the_rest(cluster: Path, head: Head) -> None:
    before = cluster.read_bytes()
    emissions = emit_files([cluster], RELEASE)
    assert cluster.read_bytes() == before
    write_emissions(emissions)
    assert cluster.read_bytes() == head("image: x/new:2").encode()
    assert leftovers(cluster.parent) == []
    assert not emit_files([cluster], RELEASE)[0].changed


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_the_mode_is_kept(cluster: Path, mode: int) -> None:
    cluster.chmod(mode)
    write_emissions(emit_files([cluster], RELEASE))
    assert stat.S_IMODE(cluster.stat().st_mode) == mode


def test_a_symbolic_link_keeps_pointing(cluster: Path, tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    link = tmp_path / "env" / "link.yaml"
    link.symlink_to("../cluster.yaml")
    write_emissions(emit_files([link], RELEASE))
    assert link.is_symlink()
    assert b"x/new:2" in cluster.read_bytes()
    assert leftovers(tmp_path / "env") == leftovers(tmp_path) == []


def test_one_file_by_two_names_counts_once(cluster: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(cluster)
    emissions = emit_files([link, cluster, tmp_path / "." / "cluster.yaml"], RELEASE)
    assert [emission.file for emission in emissions] == [link]
    write_emissions(emissions)
    assert b"x/new:2" in cluster.read_bytes()


def test_a_file_that_does_not_change_is_not_written(cluster: Path, tmp_path: Path) -> None:
    other = tmp_path / "service.yaml"
    other.write_text("kind: Service\n")
    before = other.stat()
    emissions = emit_files([other, cluster], RELEASE)
    assert [emission.changed for emission in emissions] == [False, True]
    assert [note.file for note in emissions[0].notes] == [other]
    write_emissions(emissions)
    assert (other.stat().st_ino, other.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_no_ray_document_at_all(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("kind: Service\n")
    with pytest.raises(KubeRayError, match="no KubeRay document") as caught:
        emit_files([tmp_path / "a.yaml", tmp_path / "b.yaml"], RELEASE)
    assert "b.yaml" in caught.value.why
    with pytest.raises(KubeRayError, match="no file was given"):
        emit_files([], RELEASE)


@pytest.mark.parametrize("name", ["absent.yaml", "folder"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(KubeRayError, match="cannot be read") as caught:
        emit_files([tmp_path / name], RELEASE)
    assert name in caught.value.what
    assert caught.value.why
    assert caught.value.fix


def test_one_refusal_stops_all(cluster: Path, tmp_path: Path, head: Head) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(head("image: $IMAGE"))
    before = cluster.read_bytes()
    with pytest.raises(KubeRayError, match=r"bad\.yaml:11"):
        emit_files([cluster, bad], RELEASE)
    assert cluster.read_bytes() == before


def test_a_file_that_changed_meanwhile_stops_all(cluster: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_bytes(cluster.read_bytes())
    emissions = emit_files([cluster, other], RELEASE)
    other.write_bytes(other.read_bytes() + b"# edited\n")
    with pytest.raises(KubeRayError, match="changed on disk after it was read"):
        write_emissions(emissions)
    assert b"x/new:2" not in cluster.read_bytes()
    assert b"# edited" in other.read_bytes()
    assert leftovers(tmp_path) == []


def test_a_file_that_went_away_stops_all(cluster: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_bytes(cluster.read_bytes())
    emissions = emit_files([cluster, other], RELEASE)
    other.unlink()
    with pytest.raises(KubeRayError, match=r"other\.yaml: cannot be written"):
        write_emissions(emissions)
    assert b"x/new:2" not in cluster.read_bytes()
    assert leftovers(tmp_path) == []


def test_a_full_disk_stops_all(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    emissions = emit_files([cluster], RELEASE)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KubeRayError, match=r"cluster\.yaml: cannot be written: No space left on device"):
        write_emissions(emissions)
    assert b"a/b:1" in cluster.read_bytes()
    assert leftovers(cluster.parent) == []
