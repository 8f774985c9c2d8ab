"""The whole way: build the example, push it, pull it by digest, run a Ray cluster of two containers from it."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import rayimage_json
from tests.support.example import copy_example
from tests.support.services import Engine, Registry

pytestmark = [pytest.mark.registry, pytest.mark.engine, pytest.mark.base, pytest.mark.index, pytest.mark.cluster]

JOB = Path(__file__).with_name("cluster_job.py")
APP = "/home/ray/app"
RAY_OPTIONS = ("--block", "--disable-usage-stats", "--object-store-memory=200000000")
TRANSACTION = {
    "time": "2025-12-24T03:10:00",
    "amount": 950.0,
    "category": "gambling",
    "country": "US",
    "card_age_days": 3,
}


@dataclass(frozen=True, kw_only=True)
class BuiltExample:
    """The example, locked, built and pushed."""

    project: Path
    locks: dict[str, Any]
    images: dict[str, str]
    """``repository:tag@digest`` by role."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Containers of a running cluster."""

    engine: Engine
    head: str
    worker: str

    def on_head(self, *command: str, stdin: str | None = None) -> str:
        """Run a command on the head."""
        return self.engine.run("exec", "--interactive", self.head, *command, stdin=stdin)


@pytest.fixture(scope="module")
def example(
    tmp_path_factory: pytest.TempPathFactory, registry: Registry, ray_base: str, package_index: None
) -> BuiltExample:
    scratch = tmp_path_factory.mktemp("example")
    project = copy_example(scratch, repository=f"{registry.host}/team/fraud", base=ray_base)
    locks = {lock["role"]: lock for lock in rayimage_json(project, "lock", cache=scratch / "cache")}
    built = rayimage_json(project, "build", "--metadata-file", str(scratch / "built.json"), cache=scratch / "cache")
    assert json.loads((scratch / "built.json").read_text()) == built
    images = {role: data["reference"] for role, data in built["roles"].items()}
    return BuiltExample(project=project, locks=locks, images=images)


@pytest.fixture(scope="module")
def images(example: BuiltExample, engine: Engine) -> dict[str, str]:
    """The references, and the Engine has pulled both by their digest."""
    for reference in example.images.values():
        engine.run("pull", "--quiet", reference, timeout=600)
    return example.images


@pytest.fixture(scope="module")
def base_image(ray_base: str, registry: Registry, engine: Engine) -> str:
    """The base itself in the Engine, to compare with."""
    reference = ray_base
    if ray_base.startswith("oci:"):
        reference = f"{registry.host}/base:latest"
        command = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", ray_base, f"docker://{reference}"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("skopeo: not installed")
    engine.run("pull", "--quiet", reference, timeout=600)
    return reference


@pytest.fixture(scope="module")
def cluster(images: dict[str, str], engine: Engine) -> Iterator[Cluster]:
    network = f"rayimage-{uuid.uuid4().hex[:12]}"
    engine.run("network", "create", network)
    started: list[str] = []

    def start(role: str, *command: str) -> str:
        options = ("--network", network, "--hostname", role, "--network-alias", role, "--shm-size", "512m")
        started.append(engine.start(images[role], "ray", "start", *command, *RAY_OPTIONS, options=options))
        return started[-1]

    try:
        head = start("head", "--head", "--num-cpus=0")
        wait_for(lambda: engine.try_run("exec", head, "ray", "health-check").returncode == 0, engine, head)
        yield Cluster(engine=engine, head=head, worker=start("worker", "--address=head:6379", "--num-cpus=2"))
    finally:
        engine.run("rm", "--force", "--volumes", *started)
        engine.run("network", "rm", network)


def wait_for(ready: Any, engine: Engine, container: str, limit: float = 120) -> None:
    """Poll until ``ready()``; a container that takes too long shows its log."""
    deadline = time.monotonic() + limit
    while not ready():
        if time.monotonic() > deadline:
            done = engine.try_run("logs", "--tail", "50", container)
            pytest.fail(f"not ready after {limit:.0f} s\n{done.stdout}\n{done.stderr}")
        time.sleep(1)


def test_the_yaml_names_what_was_pushed(example: BuiltExample) -> None:
    text = (example.project / "deploy/dev/raycluster.yaml").read_text()
    assert f'image: "{example.images["head"]}" # written by rayimage' in text
    assert f"image: '{example.images['worker']}' # written by rayimage" in text
    assert 'rayVersion: "2.55.1" # should match' in text


