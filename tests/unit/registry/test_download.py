from __future__ import annotations

import tarfile
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayimage.errors import AuthError, ContentError, RegistryError
from rayimage.model.descriptor import Descriptor
from rayimage.registry.repository import Repository
from tests.support.fake_registry import FakeRegistry
from tests.unit.registry.conftest import Connect, blob_of


def read(repository: Repository, descriptor: Descriptor, size: int = 70_000) -> bytes:
    with repository.open_blob(descriptor) as stream:
        return b"".join(iter(lambda: stream.read(size), b""))


def test_reads_a_blob(connect: Connect, payload: bytes) -> None:
    with FakeRegistry() as registry:
        registry.put_blob("team/app", payload)
        repository = connect(registry)
        assert read(repository, blob_of(payload).descriptor) == payload
        with repository.open_blob(blob_of(payload).descriptor) as stream:
            assert stream.read() == payload
            assert stream.read(1) == b""


def test_reads_an_empty_blob(connect: Connect) -> None:
    with FakeRegistry() as registry:
        registry.put_blob("team/app", b"")
        assert read(connect(registry), blob_of(b"").descriptor) == b""


def test_serves_libraries_that_want_a_file(connect: Connect) -> None:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    with FakeRegistry() as registry:
        registry.put_blob("team/app", buffer.getvalue())
        descriptor = blob_of(buffer.getvalue()).descriptor
        with (
            connect(registry).open_blob(descriptor) as stream,
            tarfile.open(fileobj=stream, mode="r|gz") as tar,  # type: ignore[call-overload]
        ):
            assert tar.getnames() == ["a"]


def test_may_be_left_in_the_middle(connect: Connect, payload: bytes) -> None:
    with FakeRegistry() as registry:
        registry.put_blob("team/app", payload)
        repository = connect(registry)
        for _ in range(20):  # more than there are connections
            with repository.open_blob(blob_of(payload).descriptor) as stream:
                assert stream.read(10) == payload[:10]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("redirect", [True, False])
def test_continues_after_a_cut(connect: Connect, payload: bytes, ranges: bool, redirect: bool) -> None:
    with FakeRegistry(cut_blob_after=1_000_000, cuts=2, ranges=ranges, redirect_blobs=redirect) as registry:
        registry.put_blob("team/app", payload)
        assert read(connect(registry), blob_of(payload).descriptor) == payload
        asked = [
            request.headers.get("range") for request in registry.requests if "signature" in request.path or not redirect
        ]
        assert asked[:2] == [None, "bytes=1000000-"]


def test_gives_up_on_a_connection_that_is_always_cut(connect: Connect) -> None:
    with FakeRegistry(cut_blob_after=2, cuts=100) as registry:
        registry.put_blob("team/app", b"layer" * 100)
        with pytest.raises(RegistryError, match=r"cannot read blob sha256:.*lost the connection") as caught:
            read(connect(registry), blob_of(b"layer" * 100).descriptor)
        assert caught.value.fix
        assert registry.count("GET") == 5


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (b"laxer", "its bytes have the digest"),
        (b"laye", "it is 4 bytes long, not 5"),
        (b"layers", "it is 6 bytes long"),
    ],
)
def test_damaged_content(connect: Connect, held: bytes, why: str) -> None:
    with FakeRegistry() as registry:
        descriptor = blob_of(b"layer").descriptor
        registry.blobs["team/app"][str(descriptor.digest)] = held
        with pytest.raises(ContentError, match=why):
            read(connect(registry), descriptor)


def test_damage_is_noticed_before_the_last_bytes_are_handed_out(connect: Connect) -> None:
    with FakeRegistry() as registry:
        descriptor = blob_of(b"0123456789").descriptor
        registry.blobs["team/app"][str(descriptor.digest)] = b"0123456780"
        with connect(registry).open_blob(descriptor) as stream:
            assert stream.read(6) == b"012345"
            with pytest.raises(ContentError):
                stream.read(4)


def test_absent(connect: Connect) -> None:
    descriptor = blob_of(b"layer").descriptor
    with FakeRegistry() as registry:
        with pytest.raises(RegistryError, match=f"cannot read blob {descriptor.digest}.*404.*BLOB_UNKNOWN") as caught:
            read(connect(registry), descriptor)
        assert not isinstance(caught.value, AuthError)
        assert caught.value.fix


def test_no_credentials_for_the_storage_that_blobs_redirect_to(connect: Connect) -> None:
    with FakeRegistry(auth="bearer", anonymous=False, redirect_blobs=True) as registry:
        registry.put_blob("team/app", b"layer")
        assert read(connect(registry, login="user:secret"), blob_of(b"layer").descriptor) == b"layer"
        stored = next(request for request in registry.requests if "signature" in request.path)
        assert "authorization" not in stored.headers


def test_a_storage_error_does_not_tell_the_signature(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeRegistry(redirect_blobs=True) as registry:
        registry.put_blob("team/app", b"layer")
        registry._storage.stop()
        with pytest.raises(RegistryError, match=f"cannot reach {registry.storage_host}") as caught:
            read(connect(registry), blob_of(b"layer").descriptor)
        assert "hush" not in f"{caught.value} {caught.value.fix}"
        monkeypatch.setattr(registry._storage, "stop", lambda: None)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=3000), cut=st.integers(0, 3000), cuts=st.integers(0, 4), size=st.integers(1, 4000))
def test_however_it_is_cut_and_read_the_bytes_are_the_same(
    connect: Connect, data: bytes, cut: int, cuts: int, size: int
) -> None:
    with FakeRegistry(cut_blob_after=cut, cuts=cuts) as registry:
        registry.put_blob("team/app", data)
        repository = connect(registry)
        assert read(repository, blob_of(data).descriptor, size) == data
        repository.close()
