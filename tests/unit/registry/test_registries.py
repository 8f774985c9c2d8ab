from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rayimage.errors import RegistryError
from rayimage.http.patience import RetryPolicy
from rayimage.http.transport import Transport
from rayimage.model.content import Outcome
from rayimage.model.reference import Reference
from rayimage.registry import Registries
from rayimage.registry.failures import REGISTRY
from rayimage.registry.keychain import Keychain
from tests.support.fake_registry import FakeRegistry
from tests.unit.registry.conftest import blob_of

Open = Callable[..., Registries]


@pytest.fixture
def registries(tmp_path: Path) -> Iterator[Open]:
    """``registries(fake)`` knows how to log in to it."""
    opened = []

    def open_them(*fakes: FakeRegistry) -> Registries:
        auth = {"auth": base64.b64encode(b"user:secret").decode()}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {fake.host: auth for fake in fakes}}))
        transport = Transport(REGISTRY, policy=RetryPolicy(attempts=2, sleep=lambda _: None))
        opened.append(Registries(transport=transport, keychain=Keychain((tmp_path / "config.json",))))
        return opened[-1]

    yield open_them
    for each in opened:
        each.close()


def statuses(fake: FakeRegistry) -> list[str]:
    return [
        f"{request.method} {'authorized' if 'authorization' in request.headers else 'bare'}"
        for request in fake.requests
    ]


def test_what_one_repository_learns_about_logging_in_holds_for_the_next(registries: Open) -> None:
    with FakeRegistry(auth="bearer", anonymous=False) as fake:
        opened = registries(fake)
        base = opened.open(Reference(fake.host, "base/ray"))
        assert base.find_manifest("v1") is None
        assert statuses(fake) == ["GET bare", "GET authorized", "GET authorized"]
        fake.requests.clear()
        target = opened.open(Reference(fake.host, "team/app"), mount_from=[base.name])
        assert target.head("v1") is None
        assert target.put_blob(blob_of(b"layer")) is Outcome.UPLOADED
        methods = [request.method for request in fake.requests if "manifests" not in request.path]
        assert methods == ["GET", "HEAD", "POST", "PUT"]
        [token] = [request.path for request in fake.requests if request.path.startswith("/token")]
        assert token.count("scope=") == 2, "the scope of the first repository's challenge is not asked for as well"


@pytest.mark.parametrize("auth", ["bearer", "basic"])
def test_a_crowd_of_first_requests_meets_one_401(registries: Open, auth: str) -> None:
    with FakeRegistry(auth=auth, anonymous=False) as fake:
        repository = registries(fake).open(Reference(fake.host, "team/app"))
        digests = [blob_of(b"%d" % number).descriptor.digest for number in range(20)]
        with ThreadPoolExecutor(16) as pool:
            assert not any(pool.map(repository.has_blob, digests))
        assert statuses(fake).count("HEAD bare") == 1
        assert statuses(fake).count("HEAD authorized") == 20
        assert fake.count("GET", "/token") == (1 if auth == "bearer" else 0)


def test_without_a_login_basic_is_not_answered_before_it_is_asked_for(tmp_path: Path) -> None:
    with FakeRegistry(auth="basic") as fake:
        opened = Registries(transport=Transport(REGISTRY), keychain=Keychain(()))
        for name in ("base/ray", "team/app"):
            with pytest.raises(RegistryError, match="not logged in"):
                opened.open(Reference(fake.host, name)).find_manifest("v1")
        assert statuses(fake) == ["GET bare", "GET bare"]
        opened.close()


def test_readers_of_one_repository_share_it(registries: Open) -> None:
    with FakeRegistry() as fake:
        opened = registries(fake)
        name = Reference(fake.host, "base/ray")
        assert opened.open(name.with_tag("a")) is opened.open(name.with_tag("b"))
        assert opened.open(name) is not opened.open(Reference(fake.host, "base/other"))
        assert opened.open(name, mount_from=[Reference(fake.host, "x")]) is not opened.open(name)


def test_a_registry_that_is_gone_does_not_hold_the_crowd_up(registries: Open) -> None:
    with FakeRegistry() as fake:
        repository = registries(fake).open(Reference(fake.host, "team/app"))
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(repository.has_blob, blob_of(b"%d" % number).descriptor.digest) for number in range(8)]
        assert all(isinstance(each.exception(timeout=30), RegistryError) for each in tries)


def test_base_layers_stream_from_registry_to_registry_and_only_what_is_missing(
    registries: Open, payload: bytes
) -> None:
    with (
        FakeRegistry(cut_blob_after=1_000_000, redirect_blobs=True) as source,
        FakeRegistry(cut_upload_after=2_000_000) as target,
    ):
        opened = registries(source, target)
        there, missing = blob_of(payload), blob_of(payload[1:])
        for blob in (payload, payload[1:]):
            source.put_blob("base/ray", blob)
        target.put_blob("team/app", payload)
        base = opened.open(Reference(source.host, "base/ray"))
        app = opened.open(Reference(target.host, "team/app"), mount_from=[base.name])
        blobs = [
            type(blob)(descriptor=blob.descriptor, open=lambda d=blob.descriptor: base.open_blob(d), origin=base.name)
            for blob in (there, missing)
        ]
        assert [app.put_blob(blob) for blob in blobs] == [Outcome.EXISTS, Outcome.UPLOADED]
        assert source.count("GET", str(there.descriptor.digest)) == 0
        assert target.blobs["team/app"][str(missing.descriptor.digest)] == payload[1:]
        assert target.received == len(payload) - 1
        assert target.count("POST", "mount=") == 0
        assert source.cuts == target.cuts == 0, "both were cut on the way"
