"""What must execute, in a real Engine on a real base: apt's packages, steps, a package that compiles, and the smoke test."""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import tomli

from tests.support.cli import rayimage, rayimage_json
from tests.support.services import Engine, Registry

pytestmark = [pytest.mark.engine, pytest.mark.base, pytest.mark.index]

ARCHIVE = "http://deb.debian.org"
SOURCES = (
    f"deb {ARCHIVE}/debian bookworm main",
    f"deb {ARCHIVE}/debian bookworm-updates main",
    f"deb {ARCHIVE}/debian-security bookworm-security main",
)
CONFIG = """\
repository   = "{repository}"
base         = "{base}"
requirements = ["requirements.in"]
code         = "none"
{common}
[system]
repositories = {sources}

[images.head]
{head}
"""


@pytest.fixture(scope="session")
def archive() -> None:
    """Debian's archive, for a stand-in base that has no sources of its own."""
    try:
        urllib.request.urlopen(f"{ARCHIVE}/debian/dists/bookworm/InRelease", timeout=20).close()
    except (urllib.error.URLError, TimeoutError) as error:
        pytest.skip(f"Debian's archive: does not answer ({error})")


def make(root: Path, base: str, *, repository: str, requirements: str = "", common: str = "", head: str = "") -> Path:
    project = root / "project"
    project.mkdir()
    text = CONFIG.format(repository=repository, base=base, common=common, head=head, sources=json.dumps(SOURCES))
    (project / "rayimage.toml").write_text(text)
    (project / "requirements.in").write_text(requirements)
    return project


def test_packages_and_steps(
    tmp_path: Path, engine: Engine, ray_base: str, archive: None, package_index: None, registry: Registry
) -> None:
    step = """
[[images.head.run]]
shell = '''
cat given/file > ~/made
wc -c < /run/secrets/token > ~/length
rm ~/pip-freeze.txt
mkdir -m 700 ~/own
tree --version > ~/own/tree
'''
inputs = ["given"]
secrets = { token = "env:STEP_TOKEN" }
"""
    name = f"{registry.host}/team/system"
    project = make(tmp_path, ray_base, repository=name, head='system-packages = ["tree"]\n' + step)
    (project / "given").mkdir()
    (project / "given/file").write_text("given\n")
    cache, env = tmp_path / "cache", {"DOCKER_HOST": engine.docker_host, "STEP_TOKEN": "hunter2-token"}
    ran = rayimage(project, "lock", cache=cache, env=env)
    assert ran.returncode == 0, ran.stderr
    locked = tomli.loads((project / "lockfiles/system.head-amd64.toml").read_text())
    assert [package["name"] for package in locked["steps"][0]["packages"]] == ["tree"]

    # Another machine, without an Engine.
    shutil.rmtree(cache)
    gone = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    built = rayimage_json(project, "build", cache=cache, env=gone)
    reference = built["roles"]["head"]["reference"]
    engine.run("pull", reference)
    look = "tree --version; cat ~/made ~/length; stat -c '%a %u:%g' ~/own ~/made; ls ~/pip-freeze.txt; ls /run /tmp"
    look += "; ls /etc/apt/sources.list.d /var/lib/apt/lists; cat /etc/apt/sources.list; env"
    seen = engine.run("run", "--rm", "--entrypoint", "/bin/sh", reference, "-c", f"({look}) 2>&1")
    assert "tree v2" in seen
    assert "given\n13\n" in seen
    assert re.findall(r"^\d+ 1000:100$", seen, re.MULTILINE) == ["700 1000:100", "644 1000:100"], seen
    assert "cannot access '/home/ray/pip-freeze.txt'" in seen
    assert "hunter2" not in seen
    assert ARCHIVE not in seen
    history = engine.run("history", "--no-trunc", reference)
    assert "system packages tree" in history
    assert "hunter2" not in history


