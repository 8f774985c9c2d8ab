from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from rayimage.base import INVENTORY_FORMAT
from rayimage.builders.remote_cache import (
    CACHE_TAG,
    BaseDocuments,
    KnownLayer,
    News,
    PushedLayer,
    Record,
    RemoteCache,
    current_checked_name,
    update_cache,
)
from rayimage.builders.remote_cache.artifact import Contents, inventory_descriptor, write_artifact
from rayimage.builders.remote_cache.marks import Stored
from rayimage.errors import RegistryError
from rayimage.layers import FileInLayer
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest, canonical_json
from rayimage.model.progress import SILENT
from rayimage.model.reference import Reference
from tests.support.values import digest
from tests.unit.builders.remote_cache.samples import PLACE, Store, known

NUMPY, SCIPY = known("numpy"), known("scipy")
OTHER = Reference("registry.example.com", "team/other")
ABROAD = Reference("other.example.com", "team/app")
RECORD = Record((FileInLayer("/a", "sha256=x"),), ())


@dataclass
class Told:
    """A progress that remembers."""

    lines: list[str] = field(default_factory=list)

    stage = staticmethod(SILENT.stage)
    task = staticmethod(SILENT.task)

    def note(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"! {text}")


def store(*layers: KnownLayer, place: Reference = PLACE, **contents: object) -> Store:
    """A repository whose cache knows ``layers``, and that has them."""
    made = Store(name=place, sizes={layer.descriptor.digest: layer.descriptor.size for layer in layers})
    cache = Contents(layers={layer.key: layer for layer in layers}, **contents)  # type: ignore[arg-type]
    made.manifests[CACHE_TAG] = write_artifact(cache)
    return made