@pytest.mark.parametrize("role", ["head", "worker"])
def test_pip_check_is_as_clean_as_the_bases(role: str, images: dict[str, str], base_image: str, engine: Engine) -> None:
    complaints = {}
    for image in (images[role], base_image):
        lines = engine.try_run("run", "--rm", image, "python", "-m", "pip", "check").stdout.splitlines()
        assert lines, "pip check says something even when all is well"
        complaints[image] = set(lines) - {"No broken requirements found."}
    assert complaints[images[role]] <= complaints[base_image]


@pytest.mark.parametrize("role", ["head", "worker"])
def test_directories_of_the_base_keep_owner_and_mode(
    role: str, images: dict[str, str], base_image: str, engine: Engine
) -> None:
    def directories(image: str) -> dict[str, str]:
        command = ("find", "/", "-xdev", "-type", "d", "-not", "-path", "/proc*", "-printf", "%p\\t%U:%G %m\\n")
        lines = engine.try_run("run", "--rm", "--user", "0", image, *command).stdout.splitlines()
        return dict(line.split("\t") for line in lines)

    before, after = directories(base_image), directories(images[role])
    assert len(before) > 1000
    assert {path: owner for path, owner in after.items() if before.get(path, owner) != owner} == {}
    # What replaced packages leave empty is the only thing that may go.
    assert not [path for path in before.keys() - after.keys() if "site-packages/" not in path]
    assert {after[path] for path in after.keys() - before.keys()} == {"1000:100 755"}


def test_a_job_finds_code_and_packages_on_each_node(cluster: Cluster, example: BuiltExample) -> None:
    found = json.loads(cluster.on_head("python", "-", stdin=JOB.read_text()).splitlines()[-1])
    assert found["nodes"] == 2
    head, worker = found["roles"]["head"], found["roles"]["worker"]
    assert (head["host"], worker["host"]) == ("head", "worker")
    locked = example.locks["worker"]["added"]
    assert worker["sklearn"]
    assert worker["versions"]["scikit-learn"] == locked["scikit-learn"]
    assert worker["versions"]["joblib"] == locked["joblib"]
    assert not head["sklearn"]
    assert "scikit-learn" not in head["versions"]
    for node in (head, worker):
        assert node["code"] == f"{APP}/fraud/features.py"
        assert node["rows"] == 100
        assert node["uid"] == 1000
        assert node["versions"]["ray"] == example.locks["head"]["ray"]
        assert node["versions"]["holidays"] == locked["holidays"]
        assert node["versions"]["pandas"] == example.locks["worker"]["moved"]["pandas"]["to"]


def test_the_training_job_runs_on_the_worker(cluster: Cluster) -> None:
    entrypoint = ("python", "-m", "fraud.train", "--transactions", "3000", "--model", "/tmp/models/fraud.joblib")
    log = cluster.on_head("ray", "job", "submit", "--address", "http://127.0.0.1:8265", "--", *entrypoint)
    result = json.loads(next(line for line in log.splitlines() if line.startswith("{")))
    assert 0.1 < result["average_precision"] <= 1
    size = cluster.engine.run("exec", cluster.worker, "stat", "--format", "%s", result["model"])
    assert int(size) == result["bytes"]


def test_serve_scores_transactions(cluster: Cluster) -> None:
    log = "/proc/1/fd/1"  # the container's, where a failed test shows it
    serve = f"exec serve run fraud.serve_app:app > {log} 2>&1"
    cluster.engine.run("exec", "--detach", cluster.head, "bash", "-c", serve)
    request = f"""
import json, urllib.request
body = json.dumps([{TRANSACTION!r}]).encode()
headers = {{"Content-Type": "application/json"}}
print(urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8000/score", body, headers)).read().decode())
"""
    answers: list[str] = []

    def scored() -> bool:
        done = cluster.engine.try_run("exec", "--interactive", cluster.head, "python", "-", stdin=request)
        answers.append(done.stdout)
        return done.returncode == 0

    wait_for(scored, cluster.engine, cluster.head)
    (score,) = json.loads(answers[-1])
    assert 0 <= score["probability"] <= 1
    assert score["stop"] is (score["probability"] >= 0.5)
