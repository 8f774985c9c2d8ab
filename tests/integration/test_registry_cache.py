"""The registry as the cache: what a fresh machine does not fetch, and what happens when the registry lies or forgets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rayimage.builders.remote_cache import marked
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.image.layout import OciLayout
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Manifest, canonical_json
from rayimage.model.reference import Reference
from rayimage.registry import open_repository
from tests.support.fake_registry import FakeRegistry, StoredManifest
from tests.support.project import YAML, Project, make_project
from tests.support.services import MissingPartError, Registry, running_registry

REPOSITORY, CACHE = "team/small", "rayimage-cache"
KEY, DIFF_ID = "io.rayimage.layer.key", "io.rayimage.layer.diff-id"


@pytest.fixture(scope="session")
def registry_server() -> Iterator[Registry]:
    try:
        with running_registry() as running:
            yield running
    except MissingPartError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, registry: FakeRegistry) -> Project:
    return make_project(tmp_path, f"{registry.host}/{REPOSITORY}")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The wheels that were asked for."""
    names: list[str] = []
    fetch = Wheelhouse.fetch

    def listen(self: Wheelhouse, wheel: Any) -> Path:
        names.append(wheel.filename)
        return fetch(self, wheel)

    monkeypatch.setattr(Wheelhouse, "fetch", listen)
    return names


