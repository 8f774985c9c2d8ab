from __future__ import annotations

import pytest

from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Manifest, canonical_json
from rayimage.report.inspection import _instruction, _layers
from tests.support.values import digest


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/bin/sh -c #(nop) ADD file:abc in / ", "ADD file:abc in /"),
        ("/bin/sh -c apt-get update", "apt-get update"),
        ("RUN /bin/bash -c pip install ray # buildkit", "pip install ray"),
        ("RUN |2 A=1 B=x y /bin/sh -c set -e;\t  echo # buildkit", "set -e; echo"),
        ("COPY a b # buildkit", "COPY a b"),
        ("bazel build ...", "bazel build ..."),
        ("", None),
    ],
)
def test_what_docker_s_builders_write(line: str, text: str | None) -> None:
    assert _instruction(line) == text


def layers(*history: dict[str, object] | str, count: int) -> list[tuple[str | None, str | None]]:
    descriptors = tuple(
        Descriptor(media_type=media.OCI_LAYER_GZIP, digest=digest(str(n)), size=n) for n in range(count)
    )
    config = Descriptor(media_type=media.OCI_CONFIG, digest=digest("config"), size=1)
    entries = [entry if isinstance(entry, dict) else {"created_by": entry} for entry in history]
    raw = canonical_json({"os": "linux", "architecture": "amd64", "history": entries, "rootfs": {"diff_ids": []}})
    manifest = Manifest.build(config=config, layers=descriptors, annotations={})
    return [(layer["kind"], layer["content"]) for layer in _layers(manifest, ImageConfig.parse(raw))]


def test_ours_and_what_lies_below() -> None:
    found = layers(
        "FROM x", {"created_by": "ENV A=b", "empty_layer": True}, "rayimage wheels: a 1, b 2", "RUN more", count=3
    )
    assert found == [("base", "FROM x"), ("wheels", "a 1, b 2"), (None, "RUN more")]


def test_somebody_else_s() -> None:
    assert layers("FROM x", {}, count=2) == [(None, "FROM x"), (None, None)]


@pytest.mark.parametrize("history", [(), ("one",), ("one", "two", "three")])
def test_a_history_that_does_not_fit_says_nothing(history: tuple[str, ...]) -> None:
    assert layers(*history, count=2) == [(None, None), (None, None)]
