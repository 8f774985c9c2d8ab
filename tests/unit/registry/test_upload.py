from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from time import sleep

import pytest

from rayimage.errors import AuthError, ContentError, RegistryError
from rayimage.model.content import Blob, Outcome
from rayimage.model.reference import Reference
from rayimage.registry import quirks, transfer, upload
from rayimage.registry.host import UPLOADS
from tests.support.fake_registry import FakeRegistry
from tests.unit.registry.conftest import Connect, blob_of


class Killed(BaseException):
    """What ends the first process of a test."""


def blob_until(data: bytes, end: int) -> Blob:
    """A blob whose sender does not live to read more than ``end`` bytes."""

    class Mortal(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() + (size or 0) > end:
                raise Killed
            return super().read(size)

    @contextmanager
    def open_it():
        yield Mortal(data)

    return Blob(descriptor=blob_of(data).descriptor, open=open_it)


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
        "switch", [{"refuse_mounts": True}, *({"mount_status": status} for status in (400, 401, 403, 404, 405, 500))]
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

    def test_a_registry_that_forgets_and_always_cuts_gets_smaller_bodies(
        self, connect: Connect, payload: bytes
    ) -> None:
        """A proxy that allows a request 60 seconds, in bytes."""
        with FakeRegistry(cut_upload_after=2_500_000, cuts=1000, keep_cut_uploads=False) as registry:
            repository = connect(registry)
            assert repository.put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert {request.length for request in registry.requests if request.method == "PATCH"} == {
                1048576,
                len(payload) - 3 * 1048576,
            }
            before = registry.received
            assert repository.put_blob(blob_of(payload[1:])) is Outcome.UPLOADED
            assert registry.received - before == len(payload) - 1, "what was learned holds for the next blob"

    @pytest.mark.parametrize("keep", [True, False])
    def test_a_lost_answer_to_the_last_request_is_not_a_lost_blob(
        self, connect: Connect, payload: bytes, keep: bool
    ) -> None:
        with FakeRegistry(lost_commits=1, keep_cut_uploads=keep) as registry:
            assert connect(registry).put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert registry.received == len(payload)
            assert registry.count("POST") == 1

    @pytest.mark.parametrize(
        "told", ["0-0", "0-99999999", "bytes 5-7", "7-9", "0--1", "junk", "0-500000", "0-3000000", "0-999999"]
    )
    def test_a_wrong_range_costs_bytes_and_not_the_blob(self, connect: Connect, payload: bytes, told: str) -> None:
        with FakeRegistry(cut_upload_after=1_000_000, told_range=told) as registry:
            sent: list[int] = []
            assert connect(registry).put_blob(blob_of(payload), sent.append) is Outcome.UPLOADED
            assert list(registry.blobs["team/app"].values()) == [payload]
            assert sum(sent) == len(payload)
            assert registry.received <= 3 * len(payload)
            assert not registry.uploads, "what is not continued is cancelled"

    def test_nothing_is_sent_twice_into_one_upload(self, connect: Connect, payload: bytes) -> None:
        with FakeRegistry(cut_upload_after=300_000, cuts=3) as registry:
            assert connect(registry).put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert registry.received == len(payload)

    @pytest.mark.parametrize("absolute", [True, False])
    def test_the_location_may_be_absolute(self, connect: Connect, payload: bytes, absolute: bool) -> None:
        with FakeRegistry(absolute_locations=absolute, cut_upload_after=1_000_000) as registry:
            assert connect(registry).put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert registry.received == len(payload)


class TestLaterProcess:
    """What one process began and could not end, the next one ends."""

    @pytest.fixture(autouse=True)
    def _small_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upload, "_REMEMBERED", 1_000_000)

    @pytest.fixture
    def journal(self, tmp_path: Path) -> Path:
        return tmp_path / "uploads"

    def begin(
        self, connect: Connect, registry: FakeRegistry, payload: bytes, journal: Path, end: int = 2_000_000
    ) -> int:
        """The first process: killed after ``end`` bytes. Returns how many the registry has of them."""
        with pytest.raises(Killed):
            connect(registry, journal=journal).put_blob(blob_until(payload, end))
        seen = -1
        while seen != registry.received:
            seen = registry.received
            sleep(0.05)
        return seen

    def test_sends_the_rest_only(self, connect: Connect, payload: bytes, journal: Path) -> None:
        with FakeRegistry() as registry:
            there = self.begin(connect, registry, payload, journal)
            assert there > 1_000_000
            sent: list[int] = []
            assert connect(registry, journal=journal).put_blob(blob_of(payload), sent.append) is Outcome.UPLOADED
            assert registry.received == sum(sent) == len(payload)
            assert registry.count("POST") == 1
            assert list(registry.blobs["team/app"].values()) == [payload]
            assert not list(journal.rglob("upload.json"))

    def test_chunks_are_continued_too(
        self, connect: Connect, payload: bytes, journal: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transfer, "_LARGE", 2_000_000)
        monkeypatch.setattr(transfer, "_CHUNKS", (1_000_000,))
        with FakeRegistry() as registry:
            self.begin(connect, registry, payload, journal, end=2_300_000)
            connect(registry, journal=journal).put_blob(blob_of(payload))
            assert registry.received == len(payload)
            assert registry.count("POST") == 1

    def test_starts_anew_when_the_registry_has_forgotten(self, connect: Connect, payload: bytes, journal: Path) -> None:
        with FakeRegistry() as registry:
            self.begin(connect, registry, payload, journal)
            registry.uploads.clear()
            assert connect(registry, journal=journal).put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert registry.count("POST") == 2

    def test_other_content_in_the_upload_is_found_out(self, connect: Connect, payload: bytes, journal: Path) -> None:
        with FakeRegistry() as registry:
            self.begin(connect, registry, payload, journal)
            for data in registry.uploads.values():
                data[0] ^= 1
            assert connect(registry, journal=journal).put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert list(registry.blobs["team/app"].values()) == [payload]

    @pytest.mark.parametrize("location", ["", "junk", "ftp://x/y", "/v2/team/app/blobs/uploads/none", "http://["])
    def test_an_address_of_no_use(self, connect: Connect, payload: bytes, journal: Path, location: str) -> None:
        with FakeRegistry() as registry:
            self.begin(connect, registry, payload, journal)
            [file] = journal.rglob("upload.json")
            file.write_text(json.dumps({"location": location}))
            assert connect(registry, journal=journal).put_blob(blob_of(payload)) is Outcome.UPLOADED

    def test_what_a_mount_opened_meanwhile_is_cancelled(self, connect: Connect, payload: bytes, journal: Path) -> None:
        with FakeRegistry(refuse_mounts=True) as registry:
            self.begin(connect, registry, payload, journal)
            blob = blob_of(payload, origin=Reference(registry.host, "base/ray"))
            assert connect(registry, journal=journal).put_blob(blob) is Outcome.UPLOADED
            assert registry.received == len(payload)
            assert not registry.uploads

    def test_small_blobs_are_not_remembered(self, connect: Connect, journal: Path) -> None:
        with FakeRegistry() as registry:
            with pytest.raises(Killed):
                connect(registry, journal=journal).put_blob(blob_until(b"x" * 900_000, 300_000))
            assert not journal.exists()

    def test_wrong_content_leaves_nothing_behind(self, connect: Connect, payload: bytes, journal: Path) -> None:
        with FakeRegistry() as registry:
            with pytest.raises(ContentError):
                connect(registry, journal=journal).put_blob(blob_of(payload, really=payload[:-1] + b"!"))
            assert not registry.uploads
            assert not list(journal.rglob("upload.json"))