@pytest.fixture
def sealed_base(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Once called, a blob of the base that is read fails the test; its config is of the kind that has to be read."""

    def seal() -> None:
        read = OciLayout.open_blob

        def guarded(self: OciLayout, descriptor: Any) -> Any:
            assert "layer" not in descriptor.media_type, "a layer of the base is read"
            return read(self, descriptor)

        monkeypatch.setattr(OciLayout, "open_blob", guarded)

    return seal


def built(project: Project, *arguments: str) -> dict[str, Any]:
    ran = project.run("--json", "build", *arguments)
    assert ran.code == 0, ran.err
    data: dict[str, Any] = json.loads(ran.out)
    return data


def edit(project: Project, text: str = "print('bye')\n") -> Project:
    """The project with another line of code, on a machine that has no cache yet."""
    (project.root / "app/main.py").write_text(text)
    shutil.rmtree(project.cache)
    return project


def forget_yaml(project: Project) -> None:
    """As if nobody committed what the last build wrote."""
    (project.root / "deploy/ray.yaml").write_text(YAML)


def layers_of(data: dict[str, Any], role: str = "worker") -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = data["roles"][role]["platforms"]["linux/amd64"]["layers"]
    return layers


def manifest(registry: FakeRegistry, tag: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(registry.manifests[REPOSITORY][registry.tags[REPOSITORY][tag]].raw)
    return data


def replace_manifest(registry: FakeRegistry, tag: str, data: dict[str, Any]) -> None:
    """Move ``tag`` to a changed manifest."""
    raw = canonical_json(data)
    digest = str(Digest.of(raw))
    registry.manifests[REPOSITORY][digest] = StoredManifest(data["mediaType"], raw)
    registry.tags[REPOSITORY][tag] = digest


def sent_blobs(registry: FakeRegistry) -> int:
    return sum(request.length for request in registry.requests if "/blobs/uploads/" in request.path)


class TestFreshMachine:
    def test_a_code_edit_moves_code_config_and_manifests(
        self, project: Project, registry: FakeRegistry, fetched: list[str], sealed_base: Callable[[], None]
    ) -> None:
        before = built(project)
        assert fetched
        fetched.clear()
        sealed_base()
        shutil.rmtree(project.root.parent / "wheels")
        registry.requests.clear()
        after = built(edit(project))
        assert not fetched
        assert not project.cache.joinpath("wheels").exists()
        changed = [
            layer for layer in layers_of(after) if layer["digest"] not in {x["digest"] for x in layers_of(before)}
        ]
        assert [layer["kind"] for layer in changed] == ["code"]
        assert all(layer["outcome"] == "exists" for layer in layers_of(after) if layer not in changed)
        config = {role["platforms"]["linux/amd64"]["config"] for role in after["roles"].values()}
        blobs = [Digest.parse(name) for name in (*config, changed[0]["digest"])]
        assert sent_blobs(registry) == sum(len(registry.blobs[REPOSITORY][str(digest)]) for digest in blobs)
        assert registry.count("POST") == len(blobs)
        assert registry.count("PUT", CACHE) == 0

    def test_the_same_digests_with_and_without(self, project: Project, fetched: list[str]) -> None:
        built(project)
        fetched.clear()
        with_cache = built(edit(project), "--no-emit")
        assert not fetched
        shutil.rmtree(project.cache)
        without = built(project, "--no-emit", "--no-cache-from")
        assert with_cache["release"] == without["release"]
        assert fetched

    @pytest.mark.parametrize("yaml", [True, False])
    def test_either_of_yaml_and_cache_tag_will_do(
        self, project: Project, registry: FakeRegistry, fetched: list[str], yaml: bool
    ) -> None:
        built(project)
        fetched.clear()
        if yaml:
            del registry.tags[REPOSITORY][CACHE]
        else:
            forget_yaml(project)
        built(edit(project))
        assert not fetched
        assert CACHE in registry.tags[REPOSITORY]

    def test_an_unchanged_cache_is_not_written(self, project: Project, registry: FakeRegistry) -> None:
        built(project)
        tag = registry.tags[REPOSITORY][CACHE]
        registry.requests.clear()
        built(edit(project))
        assert registry.tags[REPOSITORY][CACHE] == tag
        assert registry.count("PUT", CACHE) == 0

    def test_another_set_of_wheels_is_compared_by_its_records(
        self, project: Project, registry: FakeRegistry, fetched: list[str]
    ) -> None:
        built(project)
        (project.root / "requirements-worker.in").write_text("")
        (project.root / "requirements.in").write_text("--no-index\n--find-links ../wheels\ncommon\nextra\nold>=2\n")
        assert project.run("lock").code == 0
        forget_yaml(project)
        fetched.clear()
        data = manifest(registry, CACHE)
        data["layers"] = [layer for layer in data["layers"] if "checked" not in layer["mediaType"]]
        replace_manifest(registry, CACHE, data)
        registry.requests.clear()
        built(edit(project))
        assert not fetched
        records = [layer["digest"] for layer in data["layers"] if "record" in layer["mediaType"]]
        assert records
        assert {name for name in records if registry.count("GET", name)}


class TestBase:
    """A base in a registry: what the target has is asked for, or mounted, and never read."""

    @pytest.mark.parametrize("same_registry", [True, False])
    def test_its_layers_are_neither_read_nor_sent_again(
        self, tmp_path: Path, registry: FakeRegistry, fetched: list[str], same_registry: bool
    ) -> None:
        with FakeRegistry() as abroad:
            source = registry if same_registry else abroad
            project = make_project(tmp_path, f"{registry.host}/{REPOSITORY}", base=f"{source.host}/ray/base:2.55.1")
            base = push_base(tmp_path / "base", source)
            first = built(project)
            outcomes = {layer["outcome"] for layer in layers_of(first) if layer["kind"] == "base"}
            assert outcomes == {"mounted" if same_registry else "uploaded"}
            fetched.clear()
            abroad.requests.clear()
            registry.requests.clear()
            again = built(edit(project))
            assert not fetched
            assert {layer["outcome"] for layer in layers_of(again) if layer["kind"] == "base"} == {"exists"}
            for layer in base.layers:
                asked = [(r.method, "mount" in r.path) for r in registry.requests if str(layer.digest) in r.path]
                assert asked == [("HEAD", False)]
            assert not abroad.requests
            assert not any("ray/base" in request.path for request in registry.requests)

    def test_a_new_repository_mounts_them(self, tmp_path: Path, registry: FakeRegistry, fetched: list[str]) -> None:
        project = make_project(tmp_path, f"{registry.host}/{REPOSITORY}", base=f"{registry.host}/ray/base:2.55.1")
        base = push_base(tmp_path / "base", registry)
        built(project)
        config = project.root / "rayimage.toml"
        lines = f'cache-from = ["{registry.host}/{REPOSITORY}"]\n'
        config.write_text(lines + config.read_text().replace(REPOSITORY, "team/other"))
        fetched.clear()
        registry.requests.clear()
        data = built(edit(project))
        assert not fetched
        kinds = {layer["kind"]: layer["outcome"] for layer in layers_of(data)}
        assert kinds["base"] == kinds["wheels"] == "mounted"
        assert not any(registry.count("GET", str(layer.digest)) for layer in base.layers)


def push_base(layout: Path, registry: FakeRegistry) -> Manifest:
    """The base of ``layout`` as ``ray/base:2.55.1``."""
    source = OciLayout(layout)
    base = source.get_manifest("2.55.1")
    assert isinstance(base, Manifest)
    for descriptor in (base.config, *base.layers):
        with source.open_blob(descriptor) as stream:
            registry.put_blob("ray/base", stream.read())
    registry.put_manifest("ray/base", base, "2.55.1")
    return base


class TestForgetful:
    def test_a_layer_that_is_gone_is_made_anew(
        self, project: Project, registry: FakeRegistry, fetched: list[str]
    ) -> None:
        first = built(project)
        gone = next(layer for layer in layers_of(first) if layer["kind"] == "wheels")
        del registry.blobs[REPOSITORY][gone["digest"]]
        fetched.clear()
        again = built(edit(project, "print('hello')\n"))
        assert again["release"] == first["release"]
        assert len(fetched) == 1
        assert gone["digest"] in registry.blobs[REPOSITORY]

    def test_an_inventory_that_is_gone_is_read_anew(self, project: Project, registry: FakeRegistry) -> None:
        first = built(project)
        for layer in manifest(registry, CACHE)["layers"]:
            if "inventory" in layer["mediaType"]:
                del registry.blobs[REPOSITORY][layer["digest"]]
        assert built(edit(project, "print('hello')\n"))["release"] == first["release"]

    def test_a_damaged_inventory_is_read_anew(self, project: Project, registry: FakeRegistry) -> None:
        first = built(project)
        data = manifest(registry, CACHE)
        for layer in data["layers"]:
            if "inventory" in layer["mediaType"]:
                rubbish = b"rubbish"
                layer |= {"digest": str(registry.put_blob(REPOSITORY, rubbish)), "size": len(rubbish)}
        replace_manifest(registry, CACHE, data)
        assert built(edit(project, "print('hello')\n"))["release"] == first["release"]

    def test_a_cache_that_cannot_be_written_is_a_note(self, project: Project, registry: FakeRegistry) -> None:
        registry.refuse_tag = CACHE
        ran = project.run("build")
        assert ran.code == 0, ran.err
        assert "the cache in" in ran.err
        assert CACHE not in registry.tags[REPOSITORY]

    def test_blobs_of_older_layers_may_have_gone(self, project: Project, registry: FakeRegistry) -> None:
        built(project)
        data = manifest(registry, CACHE)
        old = next(layer for layer in data["layers"] if KEY in layer["annotations"] and "tar" in layer["mediaType"])
        del registry.blobs[REPOSITORY][old["digest"]]
        (project.root / "requirements-worker.in").write_text("")
        (project.root / "requirements.in").write_text("--no-index\n--find-links ../wheels\nextra\nold>=2\n")
        assert project.run("lock").code == 0
        built(project)
        assert CACHE in registry.tags[REPOSITORY]


Layer = dict[str, Any]


def wrong_diff_id(layer: Layer, _other: Layer) -> None:
    layer["annotations"][DIFF_ID] = str(Digest.of(b"other"))


def wrong_size(layer: Layer, _other: Layer) -> None:
    layer["size"] += 1


def sealed_wrong_size(layer: Layer, _other: Layer) -> None:
    layer["size"] += 1
    reseal(layer)


def foreign_digest(layer: Layer, other: Layer) -> None:
    layer |= {"digest": other["digest"], "size": other["size"]}


def other_key(layer: Layer, other: Layer) -> None:
    layer["annotations"][KEY] = str(Digest.of(b"other"))
    other.setdefault("annotations", {})[KEY] = layer["annotations"][KEY]


def malformed_key(layer: Layer, _other: Layer) -> None:
    layer["annotations"][KEY] = "sha256:XYZ"


def no_diff_id(layer: Layer, _other: Layer) -> None:
    del layer["annotations"][DIFF_ID]


def another_media_type(layer: Layer, _other: Layer) -> None:
    layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar"


LIES = [
    wrong_diff_id,
    wrong_size,
    sealed_wrong_size,
    foreign_digest,
    other_key,
    malformed_key,
    no_diff_id,
    another_media_type,
]


def reseal(layer: Layer) -> None:
    """The lie of somebody who means it."""
    descriptor = replace(Descriptor.from_json(layer), annotations={})
    key, diff_id = (Digest.parse(layer["annotations"][name]) for name in (KEY, DIFF_ID))
    layer |= marked(descriptor, key, diff_id).to_json()


def meant(layer: Layer, other: Layer) -> None:
    foreign_digest(layer, other)
    reseal(layer)


def lie_about_wheels(registry: FakeRegistry, tag: str, wheels: set[str], lie: Callable[[Layer, Layer], None]) -> None:
    data = manifest(registry, tag)
    layers = [layer for layer in data["layers"] if "layer" in layer["mediaType"]]
    for layer in layers:
        if layer["digest"] in wheels:
            lie(layer, next(other for other in layers if other["digest"] != layer["digest"]))
    replace_manifest(registry, tag, data)


class TestLies:
    @pytest.mark.parametrize("lie", LIES)
    @pytest.mark.parametrize("where", ["cache", "images"])
    def test_are_noticed_and_the_layer_is_made_anew(
        self,
        project: Project,
        registry: FakeRegistry,
        fetched: list[str],
        lie: Callable[[Layer, Layer], None],
        where: str,
    ) -> None:
        first = built(project, "--tag", "v1")
        wheels = {layer["digest"] for layer in layers_of(first) if layer["kind"] == "wheels"}
        forget_yaml(project)
        images = ["v1-head", "v1-worker"]
        for tag in [CACHE] if where == "cache" else images:
            lie_about_wheels(registry, tag, wheels, lie)
        for tag in images if where == "cache" else [CACHE]:
            del registry.tags[REPOSITORY][tag]
        fetched.clear()
        shutil.rmtree(project.cache)
        ran = project.run("--json", "build", "--tag", "v1")
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["release"] == first["release"]
        assert set(fetched) == {f"{name}-py3-none-any.whl" for name in ("common-1.0", "extra-1.0", "old-2.0")}
        assert "! " in ran.err

    def test_a_pinned_image_counts_more_than_a_tag(
        self, project: Project, registry: FakeRegistry, fetched: list[str]
    ) -> None:
        first = built(project)
        wheels = {layer["digest"] for layer in layers_of(first) if layer["kind"] == "wheels"}

        lie_about_wheels(registry, CACHE, wheels, meant)
        fetched.clear()
        shutil.rmtree(project.cache)
        ran = project.run("--json", "build")
        assert json.loads(ran.out)["release"] == first["release"]
        assert "has another layer" in ran.err
        assert not fetched


class TestTrust:
    def test_only_what_is_pinned(self, project: Project, registry: FakeRegistry, fetched: list[str]) -> None:
        first = built(project)
        config = project.root / "rayimage.toml"
        config.write_text('cache-trust = "pinned"\n' + config.read_text())
        fetched.clear()
        assert built(edit(project))["release"] != first["release"]
        assert not fetched  # the YAML pins the images
        forget_yaml(project)
        built(edit(project, "print('again')\n"))
        assert fetched  # the cache tag is not believed

    def test_a_cache_by_digest(self, project: Project, registry: FakeRegistry, fetched: list[str]) -> None:
        built(project)
        digest = registry.tags[REPOSITORY][CACHE]
        config = project.root / "rayimage.toml"
        lines = f'cache-trust = "pinned"\ncache-from = ["{registry.host}/{REPOSITORY}@{digest}"]\n'
        config.write_text(lines + config.read_text())
        forget_yaml(project)
        fetched.clear()
        shutil.rmtree(project.root.parent / "wheels")
        built(edit(project))
        assert not fetched

    def test_a_lie_that_is_meant_is_found_by_verifying(
        self, project: Project, registry: FakeRegistry, fetched: list[str]
    ) -> None:
        first = built(project)
        wheels = {layer["digest"] for layer in layers_of(first) if layer["kind"] == "wheels"}
        lie_about_wheels(registry, CACHE, wheels, meant)
        forget_yaml(project)
        shutil.rmtree(project.cache)
        ran = project.run("--json", "build", "--verify-cache")
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["release"] == first["release"]
        assert "wrote a wrong layer there" in ran.err
        fetched.clear()
        assert "wrong" not in edit(project).run("build").err
        assert not fetched

    @pytest.mark.parametrize("other", [["--no-cache-from"], ["--output", "oci:out"]])
    def test_nothing_to_verify_with(self, project: Project, other: list[str]) -> None:
        ran = project.run("build", "--verify-cache", *other)
        assert ran.code == 2
        assert "--verify-cache" in ran.err

    def test_a_good_cache_is_verified_silently(self, project: Project) -> None:
        built(project)
        assert "wrong" not in edit(project).run("build", "--verify-cache").err


class TestElsewhere:
    @pytest.mark.parametrize("refuse_mounts", [False, True])
    def test_layers_are_mounted_from_another_repository(
        self, tmp_path: Path, registry: FakeRegistry, project: Project, fetched: list[str], refuse_mounts: bool
    ) -> None:
        first = built(project)
        config = project.root / "rayimage.toml"
        config.write_text(
            f'cache-from = ["{registry.host}/{REPOSITORY}"]\n' + config.read_text().replace(REPOSITORY, "team/other")
        )
        fetched.clear()
        registry.refuse_mounts = refuse_mounts
        again = built(edit(project, "print('hello')\n"))
        wheels = [layer for layer in layers_of(again) if layer["kind"] == "wheels"]
        assert {layer["digest"] for layer in wheels} <= {layer["digest"] for layer in layers_of(first)}
        assert {layer["outcome"] for layer in wheels} == {"uploaded" if refuse_mounts else "mounted"}
        assert bool(fetched) is refuse_mounts
        assert CACHE in registry.tags["team/other"]
        registry.requests.clear()
        fetched.clear()
        config.write_text(config.read_text().partition("\n")[2])
        forget_yaml(project)
        shutil.rmtree(project.root.parent / "wheels")
        built(edit(project))
        assert not fetched


class TestReports:
    def test_a_plan_tells_what_the_registry_has(self, project: Project) -> None:
        built(project)
        edit(project)
        ran = project.run("--json", "plan")
        assert ran.code == 0, ran.err
        [_, worker] = json.loads(ran.out)
        assert {layer["kind"] for layer in worker["layers"] if layer["pushed"]} == {"wheels"}
        assert not any(layer["cached"] for layer in worker["layers"])
        text = project.run("plan").out
        assert "already there" in text
        ran = project.run("--json", "plan", "--no-cache-from")
        assert all(layer["pushed"] is None for image in json.loads(ran.out) for layer in image["layers"])

    def test_a_plan_knows_layers_that_are_here_and_there(self, project: Project) -> None:
        built(project)
        [_, worker] = json.loads(project.run("--json", "plan").out)
        assert all(layer["pushed"] and layer["cached"] for layer in worker["layers"])

    def test_a_build_tells_what_it_did_not_need(self, project: Project) -> None:
        built(project)
        ran = project.run("build", "--metadata-file", "meta.json")
        assert "no wheel of theirs" not in ran.err
        ran = edit(project).run("build", "--metadata-file", str(project.root / "meta.json"))
        assert "no wheel of theirs was fetched" in ran.err
        data = json.loads((project.root / "meta.json").read_text())
        assert {layer["kind"] for layer in layers_of(data) if layer["remote"]} == {"wheels"}


@pytest.mark.registry
class TestRealRegistry:
    """Debian's docker-registry takes the artifact, and tells lengths and absences as the fake one does."""

    def test_a_fresh_machine(self, tmp_path: Path, registry_server: Registry, fetched: list[str]) -> None:
        project = make_project(tmp_path, f"{registry_server.host}/cache/small")
        first = built(project)
        fetched.clear()
        shutil.rmtree(tmp_path / "wheels")
        again = built(edit(project))
        assert not fetched
        sent = [layer["kind"] for layer in layers_of(again) if layer["outcome"] == "uploaded"]
        assert sent == ["code"]
        assert again["release"] != first["release"]

    def test_a_layer_that_is_gone(self, tmp_path: Path, registry_server: Registry, fetched: list[str]) -> None:
        project = make_project(tmp_path, f"{registry_server.host}/cache/gone")
        first = built(project)
        gone = next(layer["digest"] for layer in layers_of(first) if layer["kind"] == "wheels")
        with open_repository(Reference.parse(f"{registry_server.host}/cache/gone")) as repository:
            size = repository.blob_size(Digest.parse(gone))
        assert size == next(layer["size"] for layer in layers_of(first) if layer["digest"] == gone)
        link = registry_server.root / "docker/registry/v2/repositories/cache/gone/_layers/sha256"
        shutil.rmtree(link / gone.removeprefix("sha256:"))
        fetched.clear()
        again = built(edit(project, "print('hello')\n"))
        assert again["release"] == first["release"]
        assert len(fetched) == 1
