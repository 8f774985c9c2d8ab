"""The whole flow on a small base: layouts and a strict registry, good and bad days, no network."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from rayimage.image.layout import OciLayout
from rayimage.image.validate import validate
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Index, Manifest
from tests.support.fake_registry import FakeRegistry
from tests.support.images import make_image, make_index, make_layer, ray_base
from tests.support.project import YAML, Project, make_project
from tests.support.values import AMD64, SITE
from tests.support.wheelmaker import make_wheel

NOWHERE = "registry.example.com/team/small"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, NOWHERE)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr("rayimage.http.patience.time.sleep", lambda _seconds: None)


def tree(layout: OciLayout, manifest: Manifest) -> dict[str, bytes]:
    """Path → content after all layers, whiteouts applied."""
    files: dict[str, bytes] = {}
    for layer in manifest.layers:
        with layout.open_blob(layer) as stream:
            plain = gzip.decompress(stream.read(-1))
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            for info in archive:
                head, _, name = info.name.rpartition("/")
                if name.startswith(".wh."):
                    gone = f"{head}/{name.removeprefix('.wh.')}"
                    files = {
                        path: data for path, data in files.items() if path != gone and not path.startswith(f"{gone}/")
                    }
                elif info.isfile():
                    files[info.name] = archive.extractfile(info).read()
    return files


def built(project: Project, *arguments: str) -> dict[str, Any]:
    ran = project.run("--json", "build", *arguments)
    assert ran.code == 0, ran.err
    data: dict[str, Any] = json.loads(ran.out)
    return data


class TestLayout:
    def test_what_is_in_the_images(self, project: Project) -> None:
        data = built(project, "--output", f"oci:{project.root}/out", "--tag", "v1")
        layout = OciLayout(project.root / "out")
        assert validate(layout, "v1-head") == validate(layout, "v1-worker") == ()
        worker = layout.get_manifest("v1-worker")
        assert isinstance(worker, Manifest)
        assert str(worker.digest) == data["roles"]["worker"]["digest"]
        files = tree(layout, worker)
        site = SITE.lstrip("/")
        assert files[f"{site}/old/__init__.py"] == b"2"
        assert f"{site}/old/gone.py" not in files
        assert not any("old-1.0.dist-info" in path for path in files)
        assert files[f"{site}/extra/__init__.py"]
        assert files["home/ray/app/app/main.py"] == b"print('hello')\n"
        assert not any(path.startswith(("home/ray/app/deploy", "home/ray/app/lockfiles")) for path in files)
        head = layout.get_manifest("v1-head")
        assert isinstance(head, Manifest)
        assert not any("extra" in path for path in tree(layout, head))

    def test_config_keeps_the_base_and_says_where_it_comes_from(self, project: Project) -> None:
        built(project, "--output", f"oci:{project.root}/out", "--tag", "v1")
        layout = OciLayout(project.root / "out")
        manifest = layout.get_manifest("v1-head")
        assert isinstance(manifest, Manifest)
        with layout.open_blob(manifest.config) as stream:
            config = ImageConfig.parse(stream.read())
        assert (config.user, config.workdir) == ("1000", "/home/ray/app")
        assert config.labels["io.rayimage.role"] == manifest.annotations["io.rayimage.role"] == "head"
        base = OciLayout(project.root.parent / "base").get_manifest("2.55.1")
        assert manifest.annotations["org.opencontainers.image.base.digest"] == str(base.digest)

    def test_a_second_build_makes_nothing(self, project: Project) -> None:
        first = built(project, "--output", f"oci:{project.root}/out")
        again = built(project, "--output", f"oci:{project.root}/out")
        layers = [layer for p in again["roles"]["worker"]["platforms"].values() for layer in p["layers"]]
        assert all(layer["cached"] for layer in layers)
        assert {layer["outcome"] for layer in layers} == {"exists"}
        assert first["release"] == again["release"]

    def test_two_platforms_make_an_index(self, tmp_path: Path) -> None:
        project = make_project(tmp_path, NOWHERE)
        config = project.root / "rayimage.toml"
        config.write_text('platforms = ["linux/amd64", "linux/arm64"]\n' + config.read_text())
        layer = make_layer(ray_base())
        arm = AMD64.__class__("linux", "arm64")
        make_index(tmp_path / "base", {AMD64: [layer], arm: [layer]}, tag="2.55.1")
        built(project, "--output", f"oci:{project.root}/out", "--tag", "v1")
        layout = OciLayout(project.root / "out")
        index = layout.get_manifest("v1-worker")
        assert isinstance(index, Index)
        assert [str(child.platform) for child in index.manifests] == ["linux/amd64", "linux/arm64"]
        assert validate(layout, "v1-worker") == ()
        assert (project.root / "lockfiles/pylock.worker-arm64.toml").exists()


class TestSameDigest:
    def test_other_directory_umask_and_time(self, tmp_path: Path) -> None:
        digests = []
        for place, umask, stamp in (("one", 0o022, 1_500_000_000), ("some/where/else", 0o077, 1_700_000_000)):
            old = os.umask(umask)
            try:
                project = make_project(tmp_path / place, NOWHERE)
                os.utime(project.root / "app/main.py", (stamp, stamp))
                digests.append(built(project, "--output", f"oci:{project.root}/out")["release"])
            finally:
                os.umask(old)
        assert digests[0] == digests[1]

    def test_a_changed_line_changes_only_the_code_layer(self, project: Project) -> None:
        def layers(data: dict[str, Any]) -> list[str]:
            return [layer["digest"] for layer in data["roles"]["worker"]["platforms"]["linux/amd64"]["layers"]]

        before = layers(built(project, "--output", f"oci:{project.root}/out"))
        (project.root / "app/main.py").write_text("print('bye')\n")
        after = layers(built(project, "--output", f"oci:{project.root}/out"))
        assert before[:-1] == after[:-1]
        assert before[-1] != after[-1]


class TestPush:
    @pytest.mark.parametrize("auth", ["none", "basic", "bearer"])
    def test_tags_then_yaml(self, tmp_path: Path, auth: str) -> None:
        with FakeRegistry(auth=auth) as registry:
            project = make_project(tmp_path, f"{registry.host}/team/small")
            docker = tmp_path / "docker"
            docker.mkdir()
            (docker / "config.json").write_text(
                json.dumps({"auths": {registry.host: {"username": registry.username, "password": registry.password}}})
            )
            ran = project.run("build", "--tag", "v1", "--diff", env={"DOCKER_CONFIG": str(docker)})
            assert ran.code == 0, ran.err
            tags = registry.tags["team/small"]
            assert set(tags) == {"v1-head", "v1-worker", "rayimage-cache"}
            for role in ("head", "worker"):
                reference = f"{registry.host}/team/small:v1-{role}@{tags[f'v1-{role}']}"
                assert reference in ran.out.splitlines()
                assert reference in project.yaml
            assert "rayVersion: '2.55.1' # follows the image" in project.yaml
            assert registry.password not in ran.out + ran.err
            ran = project.run("build", "--tag", "v1", env={"DOCKER_CONFIG": str(docker)})
            assert "up to date" in ran.err

    def test_base_layers_are_mounted_on_the_same_registry(self, tmp_path: Path) -> None:
        with FakeRegistry() as registry:
            project = make_project(tmp_path, f"{registry.host}/team/small", base=f"{registry.host}/ray/base:2.55.1")
            layout = OciLayout(tmp_path / "base")
            base = layout.get_manifest("2.55.1")
            assert isinstance(base, Manifest)
            for descriptor in (base.config, *base.layers):
                with layout.open_blob(descriptor) as stream:
                    registry.put_blob("ray/base", stream.read())
            registry.put_manifest("ray/base", base, "2.55.1")
            data = built(project)
            layers = data["roles"]["head"]["platforms"]["linux/amd64"]["layers"]
            assert [layer["outcome"] for layer in layers if layer["kind"] == "base"] == ["mounted"]
            assert [(old, new) for old, new, _ in registry.mounts] == [("ray/base", "team/small")]

    def test_base_layers_are_streamed_from_another_registry(self, tmp_path: Path) -> None:
        with FakeRegistry(redirect_blobs=True) as source, FakeRegistry() as target:
            project = make_project(tmp_path, f"{target.host}/team/small", base=f"{source.host}/ray/base:2.55.1")
            layout = OciLayout(tmp_path / "base")
            base = layout.get_manifest("2.55.1")
            assert isinstance(base, Manifest)
            for descriptor in (base.config, *base.layers):
                with layout.open_blob(descriptor) as stream:
                    source.put_blob("ray/base", stream.read())
            source.put_manifest("ray/base", base, "2.55.1")
            built(project)
            assert str(base.layers[0].digest) in target.blobs["team/small"]

    @pytest.mark.parametrize(
        ("switches", "code", "text"),
        [
            ({"refuse_push": True}, 8, "403"),
            ({"auth": "basic", "anonymous": False}, 8, "docker login"),
            ({"server_errors": 1000}, 7, "500"),
            ({"rate_limit": 1000}, 7, "429"),
            ({"cut_upload_after": 10, "cuts": 1000}, 7, ""),
        ],
    )
    @pytest.mark.usefixtures("no_waiting")
    def test_a_registry_that_does_not_take_it(
        self, tmp_path: Path, switches: dict[str, Any], code: int, text: str
    ) -> None:
        with FakeRegistry(**switches) as registry:
            project = make_project(tmp_path, f"{registry.host}/team/small")
            ran = project.run("build", "--tag", "v1")
            assert ran.code == code, ran.err
            assert text in ran.err
            assert "next:" in ran.err
            assert registry.host in ran.err
            assert "Traceback" not in ran.err
            assert not registry.tags["team/small"]
        assert project.yaml == YAML

    @pytest.mark.parametrize(
        "switches", [{"cut_upload_after": 10}, {"server_errors": 2}, {"rate_limit": 2}, {"patch": False}]
    )
    @pytest.mark.usefixtures("no_waiting")
    def test_a_bad_moment_is_survived(self, tmp_path: Path, switches: dict[str, Any]) -> None:
        with FakeRegistry(**switches) as registry:
            project = make_project(tmp_path, f"{registry.host}/team/small")
            built(project, "--tag", "v1")
            assert set(registry.tags["team/small"]) == {"v1-head", "v1-worker", "rayimage-cache"}

    @pytest.mark.usefixtures("no_waiting")
    def test_unreachable(self, tmp_path: Path) -> None:
        project = make_project(tmp_path, "127.0.0.1:9/team/small")
        ran = project.run("build")
        assert ran.code == 7
        assert "127.0.0.1:9" in ran.err
        assert project.yaml == YAML


class TestBadInput:
    def refused(self, project: Project, code: int, *words: str) -> None:
        with FakeRegistry() as registry:
            config = project.root / "rayimage.toml"
            config.write_text(config.read_text().replace(NOWHERE, f"{registry.host}/team/small"))
            ran = project.run("build", "--tag", "v1")
            assert ran.code == code, ran.err
            assert "Traceback" not in ran.err
            assert "next:" in ran.err
            for word in words:
                assert word in ran.err
            assert not registry.tags["team/small"]
            assert not registry.manifests["team/small"]

    def test_unknown_key(self, project: Project) -> None:
        config = project.root / "rayimage.toml"
        config.write_text(config.read_text().replace("requirements =", "requirement =", 1))
        self.refused(project, 3, "requirement: unknown key", "did you mean 'requirements'?")

    def test_absent_base(self, project: Project) -> None:
        config = project.root / "rayimage.toml"
        config.write_text(config.read_text().replace("oci:../base", "oci:../bass"))
        self.refused(project, 4, "bass")

    def test_not_a_ray_image(self, project: Project) -> None:
        entries = {path: data for path, data in ray_base().items() if "ray-2.55.1.dist-info" not in path}
        make_image(project.root.parent / "base", [make_layer(entries)], user="1000", tag="2.55.1")
        self.refused(project, 4, "Ray")

    def test_another_ray_on_the_worker(self, project: Project) -> None:
        make_image(project.root.parent / "base", [make_layer(ray_base(ray="2.54.0"))], user="1000", tag="2.54.0")
        config = project.root / "rayimage.toml"
        config.write_text(config.read_text().replace("[images.worker]", '[images.worker]\nbase = "oci:../base:2.54.0"'))
        self.refused(project, 4, "2.54.0", "2.55.1", "head", "worker")

    def test_wheel_hash_mismatch(self, project: Project) -> None:
        assert project.run("lock").code == 0
        wheel = project.root.parent / "wheels/common-1.0-py3-none-any.whl"
        wheel.write_bytes(wheel.read_bytes() + b"\0")
        self.refused(project, 6, "common-1.0-py3-none-any.whl", "sha256")

    def test_no_wheel_for_the_platform(self, project: Project) -> None:
        wheels = project.root.parent / "wheels"
        (wheels / "common-1.0-py3-none-any.whl").rename(wheels / "common-1.0-cp311-cp311-win_amd64.whl")
        self.refused(project, 5, "common")

    @pytest.mark.parametrize("path", ["../../evil.py", "/etc/evil.py", "pkg/../../../evil.py"])
    def test_a_path_that_leaves_the_tree(self, project: Project, path: str) -> None:
        make_wheel(project.root.parent / "wheels", {path: b"x"}, "common", "1.0")
        self.refused(project, 6, "common-1.0-py3-none-any.whl", path)

    def test_a_clash_of_two_wheels(self, project: Project) -> None:
        make_wheel(project.root.parent / "wheels", {"common/__init__.py": b"other"}, "extra", "1.0")
        self.refused(project, 6, "common/__init__.py", "common", "extra")

    def test_a_clash_with_the_base(self, project: Project) -> None:
        make_wheel(project.root.parent / "wheels", {"click/__init__.py": b"other"}, "extra", "1.0")
        self.refused(project, 6, "click/__init__.py", "click 8.1.7", "extra")

    def test_yaml_without_a_ray_document(self, project: Project) -> None:
        (project.root / "deploy/ray.yaml").write_text("kind: ConfigMap\n")
        self.refused(project, 9, "deploy/ray.yaml")

    def test_yaml_with_a_template(self, project: Project) -> None:
        (project.root / "deploy/ray.yaml").write_text(YAML.replace("rayproject/ray:2.0.0", "{{ image }}", 1))
        self.refused(project, 9, "deploy/ray.yaml")

    def test_conflicting_requirements(self, project: Project) -> None:
        with (project.root / "requirements-worker.in").open("a") as stream:
            stream.write("old<2\n")
        self.refused(project, 5, "old")

    def test_a_stale_lock(self, project: Project) -> None:
        assert project.run("lock").code == 0
        with (project.root / "requirements-worker.in").open("a") as stream:
            stream.write("# a comment is no change\nextra==1.0\n")
        self.refused(project, 5, "stale", "requirements-worker.in", "rayimage lock")

    def test_a_truncated_base_layer(self, project: Project) -> None:
        layout = OciLayout(project.root.parent / "base")
        base = layout.get_manifest("2.55.1")
        assert isinstance(base, Manifest)
        blob = project.root.parent / "base/blobs/sha256" / base.layers[0].digest.hex
        blob.write_bytes(blob.read_bytes()[:-200])
        self.refused(project, 11, base.layers[0].digest.short)


class TestCommands:
    def test_dry_run_writes_nothing(self, project: Project) -> None:
        ran = project.run("--json", "build", "--dry-run")
        assert ran.code == 0, ran.err
        [head, worker] = json.loads(ran.out)
        assert [layer["kind"] for layer in worker["layers"]] == [
            "removal",
            *["wheels"] * (len(worker["layers"]) - 2),
            "code",
        ]
        assert head["role"] == "head"
        assert not list(project.cache.glob("blobs/sha256/*"))
        assert not (project.root / "lockfiles").exists()
        assert project.yaml == YAML

    def test_lock_twice_changes_nothing(self, project: Project) -> None:
        assert project.run("lock").code == 0
        files = {file: file.read_bytes() for file in (project.root / "lockfiles").iterdir()}
        ran = project.run("lock")
        assert "nothing changed" in ran.err
        assert files == {file: file.read_bytes() for file in (project.root / "lockfiles").iterdir()}
        assert project.run("lock", "--check").code == 0

    def test_lock_check_fails_without_a_lock(self, project: Project) -> None:
        ran = project.run("lock", "--check")
        assert ran.code == 12
        assert not (project.root / "lockfiles").exists()

    def test_the_export_names_no_host_and_is_taken_as_preference(self, project: Project) -> None:
        assert project.run("lock", "--export", "requirements").code == 0
        export = project.root / "lockfiles/requirements.worker-amd64.txt"
        text = export.read_text()
        assert "common==1.0 \\" in text
        assert "--hash=sha256:" in text
        assert "://" not in text
        make_wheel(project.root.parent / "wheels", {"common/__init__.py": b"1.1"}, "common", "1.1")
        for lock in (project.root / "lockfiles").glob("pylock.*"):
            lock.unlink()
        ran = project.run("--json", "lock")
        assert json.loads(ran.out)[0]["added"] == {"common": "1.0"}
        assert json.loads(project.run("--json", "lock", "--upgrade").out)[0]["added"] == {"common": "1.1"}

    def test_metadata_file(self, project: Project, tmp_path: Path) -> None:
        file = tmp_path / "meta.json"
        data = built(project, "--output", f"oci:{project.root}/out", "--metadata-file", str(file))
        assert json.loads(file.read_text()) == data
        layer = data["roles"]["worker"]["platforms"]["linux/amd64"]["layers"][-1]
        assert layer["kind"] == "code"
        assert layer["size"] > 0
        assert layer["outcome"] == "uploaded"

    def test_killed_while_it_pushes_and_run_again(self, tmp_path: Path) -> None:
        with FakeRegistry() as registry:
            project = make_project(tmp_path, f"{registry.host}/team/small")
            code = (
                "import os, sys, rayimage.registry.repository as r\n"
                "put = r.Repository.put_manifest\n"
                "r.Repository.put_manifest = lambda *a, **k: os.kill(os.getpid(), 9)\n"
                "from rayimage.__main__ import main; main(sys.argv[1:])\n"
            )
            command = [sys.executable, "-c", code, "-C", str(project.root), "build", "--tag", "v1"]
            killed = subprocess.run(
                command, env={**os.environ, "RAYIMAGE_CACHE_DIR": str(project.cache)}, capture_output=True, check=False
            )
            assert killed.returncode == -9
            assert registry.blobs["team/small"]
            assert not registry.tags["team/small"]
            assert project.yaml == YAML
            built(project, "--tag", "v1")
            assert set(registry.tags["team/small"]) == {"v1-head", "v1-worker", "rayimage-cache"}
