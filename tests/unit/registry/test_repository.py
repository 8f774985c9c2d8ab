from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from rayimage.errors import AuthError, ContentError, RegistryError
from rayimage.model import media
from rayimage.model.content import ContentStore, Outcome
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest, parse_manifest
from rayimage.model.platform import Platform
from rayimage.model.reference import Reference
from rayimage.registry import open_repository
from rayimage.registry.repository import Repository
from tests.support.fake_registry import FakeRegistry
from tests.unit.registry.conftest import Connect, blob_of

CONFIG = b'{"architecture":"amd64","os":"linux"}'


def image(*layers: bytes) -> Manifest:
    config = Descriptor(media_type=media.OCI_CONFIG, digest=Digest.of(CONFIG), size=len(CONFIG))
    descriptors = tuple(
        Descriptor(media_type=media.OCI_LAYER_GZIP, digest=Digest.of(layer), size=len(layer)) for layer in layers
    )
    return Manifest.build(config=config, layers=descriptors, annotations={"a": "ü"})


def push(repository: Repository, *layers: bytes, tag: str = "") -> Manifest:
    for data in (CONFIG, *layers):
        repository.put_blob(blob_of(data))
    repository.put_manifest(image(*layers), tag)
    return image(*layers)


def test_is_a_content_store() -> None:
    with open_repository(Reference.parse("registry.example.com/team/app:1")) as repository:
        store: ContentStore = repository
        assert repository.name == Reference.parse("registry.example.com/team/app")
        assert callable(store.put_blob)


def test_round_trip_by_tag_and_digest(connect: Connect) -> None:
    with FakeRegistry() as registry:
        repository = connect(registry)
        manifest = push(repository, b"one", b"two", tag="v1")
        assert repository.get_manifest("v1") == manifest
        assert repository.get_manifest(str(manifest.digest)).raw == manifest.raw
        assert repository.head("v1") == manifest.descriptor
        assert repository.has_blob(Digest.of(b"one"))
        assert not repository.has_blob(Digest.of(b"three"))
        assert registry.tags["team/app"] == {"v1": str(manifest.digest)}


def test_foreign_bytes_are_kept_as_they_are(connect: Connect) -> None:
    with FakeRegistry() as registry:
        repository = connect(registry)
        data = json.loads(push(repository, b"one").raw)
        raw = json.dumps(data | {"mediaType": media.DOCKER_MANIFEST}, indent=3).encode() + b"\n"
        manifest = parse_manifest(raw)
        repository.put_manifest(manifest, "odd")
        assert registry.manifests["team/app"][str(manifest.digest)] == (media.DOCKER_MANIFEST, raw)
        assert repository.get_manifest("odd").raw == raw


def test_an_index_goes_after_its_children(connect: Connect) -> None:
    child = image(b"one").descriptor
    platform = Platform("linux", "amd64")
    index = Index.build(
        manifests=(Descriptor(media_type=child.media_type, digest=child.digest, size=child.size, platform=platform),),
        annotations={},
    )
    with FakeRegistry() as registry:
        repository = connect(registry)
        with pytest.raises(RegistryError, match="MANIFEST_BLOB_UNKNOWN"):
            repository.put_manifest(index, "v1")
        assert not registry.tags["team/app"]
        push(repository, b"one")
        repository.put_manifest(index, "v1")
        assert repository.get_manifest("v1") == index


def test_a_manifest_without_its_blobs_is_refused_with_a_reason(connect: Connect) -> None:
    with FakeRegistry() as registry:
        with pytest.raises(RegistryError, match=r"cannot push 127.*team/app:v1: 400 .*MANIFEST_BLOB_UNKNOWN") as caught:
            connect(registry).put_manifest(image(b"one"), "v1")
        assert caught.value.fix


def test_absent(connect: Connect) -> None:
    with FakeRegistry() as registry:
        repository = connect(registry)
        with pytest.raises(RegistryError, match=r"team/app:nope: 404 Not Found \(MANIFEST_UNKNOWN") as caught:
            repository.get_manifest("nope")
        assert not isinstance(caught.value, AuthError)
        assert "check the name" in caught.value.fix
        assert repository.find_manifest("nope") is None
        assert repository.head("nope") is None


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_forbidden_is_not_absent(connect: Connect, auth: str) -> None:
    with FakeRegistry(auth=auth, anonymous=False) as registry:
        for ask in (Repository.find_manifest, Repository.get_manifest, Repository.head):
            with pytest.raises(AuthError, match="anonymous") as caught:
                ask(connect(registry), "v1")
            assert f"docker login {registry.host}" in caught.value.fix


