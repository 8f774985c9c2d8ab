from __future__ import annotations

import json

import pytest

from rayimage.builders.shelf import STEP, WHEEL, Shelf
from rayimage.errors import AuthError, RegistryError
from rayimage.image.layout import OciLayout
from rayimage.model.digest import Digest
from tests.support.images import put_bytes
from tests.support.listener import Listener

KEY = Digest.of(b"key")


class Store(OciLayout):
    """A layout that answers as a repository does."""

    def find_manifest(self, target):
        entries = json.loads((self.path / "index.json").read_bytes())["manifests"]
        tags = [entry.get("annotations", {}).get("org.opencontainers.image.ref.name") for entry in entries]
        return self.get_manifest(target) if target in tags else None


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "store")


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "x-1-py3-none-any.whl"
    path.write_bytes(b"wheel")
    return path


def test_what_one_puts_another_finds(store, wheel, tmp_path):
    Shelf(lambda: store).put(WHEEL, KEY, wheel, {"note": "here"})
    (tmp_path / "to").mkdir()
    found = Shelf(lambda: store).find(WHEEL, KEY, None, tmp_path / "to")
    assert found.path == tmp_path / "to" / wheel.name
    assert found.path.read_bytes() == b"wheel"
    assert found.annotations["note"] == "here"
    assert Shelf(lambda: store).find(WHEEL, KEY, Digest.of(b"wheel"), tmp_path / "to")
    manifest = json.loads(store.get_manifest(f"wheel-{KEY.hex}").raw)
    assert manifest["artifactType"] == "application/vnd.rayimage.wheel.v1"


def test_what_is_not_there(store, wheel, tmp_path):
    shelf = Shelf(lambda: store)
    assert shelf.find(WHEEL, KEY, None, tmp_path) is None
    shelf.put(WHEEL, KEY, wheel)
    assert shelf.find(STEP, KEY, None, tmp_path) is None
    assert shelf.find(WHEEL, KEY, Digest.of(b"another"), tmp_path) is None
    assert Shelf().find(WHEEL, KEY, None, tmp_path) is None


def test_the_first_stays(store, wheel, tmp_path):
    shelf = Shelf(lambda: store)
    shelf.put(WHEEL, KEY, wheel)
    before = store.get_manifest(f"wheel-{KEY.hex}").digest
    wheel.write_bytes(b"another")
    shelf.put(WHEEL, KEY, wheel)
    assert store.get_manifest(f"wheel-{KEY.hex}").digest == before


def test_a_name_that_leads_elsewhere_is_not_taken(store, tmp_path):
    from rayimage.model import media
    from rayimage.model.manifest import Manifest

    data = put_bytes(store, b"wheel", WHEEL.media_type)
    layer = data.annotated(**{"org.opencontainers.image.title": "../out.whl"})
    config = put_bytes(store, b"{}", media.OCI_EMPTY)
    store.put_manifest(Manifest.build(config=config, layers=(layer,), annotations={}), f"wheel-{KEY.hex}")
    assert Shelf(lambda: store).find(WHEEL, KEY, None, tmp_path) is None


def test_a_repository_that_does_not_answer_is_asked_once(wheel, tmp_path):
    asked = []

    def refusing():
        asked.append(1)
        raise RegistryError("registry.example.com cannot be reached")

    listener = Listener()
    shelf = Shelf(refusing, listener)
    assert shelf.find(WHEEL, KEY, None, tmp_path) is None
    shelf.put(WHEEL, KEY, wheel)
    assert asked == [1]
    assert listener.warnings == [
        "built wheels cannot be taken from the repository: registry.example.com cannot be reached"
    ]


def test_who_may_not_push_goes_on(store, wheel, monkeypatch):
    def refused(*_):
        raise AuthError("401")

    monkeypatch.setattr(store, "put_blob", refused)
    listener = Listener()
    Shelf(lambda: store, listener).put(WHEEL, KEY, wheel)
    assert listener.warnings == [f"{wheel.name} cannot be pushed, so others have to make it themselves: 401"]
