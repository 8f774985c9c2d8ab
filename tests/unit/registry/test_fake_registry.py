"""The oracle of the other tests has to be strict itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import urllib3

from rayimage.model import media
from rayimage.model.digest import Digest
from tests.support.fake_registry import FakeRegistry

CONFIG = {"mediaType": media.OCI_CONFIG, "digest": str(Digest.of(b"{}")), "size": 2}
MANIFEST = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": CONFIG, "layers": []}


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    manager = urllib3.PoolManager()
    yield manager
    manager.clear()


@pytest.mark.parametrize(
    ("data", "kind", "target", "code"),
    [
        (MANIFEST, media.OCI_MANIFEST, "v1", ""),
        (MANIFEST, media.DOCKER_MANIFEST, "v1", "MANIFEST_INVALID"),
        (MANIFEST, "application/json", "v1", "MANIFEST_INVALID"),
        (MANIFEST, media.OCI_MANIFEST, f"sha256:{'0' * 64}", "DIGEST_INVALID"),
        (MANIFEST, media.OCI_MANIFEST, ".v1", "TAG_INVALID"),
        (MANIFEST | {"layers": [CONFIG | {"digest": f"sha256:{'0' * 64}"}]}, media.OCI_MANIFEST, "v1", "BLOB_UNKNOWN"),
        (MANIFEST | {"layers": [{"mediaType": "a/foreign", "digest": "x", "size": 1}]}, media.OCI_MANIFEST, "v1", ""),
        ({"mediaType": media.OCI_INDEX, "manifests": [CONFIG]}, media.OCI_INDEX, "v1", "BLOB_UNKNOWN"),
    ],
)
def test_manifests(http: urllib3.PoolManager, data: object, kind: str, target: str, code: str) -> None:
    with FakeRegistry() as registry:
        registry.put_blob("a", b"{}")
        url = f"http://{registry.host}/v2/a/manifests/{target}"
        answer = http.request("PUT", url, body=json.dumps(data).encode(), headers={"Content-Type": kind})
        assert answer.status == (400 if code else 201)
        assert code in answer.data.decode()
        assert bool(registry.manifests["a"]) == (not code)


def test_chunks_have_to_be_in_order(http: urllib3.PoolManager) -> None:
    with FakeRegistry() as registry:
        base = f"http://{registry.host}"
        at = http.request("POST", f"{base}/v2/a/blobs/uploads/").headers["Location"]
        second = http.request("PATCH", base + at, body=b"two", headers={"Content-Range": "3-5"})
        assert second.status == 416
        first = http.request("PATCH", base + at, body=b"one", headers={"Content-Range": "0-2"})
        assert (first.status, first.headers["Range"]) == (202, "0-2")
        assert http.request("PATCH", base + at, body=b"two").status == 416  # the old Location
        end = f"{base}{first.headers['Location']}&digest={Digest.of(b'other')}"
        assert http.request("PUT", end).status == 400
        assert not registry.blobs["a"]


def test_mount_needs_from(http: urllib3.PoolManager) -> None:
    with FakeRegistry() as registry:
        url = f"http://{registry.host}/v2/a/blobs/uploads/?mount={Digest.of(b'x')}"
        assert http.request("POST", url).status == 400


def test_credentials_at_the_storage_fail_the_test(http: urllib3.PoolManager) -> None:
    with pytest.raises(AssertionError, match="credentials were sent to storage"), FakeRegistry() as registry:
        http.request("GET", f"http://{registry.storage_host}/x", headers={"Authorization": "Basic x"})
