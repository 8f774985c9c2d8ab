from __future__ import annotations

import pytest

from rayimage.errors import UsageError
from rayimage.kuberay import Images

BOTH = {"head": "x/head:1", "worker": "x/worker:1"}


@pytest.mark.parametrize(
    ("images", "group", "role"),
    [
        pytest.param(Images({**BOTH, "gpu": "x/gpu:1"}, {"g": "gpu"}), "g", "gpu", id="claimed"),
        pytest.param(Images(BOTH, {"worker": "head"}), "worker", "head", id="claim-beats-name"),
        pytest.param(Images({**BOTH, "gpu": "x/gpu:1"}), "gpu", "gpu", id="own-name"),
        pytest.param(Images({**BOTH, "gpu": "x/gpu:1"}), "other", "worker", id="worker"),
        pytest.param(Images(BOTH), "head", "worker", id="a-worker-group-called-head"),
        pytest.param(Images({"head": "x/head:1", "gpu": "x/gpu:1"}), "any", "gpu", id="only-other-role"),
        pytest.param(Images({"head": "x/head:1"}), "any", "head", id="only-head"),
        pytest.param(Images({"worker": "x/worker:1"}), "any", "worker", id="only-worker"),
        pytest.param(Images({"head": "x/h:1", "a": "x/a:1", "b": "x/b:1"}), "any", None, id="two-candidates"),
        pytest.param(Images({"head": "x/h:1"}, {"g": "gpu"}), "g", None, id="claimed-without-image"),
        pytest.param(Images({}), "any", None, id="nothing"),
    ],
)
def test_role_of_a_worker_group(images: Images, group: str, role: str | None) -> None:
    assert images.role_for(group) == role


@pytest.mark.parametrize("image", ["", "a b", "x/y:", "x/y@", "x/y@sha256:12", 'x"y', "x/y:1\nz: 1", "{{ .x }}"])
def test_an_image_must_be_a_reference(image: str) -> None:
    with pytest.raises(UsageError):
        Images({"head": image})


@pytest.mark.parametrize("version", ["", '2.9"', "2.9 ", "2.9\n", "'2'", "{{ .v }}", "2: 1"])
def test_a_version_must_be_a_version(version: str) -> None:
    with pytest.raises(UsageError, match="not a Ray version"):
        Images(BOTH, ray_version=version)


@pytest.mark.parametrize("version", ["2.55.1", "2.10", "2", "3.0.0.dev0", "2.9.0rc1", "2.9.0+local-1"])
def test_versions_that_are_fine(version: str) -> None:
    assert Images(BOTH, ray_version=version).ray_version == version
