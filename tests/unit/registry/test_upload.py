from __future__ import annotations

from contextlib import contextmanager
from io import BytesIO

import pytest

from rayimage.errors import AuthError, ContentError, RegistryError
from rayimage.model.content import Blob, Outcome
from rayimage.model.reference import Reference
from rayimage.registry import quirks, transfer
from tests.support.fake_registry import FakeRegistry
from tests.unit.registry.conftest import Connect, blob_of


def test_uploads_in_one_request_and_then_finds_it(connect: Connect, payload: bytes) -> None:
    with FakeRegistry() as registry:
        repository, blob, sent = connect(registry), blob_of(payload), []
        assert repository.put_blob(blob, sent.append) is Outcome.UPLOADED
        assert registry.blobs["team/app"] == {str(blob.descriptor.digest): payload}
        assert sum(sent) == len(payload)
        assert [request.method for request in registry.requests] == ["HEAD", "POST", "PUT"]
        assert repository.put_blob(blob) is Outcome.EXISTS


def test_uploads_an_empty_blob(connect: Connect) -> None:
    with FakeRegistry() as registry:
        assert connect(registry).put_blob(blob_of(b"")) is Outcome.UPLOADED
        assert list(registry.blobs["team/app"].values()) == [b""]


def test_memory_does_not_grow_with_the_blob(connect: Connect, payload: bytes) -> None:
    sizes = []

    class Watched(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(size)
            return super().read(size)

    with FakeRegistry() as registry:
        descriptor = blob_of(payload).descriptor

        @contextmanager
        def open_it():
            yield Watched(payload)

        connect(registry).put_blob(Blob(descriptor=descriptor, open=open_it))
    assert max(sizes) <= 1024 * 1024
    assert min(sizes) > 0


@pytest.mark.parametrize(
    ("really", "why"),
    [
        (b"x" * 600_000, "digest sha256:"),
        (b"y" * 599_999, "it ends after 599999 bytes, not 600000"),
        (b"y" * 600_001, "it is longer than 600000 bytes"),
        (b"", "it ends after 0 bytes"),
    ],
)
def test_content_that_is_not_the_descriptors_never_arrives(connect: Connect, really: bytes, why: str) -> None:
    with FakeRegistry() as registry:
        with pytest.raises(ContentError, match=why):
            connect(registry).put_blob(blob_of(b"y" * 600_000, really=really))
        assert not registry.blobs["team/app"]


def test_an_unreadable_source_is_a_content_error_and_no_retry(connect: Connect) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    @contextmanager
    def open_it():
        yield Broken()

    with FakeRegistry() as registry:
        blob = Blob(descriptor=blob_of(b"abc").descriptor, open=open_it)
        with pytest.raises(ContentError, match="Input/output error"):
            connect(registry).put_blob(blob)
        assert registry.count("POST") == 1


class TestMount:
    def test_from_a_sibling(self, connect: Connect) -> None:
        with FakeRegistry() as registry:
            digest = registry.put_blob("base/ray", b"layer")
            blob = blob_of(b"layer", origin=Reference(registry.host, "base/ray"))
            assert connect(registry).put_blob(blob) is Outcome.MOUNTED
            assert registry.mounts == [("base/ray", "team/app", str(digest))]

    def test_a_token_covers_both_repositories_with_the_destination_first(self, connect: Connect) -> None:
        with FakeRegistry(auth="bearer") as registry:
            registry.put_blob("base/ray", b"layer")
            blob = blob_of(b"layer", origin=Reference(registry.host, "base/ray"))
            repository = connect(registry, login="user:secret", mount=("base/ray",))
            assert repository.put_blob(blob) is Outcome.MOUNTED
            tokens = [request.path for request in registry.requests if request.path.startswith("/token")]
            assert len(tokens) == 1
            assert tokens[0].index("team%2Fapp%3Apull%2Cpush") < tokens[0].index("base%2Fray%3Apull")

    @pytest.mark.parametrize(
        "switch", [{"refuse_mounts": True}, {"mount_status": 403}, {"mount_status": 401}, {"mount_status": 500}]
    )
    def test_refused_becomes_an_upload(self, connect: Connect, switch: dict[str, int]) -> None:
        with FakeRegistry(**switch) as registry:
            registry.put_blob("base/ray", b"layer")
            blob = blob_of(b"layer", origin=Reference(registry.host, "base/ray"))
            assert connect(registry).put_blob(blob) is Outcome.UPLOADED
            assert len(registry.blobs["team/app"]) == 1

    def test_202_is_used_rather_than_left_behind(self, connect: Connect) -> None:
        with FakeRegistry(refuse_mounts=True) as registry:
            connect(registry).put_blob(blob_of(b"layer", origin=Reference(registry.host, "base/ray")))
            assert registry.count("POST") == 1
            assert not registry.uploads

    def test_an_error_is_not_asked_for_again(self, connect: Connect) -> None:
        with FakeRegistry(mount_status=403) as registry:
            repository = connect(registry)
            for data in (b"one", b"two"):
                repository.put_blob(blob_of(data, origin=Reference(registry.host, "base/ray")))
            assert registry.count("POST", "mount=") == 1

    @pytest.mark.parametrize("origin", [Reference("elsewhere.example.com", "base/ray"), "same", None])
    def test_is_not_asked_for_where_it_makes_no_sense(self, connect: Connect, origin: Reference | str | None) -> None:
        with FakeRegistry() as registry:
            where = Reference(registry.host, "team/app") if isinstance(origin, str) else origin
            assert connect(registry).put_blob(blob_of(b"layer", origin=where)) is Outcome.UPLOADED
            assert registry.count("POST", "mount=") == 0


class TestCut:
    def test_continues_where_the_registry_is(self, connect: Connect, payload: bytes) -> None:
        with FakeRegistry(cut_upload_after=1_000_000) as registry:
            sent: list[int] = []
            assert connect(registry).put_blob(blob_of(payload), sent.append) is Outcome.UPLOADED
            assert list(registry.blobs["team/app"].values()) == [payload]
            patch = next(request for request in registry.requests if request.method == "PATCH")
            assert patch.headers["content-range"] == f"1000000-{len(payload) - 1}"
            assert sum(sent) == len(payload)
            assert registry.count("POST") == 1

    def test_starts_anew_where_the_upload_is_forgotten(self, connect: Connect, payload: bytes) -> None:
        with FakeRegistry(cut_upload_after=1_000_000, keep_cut_uploads=False) as registry:
            sent: list[int] = []
            assert connect(registry).put_blob(blob_of(payload), sent.append) is Outcome.UPLOADED
            assert registry.count("POST") == 2
            assert sum(sent) == len(payload)

    def test_starts_anew_where_patch_is_refused(self, connect: Connect, payload: bytes) -> None:
        with FakeRegistry(cut_upload_after=1_000_000, patch=False) as registry:
            assert connect(registry).put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert registry.count("PATCH") == 1
            assert registry.count("POST") == 2

    def test_starts_anew_where_that_is_known(
        self, connect: Connect, payload: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quirks, "_NONE", quirks.Quirks(resumes=False))
        with FakeRegistry(cut_upload_after=1_000_000) as registry:
            assert connect(registry).put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert registry.count("PATCH") == 0
            assert registry.count("GET") == 0

    def test_gives_up_in_the_end(self, connect: Connect, naps: list[float]) -> None:
        with FakeRegistry(cut_upload_after=0, cuts=1000) as registry:
            with pytest.raises(RegistryError, match=r"lost the connection to 127\.0\.0\.1") as caught:
                connect(registry).put_blob(blob_of(b"layer"))
            assert caught.value.fix
            assert registry.count("PUT") == 5
            assert naps == sorted(naps)

    def test_progress_renews_patience(self, connect: Connect, payload: bytes) -> None:
        # Each try brings a megabyte (of three and a half) and is cut: more cuts than a standstill would be allowed.
        with FakeRegistry(cut_upload_after=400_000, cuts=8) as registry:
            assert connect(registry).put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert registry.cuts == 0


class TestChunks:
    def test_after_a_413(self, connect: Connect, payload: bytes) -> None:
        with FakeRegistry(body_limit=2_000_000) as registry:
            repository = connect(registry)
            assert repository.put_blob(blob_of(payload)) is Outcome.UPLOADED
            lengths = [request.length for request in registry.requests if request.method == "PATCH"]
            assert lengths == [1048576, 1048576, 1048576, len(payload) - 3 * 1048576]
            assert repository.put_blob(blob_of(payload[1:])) is Outcome.UPLOADED
            assert registry.count("PUT") == 3  # refused, and one to end each upload: the limit is remembered

    def test_are_as_large_as_the_registry_wants(
        self, connect: Connect, payload: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transfer, "_CHUNKS", (1_500_000,))
        with FakeRegistry(body_limit=2_000_000, chunk_least=1_400_000) as registry:
            connect(registry).put_blob(blob_of(payload))
            assert [r.length for r in registry.requests if r.method == "PATCH"] == [1_500_000, 1_500_000, 670_016]

    @pytest.mark.parametrize("switch", [{"body_limit": 1000}, {"body_limit": 2_000_000, "chunk_least": 3_000_000}])
    def test_cannot_help_below_every_limit(self, connect: Connect, payload: bytes, switch: dict[str, int]) -> None:
        with FakeRegistry(**switch) as registry:
            with pytest.raises(RegistryError, match="413") as caught:
                connect(registry).put_blob(blob_of(payload))
            assert "client_max_body_size" in caught.value.fix

    def test_are_not_tried_where_they_are_known_to_fail(
        self, connect: Connect, payload: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quirks, "_NONE", quirks.Quirks(patches=False))
        with FakeRegistry(body_limit=2_000_000) as registry:
            with pytest.raises(RegistryError, match="413"):
                connect(registry).put_blob(blob_of(payload))
            assert registry.count("PATCH") == 0

    def test_a_refusal_of_patch_is_an_error(self, connect: Connect, payload: bytes) -> None:
        with FakeRegistry(body_limit=2_000_000, patch=False) as registry, pytest.raises(RegistryError, match="405"):
            connect(registry).put_blob(blob_of(payload))

    def test_continue_after_a_cut(self, connect: Connect, payload: bytes) -> None:
        with FakeRegistry(body_limit=2_000_000, cut_upload_after=500_000) as registry:
            assert connect(registry).put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert list(registry.blobs["team/app"].values()) == [payload]
            ranges = [r.headers["content-range"] for r in registry.requests if r.method == "PATCH"]
            assert ranges[:2] == ["0-1048575", "500000-1548575"]

    def test_wrong_content_is_stopped_before_the_last_of_it(self, connect: Connect, payload: bytes) -> None:
        with FakeRegistry(body_limit=2_000_000) as registry:
            with pytest.raises(ContentError):
                connect(registry).put_blob(blob_of(payload, really=payload[:-1] + b"!"))
            assert not registry.blobs["team/app"]


def test_a_token_that_expires_on_the_way_is_renewed(connect: Connect) -> None:
    with FakeRegistry(auth="bearer") as registry:
        passes = []

        @contextmanager
        def open_late():
            if not passes:
                registry.expire_tokens()
            passes.append(1)
            yield BytesIO(b"layer")

        blob = Blob(descriptor=blob_of(b"layer").descriptor, open=open_late)
        assert connect(registry, login="user:secret").put_blob(blob) is Outcome.UPLOADED
        assert registry.count("GET", "/token") == 2
        assert len(passes) == 2


def test_a_registry_that_answers_500_is_asked_again(connect: Connect, naps: list[float]) -> None:
    with FakeRegistry(server_errors=3) as registry:
        assert connect(registry).put_blob(blob_of(b"layer")) is Outcome.UPLOADED
        assert naps == [0.4, 0.8, 1.6]


def test_forbidden(connect: Connect) -> None:
    with FakeRegistry(refuse_push=True, auth="basic") as registry:
        with pytest.raises(AuthError, match=r"403 Forbidden.*DENIED.*config.json entry for 127.0.0.1") as caught:
            connect(registry, login="user:secret").put_blob(blob_of(b"layer"))
        assert f"docker login {registry.host}" in caught.value.fix
        assert "secret" not in str(caught.value)