def test_other_bytes_than_the_digest_asked_for(connect: Connect) -> None:
    with FakeRegistry() as registry:
        repository = connect(registry)
        manifest = push(repository, b"one")
        stored = registry.manifests["team/app"]
        stored[str(manifest.digest)] = stored[str(manifest.digest)]._replace(raw=image().raw)
        with pytest.raises(ContentError, match="is not what was asked for"):
            repository.get_manifest(str(manifest.digest))


def test_a_registry_that_names_another_digest(connect: Connect) -> None:
    with FakeRegistry(lie_about_digest=True) as registry:
        repository = connect(registry)
        with pytest.raises(ContentError, match="changed on its way"):
            push(repository, b"one", tag="v1")
        with pytest.raises(ContentError, match="changed on its way"):
            repository.get_manifest("v1")


def test_head_without_the_digest_header_reads_the_manifest(connect: Connect) -> None:
    with FakeRegistry(digest_header=False) as registry:
        repository = connect(registry)
        manifest = push(repository, b"one", tag="v1")
        assert repository.head("v1") == manifest.descriptor
        assert registry.count("GET", "manifests/v1") == 1


def test_what_is_no_manifest(connect: Connect) -> None:
    with FakeRegistry() as registry:
        repository = connect(registry)
        digest = push(repository, b"one", tag="v1").digest
        registry.manifests["team/app"][str(digest)] = registry.manifests["team/app"][str(digest)]._replace(raw=b"<p>")
        with pytest.raises(ContentError):
            repository.get_manifest("v1")


def test_a_manifest_without_end(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayimage.registry.repository._MANIFEST_LIMIT", 100)
    with FakeRegistry() as registry:
        repository = connect(registry)
        push(repository, b"one", tag="v1")
        with pytest.raises(RegistryError, match="longer than 100 bytes"):
            repository.get_manifest("v1")


def test_many_threads(connect: Connect) -> None:
    with FakeRegistry(auth="bearer") as registry, ThreadPoolExecutor(24) as pool:
        repository = connect(registry, login="user:secret")
        blobs = [blob_of(bytes([number]) * 1000) for number in range(48)]
        assert set(pool.map(repository.put_blob, blobs)) == {Outcome.UPLOADED}
        assert len(registry.blobs["team/app"]) == 48
        assert registry.count("GET", "/token") == 1


def test_rate_limit_is_waited_for(connect: Connect, naps: list[float]) -> None:
    with FakeRegistry(rate_limit=2, retry_after="7") as registry:
        assert connect(registry).find_manifest("v1") is None
        assert naps == [7.0, 7.0]


def test_rate_limit_without_end(connect: Connect) -> None:
    with FakeRegistry(rate_limit=1000) as registry:
        with pytest.raises(RegistryError, match="429 Too Many Requests") as caught:
            connect(registry).get_manifest("v1")
        assert "log in" in caught.value.fix
        assert len(registry.requests) == 5


def test_out_of_order_without_end(connect: Connect) -> None:
    with FakeRegistry(server_errors=1000) as registry:
        with pytest.raises(
            RegistryError, match=r"app:v1: 500 Internal Server Error \(UNKNOWN out of order\)"
        ) as caught:
            connect(registry).get_manifest("v1")
        assert caught.value.fix
        assert not isinstance(caught.value, AuthError)


@pytest.mark.parametrize("ask", [lambda r: r.head("v1"), lambda r: r.has_blob(Digest.of(b""))])
def test_out_of_order_without_a_body_to_say_so(connect: Connect, ask: Callable[[Repository], object]) -> None:
    with FakeRegistry(server_errors=1000) as registry:
        with pytest.raises(RegistryError, match=r"cannot look .*: 500 Internal Server Error"):
            ask(connect(registry))
        assert len(registry.requests) == 5
