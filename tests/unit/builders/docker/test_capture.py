from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from docker.errors import APIError

from rayimage.builders.docker import capture as module
from rayimage.builders.docker.capture import Changes, changes_of, write_layer
from rayimage.errors import ConfigError, EngineError
from rayimage.model.digest import Digest


def container(*entries):
    return SimpleNamespace(diff=lambda: [{"Path": path, "Kind": kind} for path, kind in entries])


def test_what_counts_as_changed():
    found = changes_of(
        container(
            ("/usr", 0),
            ("/usr/bin/tree", 1),
            ("/tmp", 0),
            ("/tmp/rayimage", 1),
            ("/run/secrets/token", 1),
            ("/var/log/dpkg.log", 0),
            ("/var/lib/apt/lists/x", 1),
            ("/var/lib/dpkg/status", 0),
            ("/var/lib/dpkg/status-old", 0),
            ("/etc/resolv.conf", 0),
            ("/etc/old", 2),
            ("/etc/old/file", 2),
            ("/temporary", 1),
        )
    )
    assert found.there == ("/temporary", "/usr", "/usr/bin/tree", "/var/lib/dpkg/status")
    assert found.gone == ("/etc/old",)


def test_nothing_changed():
    assert changes_of(SimpleNamespace(diff=lambda: None)) == Changes(there=(), gone=())


def test_an_engine_that_does_not_say():
    def diff():
        raise APIError("500")

    with pytest.raises(EngineError, match="does not say what a step changed"):
        changes_of(SimpleNamespace(diff=diff))


def tar_of(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data, mtime in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname, info.mode = len(data), mtime, "root", 0o4755
            info.pax_headers = {"SCHILY.xattr.security.capability": "x", "ctime": "1"}
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def pack(monkeypatch, tmp_path):
    def pack(inner, *, code=0, gone=(), secrets=()):
        steps = []

        @contextmanager
        def run_step(client, step):
            steps.append(step)
            outer = tar_of(("layer.tar", inner, 0))
            blocks = (outer[at : at + 1000] for at in range(0, len(outer), 1000))
            yield SimpleNamespace(
                code=code, output="no tar", container=SimpleNamespace(get_archive=lambda _: (blocks, {}))
            )

        monkeypatch.setattr(module, "run_step", run_step)
        changes = Changes(there=("/a", "/b c"), gone=gone)
        diff_id = write_layer(None, "image", changes, tmp_path / "layer", 2000.5, secrets)
        assert steps[0].files == {f"{module.WORK}/list": b"a\0b c\0"}
        return diff_id, (tmp_path / "layer").read_bytes()

    return pack


def test_a_layer(pack):
    diff_id, data = pack(tar_of(("a", b"old", 1000), ("b c", b"new", 2001)), gone=("/etc/old",))
    plain = gzip.decompress(data)
    assert diff_id == Digest.of(plain)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        members = {info.name: info for info in archive}
        assert archive.extractfile("b c").read() == b"new"
    assert list(members) == ["etc/.wh.old", "a", "b c"]
    assert (members["a"].mtime, members["b c"].mtime) == (1000, module.EPOCH)
    assert (members["a"].mode, members["a"].uname) == (0o4755, "")
    assert members["a"].pax_headers == {"SCHILY.xattr.security.capability": "x"}


def test_it_depends_on_what_changed_only(pack):
    assert pack(tar_of(("a", b"x", 3000))) == pack(tar_of(("a", b"x", 9999)))


@pytest.mark.parametrize("before", [0, 1, 16 * 1024 - 3, 100_000])
def test_a_secret_in_a_file(before, pack):
    with pytest.raises(ConfigError, match="a step writes a secret into /b c"):
        pack(tar_of(("a", b"x", 1000), ("b c", bytes(before) + b"hunter2!" + bytes(9), 1)), secrets=[b"hunter2!"])


def test_a_secret_that_says_nothing(pack):
    assert pack(tar_of(("a", b"x", 1000)), secrets=[b"x", b"", b"hunter2!"])


def test_a_base_without_tar(pack):
    with pytest.raises(EngineError, match="cannot be packed") as caught:
        pack(b"", code=127)
    assert "GNU tar" in caught.value.fix
