from __future__ import annotations

import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.errors import APIError, ImageNotFound

from rayimage.builders.docker import builder as module
from rayimage.builders.docker.builder import DockerBuilder
from rayimage.builders.publish import release_of
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.errors import EngineError
from rayimage.image.assemble import assemble
from rayimage.image.plan import LayerKind
from rayimage.layers import LayerCache
from rayimage.model.digest import Digest
from tests.support.listener import Listener
from tests.support.values import wheel
from tests.unit.builders.docker.recipes import build_input
from tests.unit.builders.docker.test_export import METADATA, archive, saved

LAYERS = (
    archive({"opt/.wh.old": b""}),
    archive({"opt/old-2.0.dist-info/METADATA": METADATA.replace(b"Two_Words", b"Old")}),
    archive({"home/ray/app/main.py": b"print(1)"}),
)


class Engine:
    """An Engine that "builds" the layers it is told, on the base of its input; as much of the SDK as is used."""

    def __init__(self, item, layers=LAYERS, *, api_version="1.41", config=None, base=None) -> None:
        self.item, self.layers = item, layers
        diff_ids = item.base.config.diff_ids if base is None else base
        planned = assemble(item.base.manifest, item.base.config, [], item.plan.config).config.data["config"]
        self.attrs = {
            "Id": "sha256:built",
            "RootFS": {"Layers": [*map(str, diff_ids), *(str(Digest.of(layer)) for layer in layers)]},
            "Config": {**planned, "Hostname": "", "OnBuild": None, **(config or {})},
        }
        self.loaded: list[bytes] = []
        self.options: dict[str, object] = {}
        self.tagged: list[tuple[str, str]] = []
        self.api = SimpleNamespace(build=self.build, get_image=self.save, images=lambda **_: [])
        self.images = SimpleNamespace(get=self.get, load=self.load)
        self.version = lambda: {"ApiVersion": api_version, "Arch": "amd64"}

    def get(self, name: str):
        if name == "sha256:built":
            return SimpleNamespace(id=name, attrs=self.attrs, tag=lambda *parts: self.tagged.append(parts))
        if not self.loaded:
            raise ImageNotFound(name)
        return SimpleNamespace(id="sha256:base", tags=[], tag=lambda *_: True)

    def load(self, blocks) -> None:
        self.loaded.append(b"".join(blocks))

    def build(self, **options):
        self.options = options
        self.context = sorted(path.name for path in Path(options["path"]).iterdir())
        yield {"stream": "Step 1/1 : FROM x\n"}
        yield {"aux": {"ID": "sha256:built"}}

    def save(self, image: str, chunk_size: int):
        assert image == "sha256:built"
        yield saved({f"{n}/layer.tar": data for n, data in enumerate((b"base", *self.layers))})

    def close(self) -> None:
        pass


