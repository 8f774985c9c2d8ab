"""KubeRay's own samples, when they lie beside the repository: only image and rayVersion lines may differ."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rayimage.errors import KubeRayError
from rayimage.kuberay import Images, emit_bytes

SAMPLES = Path(__file__).parents[4] / "shared" / "data" / "kuberay-samples"
FILES = sorted(SAMPLES.rglob("*.yaml"))
RAY = re.compile(rb"^apiVersion: *ray\.io/", re.MULTILINE)
OURS = re.compile(rb"[ -]*(?:image|rayVersion):")


@pytest.mark.skipif(not FILES, reason="the kuberay-samples are not beside the repository")
def test_the_samples_are_there_in_number() -> None:
    assert len(FILES) >= 50


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SAMPLES)))
def test_only_image_and_version_lines_differ(file: Path, images: Images) -> None:
    data = file.read_bytes()
    if re.search(rb"image: *\$", data):
        with pytest.raises(KubeRayError, match="template or variable"):
            emit_bytes(data, images, file=file)
        return
    emission = emit_bytes(data, images, file=file)
    before, after = data.split(b"\n"), emission.after.split(b"\n")
    differing = [old for old, new in zip(before, after, strict=True) if old != new]
    assert all(OURS.match(line) for line in differing)
    assert len(differing) == len(emission.changes)
    assert bool(emission.changes) == bool(RAY.search(data)) == bool(emission.documents)
    assert emit_bytes(emission.after, images, file=file).after == emission.after
