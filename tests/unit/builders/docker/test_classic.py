from __future__ import annotations

from types import SimpleNamespace

import pytest
from docker.errors import APIError

from rayimage.builders.docker.classic import build_classic, read_build
from rayimage.errors import EngineError
from rayimage.model.platform import Platform

AMD64 = Platform.parse("linux/amd64")


def test_the_image_is_what_the_stream_says() -> None:
    heard: list[str] = []
    messages = [
        {"stream": "Step 1/2 : FROM x\n"},
        {"aux": {"ID": "sha256:1"}},
        {"aux": {"ID": "sha256:2"}},
        {"stream": "\n"},
    ]
    assert read_build(messages, again="again", said=heard.append) == "sha256:2"
    assert heard[0] == "Step 1/2 : FROM x"


def test_an_error_in_a_stream_of_status_200_is_an_error() -> None:
    messages = [
        {"stream": "Step 1/2 : FROM x\n"},
        {"stream": "earlier\n"},
        {"stream": "Step 2/2 : RUN pip install x\n"},
        {"stream": "Looking in https://me:secret@packages.example.com/simple\nno such thing\n"},
        {"errorDetail": {"code": 1}, "error": "The command '/bin/sh -c pip' returned a non-zero code: 1"},
        {"aux": {"ID": "sha256:1"}},
    ]
    with pytest.raises(EngineError) as caught:
        read_build(messages, again="docker build .", said=lambda _: None)
    assert caught.value.what == "docker build failed at Step 2/2 : RUN pip install x"
    assert "no such thing" in caught.value.why
    assert "non-zero code: 1" in caught.value.why
    assert "secret" not in caught.value.why
    assert "earlier" not in caught.value.why
    assert "docker build ." in caught.value.fix


def test_a_stream_without_an_image_is_an_error() -> None:
    with pytest.raises(EngineError, match="docker build failed"):
        read_build([{"stream": "Step 1/1 : FROM x\n"}], again="", said=lambda _: None)


def test_an_engine_that_refuses(tmp_path) -> None:
    def build(**options):
        assert options["network_mode"] == "host"
        raise APIError("client version 1.20 is too old")

    client = SimpleNamespace(api=SimpleNamespace(build=build))
    with pytest.raises(EngineError, match="too old"):
        build_classic(client, tmp_path, AMD64, [], lambda _: None)