@pytest.fixture
def item(tmp_path: Path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project/main.py").write_text("print(1)\n")
    return build_input(tmp_path, wheel("old", "2.0"), env={"A": "b"})


@pytest.fixture
def house(tmp_path: Path, monkeypatch) -> Wheelhouse:
    made = Wheelhouse(tmp_path / "cache", indexes=["https://nothing.invalid/simple"])
    file = tmp_path / "old.whl"
    file.write_bytes(b"wheel")
    monkeypatch.setattr(made, "fetch", lambda _: file)
    return made


@pytest.fixture(autouse=True)
def no_buildkit(monkeypatch) -> None:
    monkeypatch.setattr(module, "find_buildkit", lambda: None)


def test_the_result_is_an_image_on_the_bases_own_layers(item, house) -> None:
    engine = Engine(item)
    builder = DockerBuilder(engine, LayerCache(house.cache_dir), house)
    [image] = builder.build([item])
    [built] = builder.export([item], [image])
    manifest = built.manifest
    assert manifest.layers[:1] == item.base.manifest.layers
    assert built.image.config.diff_ids[1:] == tuple(map(Digest.of, LAYERS))
    assert built.image.config.data["created"] == "2026-01-02T03:04:05Z"
    assert built.image.config.env["A"] == "b"
    assert [layer.kind for layer in built.layers[1:]] == [LayerKind.REMOVAL, LayerKind.WHEELS, LayerKind.CODE]
    by_digest = {blob.descriptor.digest: blob for blob in built.blobs}
    for descriptor, content in zip(manifest.layers[1:], LAYERS, strict=True):
        with by_digest[descriptor.digest].open() as stream:
            assert gzip.decompress(stream.read()) == content
    assert json.loads(by_digest[manifest.config.digest].open().__enter__().read()) == built.image.config.data
    assert [(package.name, package.filename) for package in built.packages] == [("old", "old-2.0-py3-none-any.whl")]
    assert release_of([built]).tops["head"] == manifest


def test_the_context_is_sent_to_the_classic_builder(item, house, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com")
    monkeypatch.delenv("http_proxy", raising=False)
    engine = Engine(item)
    DockerBuilder(engine, LayerCache(house.cache_dir), house).build([item])
    assert engine.context == ["Dockerfile", "code", "packages"]
    assert engine.options["platform"] == "linux/amd64"
    assert engine.options["buildargs"]["HTTP_PROXY"] == "http://proxy.example.com"
    assert len(engine.loaded) == 1, "the base in a layout is loaded first"


def test_buildkit_gets_secrets_unless_every_wheel_is_sent(item, house, monkeypatch) -> None:
    calls = []

    def build(context, platform, secrets, arguments, said):
        calls.append((sorted(secrets), (Path(context) / "Dockerfile").read_text()))
        return "sha256:built"

    for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "find_buildkit", lambda: SimpleNamespace(build=build))
    DockerBuilder(Engine(item), LayerCache(house.cache_dir), house).build([item])
    DockerBuilder(Engine(item), LayerCache(house.cache_dir), house, offline=True).build([item])
    assert [secrets for secrets, _ in calls] == [["index"], []]
    assert ["--no-index" in text for _, text in calls] == [False, True]


def test_an_engine_before_18_09_is_not_given_to_buildkit(item, house, monkeypatch) -> None:
    monkeypatch.setattr(module, "find_buildkit", lambda: pytest.fail("asked for BuildKit"))
    DockerBuilder(Engine(item, api_version="1.38"), LayerCache(house.cache_dir), house).build([item])


def test_layers_on_another_base_are_refused(item, house) -> None:
    with pytest.raises(EngineError, match="on another base"):
        DockerBuilder(Engine(item, base=[Digest.of(b"other")]), LayerCache(house.cache_dir), house).build([item])


def test_another_configuration_is_refused(item, house) -> None:
    with pytest.raises(EngineError, match="another configuration") as caught:
        DockerBuilder(Engine(item, config={"WorkingDir": "/"}), LayerCache(house.cache_dir), house).build([item])
    assert "WorkingDir is '/', not '/home/ray/app'" in caught.value.why


def test_steps_that_do_not_match_layers_get_plain_titles(item, house) -> None:
    engine = Engine(item, layers=tuple(archive({name: b""}) for name in "abcd"))
    builder = DockerBuilder(engine, LayerCache(house.cache_dir), house)
    [built] = builder.export([item], builder.build([item]))
    assert [layer.title for layer in built.layers[1:]][-1] == "step 4 of the Dockerfile"


def test_a_build_that_is_interrupted_is_no_failure(item, house) -> None:
    class Stopped(Listener):
        def task(self, label, total=None):
            task = super().task(label, total)

            def advance(count: int) -> None:
                if label.startswith("docker build"):
                    raise KeyboardInterrupt

            return SimpleNamespace(advance=advance, done=task.done)

    engine = Engine(item)
    engine.api.build = lambda **_: [{"error": "context canceled"}]
    with pytest.raises(KeyboardInterrupt):
        DockerBuilder(engine, LayerCache(house.cache_dir), house, Stopped()).build([item])


def test_an_image_gets_a_name(item, house) -> None:
    engine = Engine(item)
    builder = DockerBuilder(engine, LayerCache(house.cache_dir), house)
    builder.tag("sha256:built", "registry.example.com:5000/team/x:v1-head")
    assert engine.tagged == [("registry.example.com:5000/team/x", "v1-head")]
    assert builder.architecture == "amd64"
    engine.images.get = lambda name: (_ for _ in ()).throw(APIError("refused"))
    with pytest.raises(EngineError, match="refused"):
        builder.tag("sha256:built", "x:v1")


def test_two_projects_have_two_contexts(item, house, tmp_path: Path) -> None:
    other = replace(item, project=tmp_path / "elsewhere")
    DockerBuilder(Engine(item), LayerCache(house.cache_dir), house).build([item, other])
    contexts = [path for path in (tmp_path / "cache/docker").iterdir() if path.is_dir()]
    assert len(contexts) == 2
    assert all((path / "Dockerfile").is_file() for path in contexts)


def test_the_base_blob_comes_from_the_base(item, house) -> None:
    builder = DockerBuilder(Engine(item), LayerCache(house.cache_dir), house)
    [built] = builder.export([item], builder.build([item]))
    base = item.base.manifest.layers[0]
    with item.base.source.open_blob(base) as there, built.blobs[0].open() as here:
        assert io.BytesIO(here.read()).getvalue() == there.read()
