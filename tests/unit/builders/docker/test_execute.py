from __future__ import annotations

import subprocess
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from rayimage.base import resolve_base
from rayimage.builders.docker import execute as module
from rayimage.builders.docker.execute import EngineSteps
from rayimage.builders.docker.step import WORK
from rayimage.builders.system_base import steps_of
from rayimage.errors import ConfigError, EngineError
from rayimage.model.digest import Digest
from rayimage.model.system import RunStep, Secret, SystemSettings
from tests.support.images import make_image, make_layer, ray_base
from tests.support.values import AMD64, SITE

KEY = Digest.of(b"key")
OUTPUT = """\
Setting up tree

rayimage state packages before
base-files 12
tzdata 1
rayimage state ray before
2.55.1 abc 3.11.11
rayimage state packages after
base-files 12
tree 2.1.0-1
tzdata 2
rayimage state ray after
2.55.1 abc 3.11.11
"""


@pytest.fixture
def base(tmp_path):
    make_image(tmp_path / "base", [make_layer(ray_base())], user="1000", tag="2.55.1")
    return resolve_base("oci:base:2.55.1", AMD64, root=tmp_path)


@pytest.fixture
def execute(monkeypatch, base, tmp_path):
    def execute(step, *, code=0, output=OUTPUT, changed=("/usr/bin/tree",)):
        seen = SimpleNamespace(steps=[], committed=[])

        @contextmanager
        def run_step(client, prepared):
            seen.steps.append(prepared)
            seen.mounted = {target: path.read_text() for target, path in prepared.mounts.items()}
            yield SimpleNamespace(
                code=code,
                output=output,
                container=SimpleNamespace(
                    diff=lambda: [{"Path": path, "Kind": 1} for path in changed],
                    commit=lambda *name: seen.committed.append(name) or SimpleNamespace(id="sha256:made"),
                ),
            )

        monkeypatch.setattr(module, "connect", lambda: SimpleNamespace(close=lambda: None))
        monkeypatch.setattr(module, "find_or_bring", lambda *_: "sha256:base")
        monkeypatch.setattr(module, "run_step", run_step)
        monkeypatch.setattr(module, "write_layer", lambda *_: Digest.of(b"tar"))
        seen.result = EngineSteps(tmp_path / "cache")(base, None, step, KEY, tmp_path / "layer")
        return seen

    return execute


def packages():
    return steps_of(["tree"], SystemSettings(), [])[0]


def own(tmp_path, **how):
    return steps_of([], SystemSettings(), [RunStep(script="make it", root=tmp_path, **how)])[0]


def test_packages_are_installed_as_root(execute):
    seen = execute(packages())
    [step] = seen.steps
    assert (step.user, step.owner, step.image) == ("0", (0, 0), "sha256:base")
    assert "apt-get" in step.script
    assert seen.result.packages == (("tree", "2.1.0-1"), ("tzdata", "2"))
    assert seen.committed == [("rayimage-system", KEY.short)]


def test_a_step_of_the_users(execute, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("1")
    monkeypatch.setenv("TOKEN", "s3cret")
    (tmp_path / "key").write_text("k3y")
    secrets = (Secret(name="token", variable="TOKEN"), Secret(name="key", file=tmp_path / "key"))
    seen = execute(own(tmp_path, inputs=("in",), secrets=secrets))
    [step] = seen.steps
    assert (step.user, step.owner) == ("1000", (1000, 100))
    assert step.files[f"{WORK}/inputs/in/file"] == tmp_path / "in/file"
    assert step.files[f"{WORK}/step.sh"] == b"make it\n"
    assert seen.mounted == {"/run/secrets/token": "s3cret", "/run/secrets/key": "k3y"}
    assert "s3cret" not in step.script + str(step.environment) + str(step.files)
    assert execute(own(tmp_path, user="root")).steps[0].user == "0"


def test_a_secret_that_is_not_there(execute, tmp_path, monkeypatch):
    monkeypatch.delenv("TOKEN", raising=False)
    with pytest.raises(ConfigError, match="there is no secret token") as caught:
        execute(own(tmp_path, secrets=(Secret(name="token", variable="TOKEN"),)))
    assert "TOKEN is not set" in caught.value.why
    with pytest.raises(ConfigError, match="there is no secret key"):
        execute(own(tmp_path, secrets=(Secret(name="key", file=tmp_path / "gone"),)))


def test_a_package_that_does_not_exist(execute):
    with pytest.raises(EngineError, match="system packages tree: failed with exit code 100") as caught:
        execute(packages(), code=100, output="Reading…\nE: Unable to locate package tree\n")
    assert caught.value.why.endswith("E: Unable to locate package tree")
    assert "system-packages" in caught.value.fix


def test_what_a_step_says_of_secrets_is_not_repeated(execute, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "hunter2!\n")
    with pytest.raises(EngineError, match="failed with exit code 1") as caught:
        execute(own(tmp_path, secrets=(Secret(name="token", variable="TOKEN"),)), code=1, output="token hunter2!: no\n")
    assert caught.value.why == "token …: no"


def test_a_step_that_fails_says_how_to_try_it(execute, tmp_path):
    with pytest.raises(EngineError, match="run make it: failed with exit code 3") as caught:
        execute(own(tmp_path), code=3, output="oh no\n")
    assert caught.value.why == "oh no"
    assert "docker run --rm -it --network host sha256:base" in caught.value.fix


@pytest.mark.parametrize("path", [f"{SITE}/evil.py", f"{SITE}/ray-2.55.1.dist-info/METADATA"])
def test_a_step_that_writes_to_site_packages(path, execute, tmp_path):
    with pytest.raises(ConfigError, match="a step must not change Python's packages") as caught:
        execute(own(tmp_path), changed=("/etc/fine", path))
    assert path in caught.value.why
    assert "/etc/fine" not in caught.value.why


@pytest.mark.parametrize("after", ["2.56.0 abc 3.11.11", "2.55.1 def 3.11.11", "2.55.1 abc 3.12.1", ""])
def test_a_step_that_touches_ray(after, execute, tmp_path):
    head, _, _ = OUTPUT.rpartition("2.55.1 abc 3.11.11")
    with pytest.raises(ConfigError, match="a step must not change Ray or Python"):
        execute(own(tmp_path), output=f"{head}{after}\n")


def test_without_an_engine(base, tmp_path, monkeypatch):
    def connect():
        raise EngineError("no Docker Engine answers", why="no socket", fix="start Docker; or not")

    monkeypatch.setattr(module, "connect", connect)
    with pytest.raises(EngineError, match="system packages tree: this has to run in the base") as caught:
        EngineSteps(tmp_path / "cache")(base, None, packages(), KEY, tmp_path / "layer")
    assert "neither this machine nor the repository has the result" in caught.value.why


def test_the_script_looks_before_and_after(tmp_path):
    """By a real shell: what a step prints or reads does not disturb the looks, and a failure is one."""
    (tmp_path / "work").mkdir()

    def run(body):
        (tmp_path / "work").mkdir(exist_ok=True)
        script = module._script(body, "/bin/echo").replace(WORK, str(tmp_path / "work"))
        return subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)

    done = run("echo hello\ncat\n")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith(module._MARK)] == [
        f"{module._MARK}{what} {when}" for when in ("before", "after") for what in ("packages", "ray")
    ]
    assert not (tmp_path / "work").exists()
    assert run("false\necho on").returncode == 1
