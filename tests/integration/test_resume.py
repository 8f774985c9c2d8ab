"""A push that is killed in the middle, and the next one that sends the rest."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from rayimage.model.digest import Digest
from rayimage.model.reference import Reference
from rayimage.registry import Registries
from tests.support.fake_registry import FakeRegistry
from tests.support.project import Project, make_project
from tests.support.services import Registry
from tests.support.wheelmaker import make_wheel

MIB = 1 << 20
NOISE = random.Random(4).randbytes(24 * MIB)


def project_with_a_big_wheel(directory: Path, repository: str) -> Project:
    project = make_project(directory, repository)
    make_wheel(directory / "wheels", {"extra/noise.bin": NOISE}, "extra", "1.0")
    return project


def killed(command: list[str], environment: Mapping[str, str], registry: FakeRegistry) -> None:
    """Run ``command`` until the registry has stalled, and kill it then."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert registry.stalled.wait(60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        registry.go_on.set()


def settled(registry: FakeRegistry) -> int:
    """The bytes of uploads that the registry has got, once no more come."""
    seen = -1
    while seen != registry.received:
        seen = registry.received
        time.sleep(0.1)
    return seen


def test_the_next_build_sends_the_rest_only(tmp_path: Path) -> None:
    with FakeRegistry(stall_upload_after=12 * MIB) as registry:
        project = project_with_a_big_wheel(tmp_path, f"{registry.host}/team/small")
        environment = {**os.environ, "RAYIMAGE_CACHE_DIR": str(project.cache)}
        command = [sys.executable, "-m", "rayimage", "-C", str(project.root), "build"]
        killed(command, environment, registry)
        there = settled(registry)
        assert there >= 12 * MIB
        assert not registry.tags["team/small"], "nothing is tagged before everything is there"
        [upload] = registry.uploads.values()
        assert len(upload) < 24 * MIB, "it was killed in the middle"

        before, requests = len(upload), len(registry.requests)
        ran = project.run("build")
        assert ran.code == 0, ran.err
        big = next(data for data in registry.blobs["team/small"].values() if len(data) > 20 * MIB)
        sent = [each for each in registry.requests[requests:] if each.method in ("PATCH", "PUT")]
        assert [each.length for each in sent if each.length > MIB] == [len(big) - before]
        assert sum(len(data) for data in registry.blobs["team/small"].values()) == registry.received
        assert sorted(tag.rpartition("-")[2] for tag in registry.tags["team/small"]) == ["cache", "head", "worker"]
        assert not list((project.cache / "uploads").rglob("*.json"))


# Sends a blob in chunks of 4 MiB and is stuck, for ever, before the first byte of the fourth.
SENDER = """
import io, sys, time
from contextlib import contextmanager
from pathlib import Path
from rayimage.model.content import Blob
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.reference import Reference
from rayimage.registry import Registries, transfer

transfer._LARGE, transfer._CHUNKS = 4 << 20, (4 << 20,)
host, uploads, content, stuck = sys.argv[1:]
data = Path(content).read_bytes()

class Stream(io.BytesIO):
    def read(self, size=-1):
        if stuck == "stuck" and self.tell() >= 12 << 20:
            print("stuck", flush=True)
            time.sleep(600)
        return super().read(size)

@contextmanager
def opened():
    yield Stream(data)

blob = Blob(descriptor=Descriptor(media_type="application/octet-stream", digest=Digest.of(data), size=len(data)), open=opened)
heard = []
repository = Registries(uploads=Path(uploads)).open(Reference(host, "room/killed"))
print(repository.put_blob(blob, heard.append).value, "after", max(heard), flush=True)
"""


@pytest.mark.registry
def test_dockers_registry_keeps_the_chunks_that_were_complete(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(NOISE)
    arguments = [sys.executable, "-c", SENDER, registry.host, str(tmp_path / "uploads"), str(tmp_path / "blob")]
    first = subprocess.Popen([*arguments, "stuck"], stdout=subprocess.PIPE, text=True)
    assert first.stdout
    try:
        assert first.stdout.readline() == "stuck\n"
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    [file] = (tmp_path / "uploads").rglob("upload.json")
    location = json.loads(file.read_text())["location"]
    done = subprocess.run([*arguments, "-"], capture_output=True, text=True, check=True)
    assert done.stdout == f"uploaded after {12 * MIB}\n"
    with Registries().open(Reference(registry.host, "room/killed")) as repository:
        assert repository.has_blob(Digest.of(NOISE))
    assert "/room/killed/blobs/uploads/" in location
    # The first process's upload was ended, not left behind beside a second one.
    assert not list((registry.root / "docker/registry/v2/repositories/room/killed/_uploads").iterdir())
    assert not file.exists()
