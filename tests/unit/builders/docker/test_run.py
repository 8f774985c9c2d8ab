from __future__ import annotations

import os
import tarfile
import threading
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.errors import APIError, ImageNotFound
from requests.exceptions import ReadTimeout

from rayimage.base import resolve_base
from rayimage.builders.docker import run as module
from rayimage.builders.docker.run import BaseRunner
from rayimage.errors import EngineError
from rayimage.model.execution import BaseCommand
from rayimage.model.reference import Reference
from tests.support.images import dist_info, make_image, make_layer, ray_base
from tests.support.values import AMD64


class Container:
    def __init__(self, engine):
        self.engine = engine

    def start(self):
        if self.engine.fails == "start":
            raise APIError("exec format error")

    def wait(self):
        if self.engine.fails == "wait":
            raise ReadTimeout("too long")
        return {"StatusCode": 3}

    def logs(self, *, stdout, stderr):
        assert stdout != stderr
        return b"out" if stdout else b"err \xff"

    def remove(self, *, force):
        self.engine.removed += 1


class FakeEngine:
    """As much of docker's client as is used: images by name, and one kind of container."""

    def __init__(self, fails=""):
        self.fails = fails
        self.known = {}
        self.loaded, self.pulled, self.created = [], [], []
        self.removed = 0
        self.closed = 0
        self.images = SimpleNamespace(get=self.get, load=self.load, pull=self.pull)
        self.containers = SimpleNamespace(create=self.create)

    def get(self, name):
        if self.fails == "get":
            raise APIError("engine is unwell")
        if name not in self.known:
            raise ImageNotFound(name)
        found = self.known[name]
        return SimpleNamespace(id=found, tags=[n for n, i in self.known.items() if i == found], tag=self.tagger(found))

    def tagger(self, image):
        return lambda repository, tag: self.known.update({f"{repository}:{tag}": image})

    def load(self, blocks):
        data = b"".join(blocks)
        self.loaded.append(data)
        with tarfile.open(fileobj=BytesIO(data)) as archive:
            names = archive.getnames()
        config = next(name for name in names if name.endswith(".json") and name != "manifest.json")
        image = f"sha256:{config.removesuffix('.json')}"
        self.known |= {image: image, self.name: image}

    def pull(self, repository, *, tag, platform):
        if self.fails == "pull":
            raise APIError("denied")
        self.pulled.append((repository, tag, platform))
        return SimpleNamespace(id="sha256:pulled")

    def create(self, image, **options):
        if self.fails == "create":
            raise APIError("invalid mount config: bind source path does not exist: /work")
        self.created.append((image, options))
        return Container(self)

    def close(self):
        self.closed += 1


@pytest.fixture
def base(tmp_path):
    make_image(tmp_path / "base", [make_layer({**ray_base(), **dist_info("click", "8.1.7")})], tag="2.55.1")
    return resolve_base("oci:base:2.55.1", AMD64, root=tmp_path)


@pytest.fixture
def connected(monkeypatch, base):
    def call(**options):
        engine = FakeEngine(**options)
        engine.name = f"rayimage-base:{base.digest.short}"
        monkeypatch.setattr(module, "connect", lambda: engine)
        return engine

    return call


def command(base, **changes):
    values = {
        "image": base.digest,
        "arguments": ("/opt/python", "-c", "x"),
        "environment": {"A": "b"},
        "directory": Path("/project"),
        "readable": (Path("/project"),),
        "writable": (Path("/work"),),
    }
    return BaseCommand(**(values | changes))


def test_a_command_runs_in_a_container_that_is_gone_afterwards(base, connected):
    engine = connected()
    done = BaseRunner({base.digest: base})(command(base))
    assert (done.returncode, done.stdout, done.stderr) == (3, "out", "err \ufffd")
    ((image, options),) = engine.created
    assert image == str(base.manifest.config.digest)
    assert options["entrypoint"] == ["/opt/python"]
    assert options["command"] == ["-c", "x"]
    assert options["user"] == f"{os.getuid()}:{os.getgid()}"
    assert options["working_dir"] == "/project"
    assert options["environment"] == {"A": "b"}
    mounts = [(mount["Source"], mount["Target"], mount["ReadOnly"]) for mount in options["mounts"]]
    assert mounts == [("/project", "/project", True), ("/work", "/work", False)]
    assert (engine.removed, engine.closed) == (1, 1)


def test_a_base_in_a_layout_is_loaded_once(base, connected):
    engine = connected()
    runner = BaseRunner({base.digest: base})
    threads = [threading.Thread(target=runner, args=(command(base),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engine.loaded) == 1
    assert len(engine.created) == 4


def test_a_base_that_came_by_another_name_gets_the_one_that_dockerfiles_use(base, connected):
    engine = connected()
    image = str(base.manifest.config.digest)
    engine.known[image] = image
    BaseRunner({base.digest: base})(command(base))
    assert not engine.loaded
    assert engine.known[engine.name] == image


def test_an_image_store_that_names_images_by_manifest(base, connected):
    engine = connected()
    engine.known[engine.name] = "sha256:of-the-manifest"
    BaseRunner({base.digest: base})(command(base))
    assert not engine.loaded
    assert engine.created[0][0] == "sha256:of-the-manifest"


def test_a_base_in_a_registry_is_pulled_by_digest(base, connected):
    engine = connected()
    remote = replace(base, origin=Reference.parse("registry.example.com/team/base"))
    BaseRunner({base.digest: remote})(command(base))
    assert engine.pulled == [("registry.example.com/team/base", str(base.digest), "linux/amd64")]
    assert engine.created[0][0] == "sha256:pulled"
    connected(fails="pull")
    with pytest.raises(EngineError, match=r"cannot pull registry.example.com/team/base@sha256:"):
        BaseRunner({base.digest: remote})(command(base))


@pytest.mark.parametrize(
    ("fails", "what", "fix", "removed"),
    [
        ("get", "cannot look for base:2.55.1", "see the Engine's log", 0),
        ("create", "cannot run the base", "DOCKER_HOST does not see this machine's files", 0),
        ("start", "cannot run the base", "of the base's architecture", 1),
        ("wait", "cannot run the base: too long", "see the Engine's log", 1),
    ],
)
def test_an_engine_that_fails(base, connected, fails, what, fix, removed):
    engine = connected(fails=fails)
    with pytest.raises(EngineError, match=what) as caught:
        BaseRunner({base.digest: base})(command(base))
    assert fix in caught.value.fix
    assert (engine.removed, engine.closed) == (removed, 1)
