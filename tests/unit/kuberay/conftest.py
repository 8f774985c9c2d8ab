"""A release with its own image per role, and the smallest cluster around one piece of YAML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rayimage.kuberay import Emission, Images, emit_bytes

DIGEST = "sha256:" + "0123456789abcdef" * 4
HEAD = f"registry.example.com:5000/team/fraud-head:v9@{DIGEST}"
WORKER = f"registry.example.com:5000/team/fraud-worker:v9@{DIGEST}"
GPU = f"registry.example.com:5000/team/fraud-gpu:v9@{DIGEST}"

CLUSTER = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: c
spec:
  headGroupSpec:
    template:
      spec:
        containers:
        - name: ray-head
{container}
"""


@pytest.fixture
def images() -> Images:
    return Images(
        by_role={"head": HEAD, "worker": WORKER, "gpu": GPU},
        role_of_group={"gpu-group": "gpu"},
        ray_version="2.55.1",
    )


@pytest.fixture
def emit(images: Images) -> Callable[..., Emission]:
    """``emit(text)``: the emission of a file's text or bytes; ``release`` replaces the images."""

    def run(data: str | bytes, release: Images = images) -> Emission:
        return emit_bytes(data.encode() if isinstance(data, str) else data, release, file=Path("c.yaml"))

    return run


@pytest.fixture
def head() -> Callable[[str], str]:
    """``head('image: x')``: a RayCluster whose head container holds this piece of YAML."""

    def build(piece: str) -> str:
        lines = [f"          {line}" if line else "" for line in piece.split("\n")]
        return CLUSTER.format(container="\n".join(lines))

    return build