@pytest.mark.parametrize(
    ("head", "code", "message"),
    [
        ('system-packages = ["no-such-package"]', 10, "E: Unable to locate package no-such-package"),
        ("[[images.head.run]]\nshell = 'echo last words; exit 3'", 10, "last words"),
        (
            "[[images.head.run]]\nshell = 'touch $(python -c \"import ray; print(ray.__path__[0])\")/evil.py'",
            3,
            "a step must not change Python's packages",
        ),
        (
            "[[images.head.run]]\nshell = 'ln -sf python9 ~/anaconda3/bin/python'",
            3,
            "a step must not change Ray or Python",
        ),
    ],
)
def test_steps_that_fail_or_must_not(
    head: str, code: int, message: str, tmp_path: Path, engine: Engine, ray_base: str, archive: None
) -> None:
    project = make(tmp_path, ray_base, repository="registry.example.com/x/y", head=head)
    (project / "rayimage.toml").write_text(
        (project / "rayimage.toml").read_text().replace('repository   = "registry.example.com/x/y"\n', "")
    )
    ran = rayimage(project, "lock", cache=tmp_path / "cache", env={"DOCKER_HOST": engine.docker_host})
    assert ran.returncode == code, ran.stderr
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (project / "lockfiles").exists()


def test_a_package_that_compiles(
    tmp_path: Path, engine: Engine, ray_base: str, archive: None, package_index: None, registry: Registry
) -> None:
    project = make(
        tmp_path,
        ray_base,
        repository=f"{registry.host}/team/native",
        requirements="netifaces==0.11.0\n",
        common='build-packages = ["gcc", "libc6-dev", "python3.11-dev"]',
    )
    cache, env = tmp_path / "cache", {"DOCKER_HOST": engine.docker_host}
    ran = rayimage(project, "lock", cache=cache, env=env)
    assert ran.returncode == 0, ran.stderr
    [package] = tomli.loads((project / "lockfiles/pylock.head-amd64.toml").read_text())["packages"]
    assert package["sdist"]["name"] == "netifaces-0.11.0.tar.gz"
    assert package["tool"]["rayimage"]["wheel"]["name"] == "netifaces-0.11.0-cp311-cp311-linux_x86_64.whl"

    shutil.rmtree(cache)
    gone = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    built = rayimage_json(project, "build", cache=cache, env=gone)
    reference = built["roles"]["head"]["reference"]
    engine.run("pull", reference)
    code = "import netifaces, shutil; print(netifaces.interfaces() != [], shutil.which('gcc'))"
    assert engine.run("run", "--rm", reference, "python", "-c", code) == "True None\n"


def test_smoke(tmp_path: Path, engine: Engine, ray_base: str, package_index: None, registry: Registry) -> None:
    name = f"{registry.host}/team/smoke"
    project = make(tmp_path, ray_base, repository=name, requirements="docopt==0.6.2\n")
    cache, env = tmp_path / "cache", {"DOCKER_HOST": engine.docker_host}
    ran = rayimage(project, "build", "--smoke", "--tag", "good", cache=cache, env=env)
    assert ran.returncode == 0, ran.stderr
    assert "rayimage-smoke" not in engine.run("images")

    # A module that fails on import, and a requirement that nobody meets.
    broken = tmp_path / "wheels"
    from tests.support.wheelmaker import make_wheel

    make_wheel(broken, {"broken/__init__.py": b"import not_there\n"}, "broken", "1.0")
    (project / "requirements.in").write_text(
        f"docopt==0.6.2\nbroken @ {(broken / 'broken-1.0-py3-none-any.whl').as_uri()}\n"
    )
    assert rayimage(project, "lock", cache=cache, env=env).returncode == 0
    ran = rayimage(project, "build", "--smoke", "--tag", "bad", cache=cache, env=env)
    assert ran.returncode == 12
    assert "import broken: ModuleNotFoundError: No module named 'not_there'" in ran.stderr
    tags = json.loads(urllib.request.urlopen(f"http://{registry.host}/v2/team/smoke/tags/list").read())["tags"]
    assert "good-head" in tags
    assert "bad-head" not in tags