def image(*layers: KnownLayer, lock: str = "lock", version: str = "1", diff_ids: list[Digest] | None = None) -> Store:
    """A repository with an image of ``layers``, tagged v1 and under its digest."""
    told = [str(diff_id) for diff_id in (diff_ids or [layer.diff_id for layer in layers])]
    raw = canonical_json({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": told}})
    config = Descriptor(media_type=media.OCI_CONFIG, digest=Digest.of(raw), size=len(raw))
    manifest = Manifest.build(
        config=config,
        layers=tuple(layer.descriptor for layer in layers),
        annotations={"io.rayimage.lock": lock, "io.rayimage.version": version},
    )
    made = Store(blobs={config.digest: raw}, manifests={"v1": manifest, str(manifest.digest): manifest})
    made.sizes = {layer.descriptor.digest: layer.descriptor.size for layer in layers}
    return made


@contextmanager
def cache_of(
    target: Store, *others: Store, told: Told | None = None, pinned: tuple[Reference, ...] = (), **options: object
) -> Iterator[RemoteCache]:
    stores = {each.name: each for each in others}
    sources = options.pop("sources", tuple(each.name.with_tag(CACHE_TAG) for each in others))
    with RemoteCache(
        target,
        open_store=stores.__getitem__,
        pinned=pinned,
        sources=sources,  # type: ignore[arg-type]
        progress=told or Told(),
        **options,  # type: ignore[arg-type]
    ) as cache:
        yield cache


class TestFind:
    def test_what_is_known_and_there(self) -> None:
        with cache_of(store(NUMPY, SCIPY)) as cache:
            assert set(cache.find([NUMPY.key, digest("unknown")])) == {NUMPY.key}

    @pytest.mark.parametrize("size", [99, 101, 0, -1])
    def test_another_length(self, size: int) -> None:
        told, target = Told(), store(NUMPY)
        target.sizes[NUMPY.descriptor.digest] = size
        with cache_of(target, told=told) as cache:
            assert not cache.find([NUMPY.key])
        assert any(line.startswith("! layer") for line in told.lines)

    def test_gone(self) -> None:
        told, target = Told(), store(NUMPY)
        target.sizes.clear()
        with cache_of(target, told=told) as cache:
            assert not cache.find([NUMPY.key])
        assert "no longer" in told.lines[0]

    def test_in_another_repository_of_the_registry(self) -> None:
        other = store(replace(NUMPY, place=OTHER), place=OTHER)
        with cache_of(Store(), other) as cache:
            assert cache.find([NUMPY.key])[NUMPY.key].place == OTHER

    def test_known_elsewhere_and_here(self) -> None:
        target = Store(sizes={NUMPY.descriptor.digest: 100})
        with cache_of(target, store(replace(NUMPY, place=ABROAD), place=ABROAD)) as cache:
            assert cache.find([NUMPY.key])[NUMPY.key].place == PLACE

    def test_only_in_another_registry(self) -> None:
        with cache_of(Store(), store(replace(NUMPY, place=ABROAD), place=ABROAD)) as cache:
            assert not cache.find([NUMPY.key])

    def test_a_registry_that_is_out_of_order(self) -> None:
        told = Told()
        with cache_of(Store(broken=True), told=told) as cache:
            assert not cache.find([NUMPY.key])
            assert cache.inventory(digest("base")) is None
            assert not cache.has([NUMPY.descriptor.digest])
        assert told.lines == [f"no layers are known from {PLACE}:{CACHE_TAG}: it is out of order"]

    def test_nothing_is_asked_about_unknown_layers(self) -> None:
        target = store(NUMPY)
        with cache_of(target) as cache:
            cache.find([digest("unknown")])
        assert target.asked == [f"manifest {CACHE_TAG}"]


class TestImages:
    def test_tell_of_their_layers_and_that_they_were_checked(self) -> None:
        target = image(NUMPY, lock=str(digest("lock")), version=_version())
        with cache_of(target, sources=(PLACE.with_tag("v1"),)) as cache:
            assert set(cache.find([NUMPY.key])) == {NUMPY.key}
            assert cache.was_checked(current_checked_name(digest("lock")))
            assert not cache.was_checked(current_checked_name(digest("other")))

    def test_of_another_version_were_not_checked_by_this_one(self) -> None:
        with cache_of(image(NUMPY, lock=str(digest("lock")), version="0"), sources=(PLACE.with_tag("v1"),)) as cache:
            assert not cache.was_checked(current_checked_name(digest("lock")))

    def test_of_others_tell_nothing(self) -> None:
        target = image(NUMPY)
        target.manifests["v1"] = Manifest.build(
            config=target.manifests["v1"].config, layers=(NUMPY.descriptor,), annotations={}
        )
        with cache_of(target, sources=(PLACE.with_tag("v1"),)) as cache:
            assert not cache.contents.layers

    def test_a_config_that_says_otherwise(self) -> None:
        told = Told()
        target = image(NUMPY, SCIPY, diff_ids=[digest("lie"), SCIPY.diff_id])
        with cache_of(target, told=told, sources=(PLACE.with_tag("v1"),)) as cache:
            assert set(cache.contents.layers) == {SCIPY.key}
        assert "by the image's config" in told.lines[0]

    def test_a_config_with_too_few_layers(self) -> None:
        target = image(NUMPY, SCIPY, diff_ids=[NUMPY.diff_id])
        with cache_of(target, sources=(PLACE.with_tag("v1"),)) as cache:
            assert not cache.contents.layers

    def test_an_index_is_all_its_images(self) -> None:
        target, more = image(NUMPY), image(SCIPY)
        children = [target.manifests["v1"], more.manifests["v1"]]
        target.manifests |= {str(child.digest): child for child in children}
        target.blobs |= more.blobs
        index = Index.build(manifests=tuple(child.descriptor for child in children), annotations={})
        target.manifests["v1"] = index
        with cache_of(target, sources=(PLACE.with_tag("v1"),)) as cache:
            assert set(cache.contents.layers) == {NUMPY.key, SCIPY.key}


class TestTrust:
    def lying(self) -> tuple[Store, Reference]:
        """A pinned image with the true layer, and a cache tag with another one under its key."""
        target = image(NUMPY)
        pinned = PLACE.with_digest(target.manifests["v1"].digest)
        lie = replace(known("lie"), key=NUMPY.key)
        from rayimage.builders.remote_cache import marked

        lie = replace(lie, descriptor=marked(replace(lie.descriptor, annotations={}), NUMPY.key, lie.diff_id))
        target.manifests[CACHE_TAG] = write_artifact(Contents(layers={lie.key: lie, SCIPY.key: SCIPY}))
        target.sizes |= {each.descriptor.digest: each.descriptor.size for each in (lie, SCIPY)}
        return target, pinned

    def test_a_digest_counts_more_than_a_tag(self) -> None:
        told = Told()
        target, pinned = self.lying()
        with cache_of(target, told=told, pinned=(pinned,)) as cache:
            assert cache.find([NUMPY.key, SCIPY.key]) == {NUMPY.key: NUMPY, SCIPY.key: SCIPY}
        assert "has another layer" in told.lines[0]

    def test_a_tag_counts_for_nothing_if_so_wished(self) -> None:
        target, pinned = self.lying()
        with cache_of(target, pinned=(pinned,), believe_tags=False) as cache:
            assert cache.find([NUMPY.key, SCIPY.key]) == {NUMPY.key: NUMPY}

    def test_what_differs_from_what_was_made(self) -> None:
        target, _ = self.lying()
        made = [PushedLayer(key=n.key, descriptor=n.descriptor, diff_id=n.diff_id, record=None) for n in (NUMPY, SCIPY)]
        with cache_of(target) as cache:
            [difference] = cache.differing(made)
        assert str(NUMPY.descriptor.digest) in difference


class TestInventory:
    def test_of_this_format_only(self) -> None:
        raw, base = b"an inventory", digest("base")
        stored = {
            (base, number): Stored(inventory_descriptor(raw, base, number), PLACE)
            for number in (INVENTORY_FORMAT, INVENTORY_FORMAT + 1)
        }
        target = store(inventories=stored)
        target.blobs[Digest.of(raw)] = raw
        with cache_of(target) as cache:
            assert cache.inventory(base) == raw
            assert cache.inventory(digest("another base")) is None
        older = store(inventories={(base, INVENTORY_FORMAT - 1): stored[base, INVENTORY_FORMAT]})
        del older.manifests[CACHE_TAG]
        with cache_of(older) as cache:
            assert cache.inventory(base) is None


class TestBase:
    DOCUMENTS = BaseDocuments(b'{"manifest": "\xc3\xbc"}', b'{"config": 1}')

    def test_manifest_and_config_travel_together(self) -> None:
        target, base = Store(), Digest.of(self.DOCUMENTS.manifest)
        with cache_of(target) as cache:
            assert cache.document(base) is None
            update_cache(cache, News(layers=(), inventories=(), bases={base: self.DOCUMENTS}, checked={}))
        target.asked.clear()
        with cache_of(target) as cache:
            assert cache.document(base) == self.DOCUMENTS.manifest
            assert cache.document(Digest.of(self.DOCUMENTS.config)) == self.DOCUMENTS.config
            assert cache.document(digest("other")) is None
        assert len(target.asked) == 2

    def test_another_base_in_its_place(self) -> None:
        target, base = Store(), digest("base")
        with cache_of(target) as cache:
            update_cache(cache, News(layers=(), inventories=(), bases={base: self.DOCUMENTS}, checked={}))
        with cache_of(target) as cache:
            assert cache.document(base) is None


class TestUpdate:
    def news(self, *layers: KnownLayer, record: Record | None = RECORD, checked: str = "set") -> News:
        pushed = [PushedLayer(key=n.key, descriptor=n.descriptor, diff_id=n.diff_id, record=record) for n in layers]
        return News(layers=tuple(pushed), inventories=(), bases={}, checked={digest(checked): ()})

    def test_writes_what_can_be_read(self) -> None:
        target = Store()
        with cache_of(target) as cache:
            assert update_cache(cache, self.news(NUMPY))
        target.sizes[NUMPY.descriptor.digest] = NUMPY.descriptor.size
        with cache_of(target) as cache:
            found = cache.find([NUMPY.key])
            assert cache.records(list(found.values())) == {NUMPY.key: RECORD}
            assert cache.packages([digest("set"), digest("other")]) == {digest("set"): ()}
            assert cache.was_checked(digest("set"))

    def test_writes_nothing_that_is_known(self) -> None:
        target = Store()
        with cache_of(target) as cache:
            update_cache(cache, self.news(NUMPY, SCIPY))
        with cache_of(target) as cache:
            target.asked.clear()
            assert not update_cache(cache, self.news(NUMPY))
            assert not update_cache(cache, self.news(NUMPY, record=None))
        assert not any(asked.startswith("put") for asked in target.asked)

    def test_keeps_what_others_wrote_meanwhile(self) -> None:
        target = Store()
        with cache_of(target) as late:
            assert not late.own.layers
            with cache_of(target) as cache:
                update_cache(cache, self.news(SCIPY, checked="another set"))
            update_cache(late, self.news(NUMPY))
        with cache_of(target) as cache:
            assert list(cache.contents.layers) == [NUMPY.key, SCIPY.key]
            assert set(cache.contents.checked) == {digest("set"), digest("another set")}

    def test_starts_anew_when_the_registry_has_lost_older_layers(self) -> None:
        target = Store()
        with cache_of(target) as cache:
            update_cache(cache, self.news(SCIPY))
        target.refuse_once = True
        with cache_of(target) as cache:
            assert update_cache(cache, self.news(NUMPY))
        with cache_of(target) as cache:
            assert list(cache.contents.layers) == [NUMPY.key]

    def test_replaces_a_lie(self) -> None:
        lie = replace(NUMPY, descriptor=replace(NUMPY.descriptor, size=7))
        target = Store()
        with cache_of(target) as cache:
            update_cache(cache, self.news(lie))
        with cache_of(target) as cache:
            assert update_cache(cache, self.news(NUMPY))
        with cache_of(target) as cache:
            assert cache.contents.layers[NUMPY.key].descriptor == NUMPY.descriptor

    def test_adds_a_record_that_was_missing(self) -> None:
        target = store(NUMPY)
        with cache_of(target) as cache:
            update_cache(cache, self.news(NUMPY))
        with cache_of(target) as cache:
            assert cache.records([cache.contents.layers[NUMPY.key]]) == {NUMPY.key: RECORD}

    def test_copies_a_record_from_where_the_layer_came(self) -> None:
        other, target = Store(name=OTHER), Store()
        with cache_of(other) as cache:
            update_cache(cache, self.news(NUMPY))
        with cache_of(target, other) as cache:
            update_cache(cache, self.news(NUMPY, record=None))
        with cache_of(target) as cache:
            assert cache.records([cache.contents.layers[NUMPY.key]]) == {NUMPY.key: RECORD}

    def test_a_registry_that_refuses(self) -> None:
        target = Store()
        with cache_of(target) as cache:
            assert not cache.own.layers
            target.broken = True
            with pytest.raises(RegistryError):
                update_cache(cache, self.news(NUMPY))


def _version() -> str:
    from rayimage import __version__

    return __version__
