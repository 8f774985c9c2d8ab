from __future__ import annotations

import io
import json
import tarfile

from rayimage.builders.docker.load import archive
from tests.unit.builders.test_publish import built


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def test_the_archive_is_what_docker_load_reads() -> None:
    image = built("head", b"layer")
    files = members(b"".join(archive(image, "repo/x:v1-head")))
    [entry] = json.loads(files["manifest.json"])
    assert entry["RepoTags"] == ["repo/x:v1-head"]
    assert files[entry["Config"]] == image.image.config.raw
    assert [files[name] for name in entry["Layers"]] == [b"base", b"layer"]


def test_the_archive_is_the_same_every_time() -> None:
    image = built("head", b"layer")
    assert b"".join(archive(image, "x:1")) == b"".join(archive(image, "x:1"))


def test_a_layer_that_occurs_twice_is_sent_once() -> None:
    image = built("head", b"base")
    data = b"".join(archive(image, "x:1"))
    [entry] = json.loads(members(data)["manifest.json"])
    assert len(entry["Layers"]) == 2
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert len(tar.getnames()) == len(set(tar.getnames()))
