from __future__ import annotations

import gzip
import shutil
from dataclasses import replace

import pytest

from rayimage.base import read_inventory, resolve_base
from rayimage.builders.shelf import Shelf
from rayimage.builders.system_base import StepResult, SystemBases, steps_of
from rayimage.errors import LockError
from rayimage.lock.system import fits, read_system_lock, system_lock_path, write_system_lock
from rayimage.model.digest import Digest
from rayimage.model.system import RunStep, Secret, SystemSettings
from tests.support.images import make_image, make_layer, make_tar, ray_base
from tests.support.values import AMD64
from tests.unit.builders.test_shelf import Store


class Execute:
    """Stands for the Engine: writes the step's title into a layer."""

    def __init__(self, salt=""):
        self.salt = salt
        self.done = []

    def __call__(self, base, below, step, key, target):
        self.done.append((base.digest, below, step.title))
        tar = make_tar({"etc/made": f"{step.title} {self.salt}"})
        target.write_bytes(gzip.compress(tar, mtime=0))
        return StepResult(diff_id=Digest.of(tar), packages=(("tree", "2.1.0-1"),))


@pytest.fixture
def base(tmp_path):
    make_image(tmp_path / "base", [make_layer(ray_base())], user="1000", tag="2.55.1")
    return resolve_base("oci:base:2.55.1", AMD64, root=tmp_path)


def run(tmp_path, shell="echo", *inputs, **how):
    return RunStep(script=shell, root=tmp_path, inputs=inputs, **how)


def bases(tmp_path, execute, *, cache="cache", shelf=None):
    return SystemBases(tmp_path / cache, shelf or Shelf(), execute)


def test_steps_lie_on_each_other_and_are_made_once(base, tmp_path):
    steps = steps_of(["tree"], SystemSettings(), [run(tmp_path)])
    execute = Execute()
    made, lock = bases(tmp_path, execute).make(base, steps, None)
    assert [title for _, _, title in execute.done] == ["system packages tree", "run echo"]
    assert execute.done[0][:2] == (base.digest, None)
    assert execute.done[1][1] == lock.steps[0].key
    assert made.digest == lock.image
    assert [layer.digest for layer in made.manifest.layers[-2:]] == [step.layer for step in lock.steps]
    assert made.config.diff_ids[-1] == lock.steps[-1].diff_id
    again, same = bases(tmp_path, execute).make(base, steps, lock)
    assert (again.digest, same) == (made.digest, lock)
    assert len(execute.done) == 2
    with again.source.open_blob(again.manifest.layers[-1]) as stream:
        assert Digest.of(stream.read()) == lock.steps[-1].layer
    assert read_inventory(again, cache_dir=tmp_path / "cache").ray is not None


def test_what_changes_a_key(base, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_text("1")

    def key(packages=("tree",), settings=None, **how):
        return steps_of(packages, settings or SystemSettings(), [run(tmp_path, "x", "a", **how)])[-1].key(base.digest)

    first = key()
    assert key(user="root") != first
    assert key(secrets=(Secret(name="token", variable="T"),)) != first
    assert key(secrets=(Secret(name="token", variable="T"),)) == key(secrets=(Secret(name="token", variable="U"),))
    (tmp_path / "a/file").chmod(0o755)
    assert key() != first
    (tmp_path / "a/file").chmod(0o644)
    (tmp_path / "a/file").write_text("2")
    assert key() != first
    packages = [
        steps_of(["b", "a"], SystemSettings(snapshot=s), [])[0].key(base.digest) for s in ("", "20260101T000000Z")
    ]
    assert packages[0] != packages[1]
    assert steps_of(["a", "b"], SystemSettings(), [])[0].key(base.digest) == packages[0]


def test_another_machine_takes_it_from_the_repository(base, tmp_path):
    store = Store.create(tmp_path / "store")
    steps = steps_of(["tree"], SystemSettings(), [])
    made, lock = bases(tmp_path, Execute(), shelf=Shelf(lambda: store)).make(base, steps, None)
    there = Execute()
    other, same = bases(tmp_path, there, cache="fresh", shelf=Shelf(lambda: store)).make(base, steps, lock)
    assert (other.digest, same, there.done) == (made.digest, lock, [])


def test_a_locked_layer_that_is_gone(base, tmp_path):
    steps = steps_of(["tree"], SystemSettings(), [])
    _, lock = bases(tmp_path, Execute()).make(base, steps, None)
    shutil.rmtree(tmp_path / "cache")
    _, same = bases(tmp_path, Execute()).make(base, steps, lock)
    assert same == lock
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(LockError, match="the layer that was locked cannot be made again") as caught:
        bases(tmp_path, Execute("tomorrow")).make(base, steps, lock)
    assert "rayimage lock" in caught.value.fix


@pytest.mark.parametrize("damage", ["layer.tar.gz", "step.json"])
def test_a_damaged_cache_is_made_anew(damage, base, tmp_path):
    steps = steps_of(["tree"], SystemSettings(), [])
    _, lock = bases(tmp_path, Execute()).make(base, steps, None)
    [file] = (tmp_path / "cache/system").glob(f"*/{damage}")
    file.write_bytes(b"{}")
    execute = Execute()
    _, same = bases(tmp_path, execute).make(base, steps, lock)
    assert same == lock
    assert len(execute.done) == 1


class TestLock:
    def test_round_trip(self, base, tmp_path):
        steps = steps_of(["tree"], SystemSettings(), [run(tmp_path, 'echo "a"\nexit 0')])
        _, lock = bases(tmp_path, Execute()).make(base, steps, None)
        file = system_lock_path(tmp_path / "lockfiles", "my.role", AMD64)
        assert file.name == "system.my-role-amd64.toml"
        assert read_system_lock(file) is None
        assert write_system_lock(lock, file)
        assert read_system_lock(file) == lock
        assert not write_system_lock(lock, file)
        assert 'name = "tree", version = "2.1.0-1"' in file.read_text()
        assert fits(lock, base.digest, steps)
        assert not fits(lock, Digest.of(b"other"), steps)
        assert not fits(lock, base.digest, steps[:1])
        assert not fits(replace(lock, steps=lock.steps[:1]), base.digest, steps)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("format = 9", "is of another format"),
            ("format = 1", "is damaged: base is missing"),
            ("format = 1\nbase = 'x'\nbase-digest = 'nonsense'", "is damaged"),
            ("not toml", "is damaged"),
        ],
    )
    def test_what_cannot_be_read(self, text, message, tmp_path):
        (tmp_path / "system.head-amd64.toml").write_text(text)
        with pytest.raises(LockError, match=message) as caught:
            read_system_lock(tmp_path / "system.head-amd64.toml")
        assert "rayimage lock" in caught.value.fix
