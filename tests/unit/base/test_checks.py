from __future__ import annotations

from dataclasses import replace

import pytest
from packaging.version import Version

from rayimage.base import check_bases, require_ray
from rayimage.errors import BaseImageError
from rayimage.model.inventory import Inventory
from rayimage.model.platform import Platform
from tests.support.values import SITE, distribution, inventory
from tests.unit.base.recorder import Recorder

ARM64 = Platform("linux", "arm64")


def base(*, ray: str = "2.55.1", python: str = "3.11.11", platform: Platform | None = None) -> Inventory:
    found = inventory()
    dists = (distribution("ray", ray),) if ray else ()
    return replace(found, distributions=dists, python=Version(python), platform=platform or found.platform)


def test_bases_that_agree() -> None:
    progress = Recorder()
    check_bases({"head": base(), "worker": base()}, progress)
    check_bases({}, progress)
    assert progress.warnings == []


def test_require_ray_gives_ray() -> None:
    assert require_ray(base(), "b").version == Version("2.55.1")


def test_require_ray_names_base_and_place() -> None:
    with pytest.raises(BaseImageError) as caught:
        require_ray(base(ray=""), "python:3.11")
    assert caught.value.what == "base python:3.11 is not a Ray image"
    assert SITE in caught.value.why
    assert "rayproject/ray" in caught.value.fix


def test_one_without_ray() -> None:
    with pytest.raises(BaseImageError, match="base of worker is not a Ray image"):
        check_bases({"head": base(), "worker": base(ray="")})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (base(ray="2.54.0"), "different Ray versions: Ray 2.55.1 in head, gpu; Ray 2.54.0 in worker"),
        (base(ray="2.54.0", platform=ARM64), "different Ray versions"),
        (base(python="3.12.11"), "different Python versions: Python 3.11 in head, gpu; Python 3.12 in worker"),
        (base(python="3.12.11", platform=ARM64), "different Python versions"),
        (base(python="3.11.9"), "different Python versions: Python 3.11.11 in head, gpu; Python 3.11.9 in worker"),
    ],
)
def test_differences_name_both_sides(other: Inventory, message: str) -> None:
    with pytest.raises(BaseImageError, match=message) as caught:
        check_bases({"head": base(), "gpu": base(), "worker": other})
    assert caught.value.fix


def test_patch_versions_of_two_architectures_are_a_warning() -> None:
    progress = Recorder()
    check_bases({"head amd64": base(), "head arm64": base(python="3.11.9", platform=ARM64)}, progress)
    (warning,) = progress.warnings
    assert "Python 3.11.11 in head amd64; Python 3.11.9 in head arm64" in warning