class TestLargeBlobs:
    """They go in chunks before a limit is met; a registry that does not want that gets them in one piece."""

    @pytest.fixture(autouse=True)
    def _small_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transfer, "_LARGE", 2_000_000)
        monkeypatch.setattr(transfer, "_CHUNKS", (1_000_000,))

    def test_go_in_chunks(self, connect: Connect, payload: bytes) -> None:
        with FakeRegistry() as registry:
            assert connect(registry).put_blob(blob_of(payload)) is Outcome.UPLOADED
            lengths = [request.length for request in registry.requests if request.method == "PATCH"]
            assert lengths == [1_000_000] * 3 + [len(payload) - 3_000_000]
            assert connect(registry).put_blob(blob_of(payload[:2_000_000])) is Outcome.UPLOADED
            assert registry.count("PATCH") == 4

    @pytest.mark.parametrize("status", [404, 405, 416, 501])
    def test_but_in_one_piece_where_patch_is_refused(self, connect: Connect, payload: bytes, status: int) -> None:
        with FakeRegistry(patch=False, patch_status=status) as registry:
            repository = connect(registry)
            for data in (payload, payload[1:]):
                assert repository.put_blob(blob_of(data)) is Outcome.UPLOADED
            assert registry.count("PATCH") == 1, "and that is remembered"
            assert not registry.uploads


def test_a_registry_that_stored_something_else_is_found_out(connect: Connect) -> None:
    with FakeRegistry(lie_about_blobs=True) as registry:
        with pytest.raises(
            ContentError, match=r"changed on its way.*the registry says that it has sha256:000"
        ) as caught:
            connect(registry).put_blob(blob_of(b"layer"))
        assert caught.value.fix


class TestRateLimits:
    def test_one_that_is_told_to_wait_makes_the_others_wait(self, connect: Connect, naps: list[float]) -> None:
        with FakeRegistry(rate_limit=1, retry_after="9") as registry:
            repository = connect(registry)
            assert not repository.has_blob(blob_of(b"0").descriptor.digest)
            assert naps == [9.0]
            with ThreadPoolExecutor(8) as pool:
                assert not any(pool.map(lambda n: repository.has_blob(blob_of(b"%d" % n).descriptor.digest), range(8)))
            assert all(0 < nap <= 9.0 for nap in naps[1:])
            assert len(naps) > 1

    def test_no_upload_breaks(self, connect: Connect, payload: bytes) -> None:
        with FakeRegistry(rate_limit=3, retry_after="1") as registry:
            assert connect(registry).put_blob(blob_of(payload)) is Outcome.UPLOADED
            assert registry.received == len(payload)


def test_no_more_uploads_at_once_than_the_budget(connect: Connect) -> None:
    running, most, lock = 0, 0, threading.Lock()

    @contextmanager
    def counted(data: bytes):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        sleep(0.02)
        yield BytesIO(data)
        with lock:
            running -= 1

    with FakeRegistry() as registry:
        repository = connect(registry)
        parts = [b"%d" % number for number in range(16)]
        blobs = [Blob(descriptor=blob_of(part).descriptor, open=partial(counted, part)) for part in parts]
        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(repository.put_blob, blobs)) == {Outcome.UPLOADED}
    assert 1 < most <= UPLOADS


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
