"""The final-environment check against ``pip check`` inside a built image, line by line, on a base that is broken."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from rayimage.base import read_inventory, resolve_base
from rayimage.image.assemble import AddedLayer, assemble
from rayimage.image.layout import OciLayout
from rayimage.image.plan import ConfigChange
from rayimage.lock import check_environment, lock_path, read_lock, wheel_requires
from rayimage.model import media
from rayimage.model.digest import Digest
from rayimage.model.image_config import ImageConfig
from rayimage.model.inventory import Inventory
from rayimage.model.manifest import Manifest
from tests.support.base import BaseLayout
from tests.support.cli import rayimage
from tests.support.images import dist_info, make_tar, put_bytes
from tests.support.pip_check import ALL_IS_WELL, pip_lines
from tests.support.services import Engine
from tests.support.values import AMD64
from tests.support.wheelmaker import make_wheel

pytestmark = [pytest.mark.engine, pytest.mark.base]

NAME = "127.0.0.1/team/broken"
TORN = {
    "torn": ("1.0", ["absent-thing>=1", "Click<1", "never; sys_platform == 'win32'", "numpy"]),
    "Odd.Name": ("2.0rc1", ["TORN[x]>=1,<2", "odd_name>=2"]),
    "needs_old_pandas": ("1.0+local", ["pandas<2", "pandas-stubs; extra == 'types'"]),
    "wants_a_final": ("1!1.0", ["odd-name>=2.0", "python-dateutil!=9.9.*"]),
}
"""Unmet from the start; met until pandas moves; and met."""


@dataclass(frozen=True)
class Built:
    """A project on the broken base, built into the Engine."""

    project: Path
    inventory: Inventory
    requires: dict[NormalizedName, tuple[str, ...]]
    err: str


def broken_base(base: BaseLayout, target: Path) -> str:
    """The stand-in with ``TORN`` in it, as another layer."""
    shutil.copytree(base.path, target, copy_function=shutil.copy)
    layout = OciLayout(target)
    manifest = layout.get_manifest(base.tag)
    assert isinstance(manifest, Manifest)
    with layout.open_blob(manifest.config) as stream:
        config = ImageConfig.parse(stream.read(-1))
    entries = {}
    for name, (version, requires) in TORN.items():
        entries |= dist_info(name, version, requires=requires)
    tar = make_tar(entries)
    layer = AddedLayer(
        descriptor=put_bytes(layout, gzip.compress(tar, mtime=0), media.OCI_LAYER_GZIP),
        diff_id=Digest.of(tar),
        created_by="what is broken",
    )
    change = ConfigChange(created="2026-01-01T00:00:00Z", workdir=config.workdir)
    image = assemble(manifest, config, [layer], change)
    put_bytes(layout, image.config.raw, media.OCI_CONFIG)
    layout.put_manifest(image.manifest, "broken")
    return f"oci:{target}:broken"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, base_layout: BaseLayout, engine: Engine) -> Built:
    scratch = tmp_path_factory.mktemp("broken")
    base = broken_base(base_layout, scratch / "base")
    project, wheels = scratch / "project", scratch / "wheels"
    project.mkdir()
    make_wheel(wheels, {"pandas/__init__.py": b""}, "pandas", "2.99", ["Requires-Dist: numpy>=1"])
    make_wheel(wheels, {"good.py": b""}, "good", "1.0", ["Requires-Dist: pandas>=2", "Requires-Python: >=3.8"])
    (project / "requirements.in").write_text("--no-index\n--find-links ../wheels\ngood\n")
    (project / "rayimage.toml").write_text(
        f'repository = "{NAME}"\nrequirements = ["requirements.in"]\nbase = "{base}"\n[images.head]\n'
    )
    env = {"DOCKER_HOST": engine.docker_host}
    ran = rayimage(project, "-v", "build", "--output", "docker", "--tag", "v1", cache=scratch / "cache", env=env)
    assert ran.returncode == 0, ran.stderr
    requires = {canonicalize_name(file.name.partition("-")[0]): wheel_requires(file) for file in wheels.glob("*.whl")}
    resolved = resolve_base(base, AMD64, root=project)
    return Built(project, read_inventory(resolved, cache_dir=scratch / "cache"), requires, ran.stderr)


def test_line_by_line(built: Built, engine: Engine) -> None:
    lock = read_lock(lock_path(built.project / "lockfiles", "head", AMD64))
    assert set(built.requires) == {wheel.name for wheel in lock.wheels} == {"good", "pandas"}
    report = check_environment(built.inventory, lock, built.requires)
    ran = engine.try_run("run", "--rm", f"{NAME}:v1-head", "python", "-m", "pip", "check")
    said = set(ran.stdout.splitlines())
    assert ran.returncode == 1
    assert ALL_IS_WELL not in said
    assert said == pip_lines((*report.new, *report.known))
    assert "needs-old-pandas 1.0+local has requirement pandas<2, but you have pandas 2.99." in pip_lines(report.new)
    assert {
        "torn 1.0 requires absent-thing, which is not installed.",
        "wants-a-final 1!1.0 has requirement odd-name>=2.0, but you have odd-name 2.0rc1.",
    } <= pip_lines(report.known)


def test_build_says_which_are_new(built: Built) -> None:
    said = " ".join(built.err.split())
    assert "! needs-old-pandas 1.0+local requires pandas<2, but 2.99 is installed; require needs-old-pandas" in said
    assert "the base's own: torn 1.0 requires absent-thing>=1, but it is not installed" in said
    assert "the base's own: needs-old-pandas" not in said
