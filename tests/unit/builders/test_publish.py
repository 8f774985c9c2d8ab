from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Barrier, Event, Semaphore
from time import sleep

import pytest

from rayimage.builders.direct import BuiltImage
from rayimage.builders.publish import publish, release_of
from rayimage.errors import ContentError, RegistryError
from rayimage.image.assemble import AddedLayer, assemble
from rayimage.image.plan import ConfigChange, ImagePlan
from rayimage.model import media
from rayimage.model.content import Blob, Outcome
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Index, Manifest, canonical_json
from rayimage.model.platform import Platform
from tests.support.listener import Listener

CHANGE = ConfigChange(created="2026-01-02T03:04:05Z", workdir="/home/ray/app")


def blob(data: bytes, media_type: str = media.OCI_LAYER_GZIP) -> Blob:
    descriptor = Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data))
    return Blob(descriptor=descriptor, open=lambda: io.BytesIO(data))


def built(role: str, layer: bytes, platform: str = "linux/amd64", base: Blob | None = None) -> BuiltImage:
    parsed = Platform.parse(platform)
    base_blob = base or blob(b"base")
    config = ImageConfig.parse(
        canonical_json(
            {
                "os": parsed.os,
                "architecture": parsed.architecture,
                "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(b"d"))]},
            }
        )
    )
    base_manifest = Manifest.build(config=blob(b"c").descriptor, layers=(base_blob.descriptor,), annotations={})
    added = blob(layer)
    image = assemble(
        base_manifest,
        config,
        [AddedLayer(descriptor=added.descriptor, diff_id=Digest.of(layer), created_by="x")],
        CHANGE,
    )
    plan = ImagePlan(role=role, platform=parsed, base="b", base_digest=base_manifest.digest, layers=(), config=CHANGE)
    blobs = (base_blob, added, blob(image.config.raw, media.OCI_CONFIG))
    return BuiltImage(plan=plan, image=image, layers=(), blobs=blobs)


@dataclass
class Store:
    """Remembers the order of what it is given; refuses what refers to something absent."""

    fail_on: Digest | None = None
    log: list[str] = field(default_factory=list)
    present: set[Digest] = field(default_factory=set)
    tags: dict[str, Digest] = field(default_factory=dict)

    def head(self, target: str) -> Descriptor | None:
        digest = self.tags.get(target) or next((each for each in self.present if str(each) == target), None)
        return Descriptor(media_type="", digest=digest, size=0) if digest else None

    def put_blob(self, blob: Blob, advance: Callable[[int], None] | None = None) -> Outcome:
        if blob.descriptor.digest == self.fail_on:
            raise RegistryError("cut")
        with blob.open() as stream:
            data = stream.read()
        if advance:
            advance(len(data))
        known = blob.descriptor.digest in self.present
        self.present.add(blob.descriptor.digest)
        self.log.append("blob")
        return Outcome.EXISTS if known else Outcome.UPLOADED

    def put_manifest(self, manifest: Manifest | Index, tag: str = "") -> None:
        needed = (
            [d.digest for d in manifest.manifests]
            if isinstance(manifest, Index)
            else [manifest.config.digest, *(d.digest for d in manifest.layers if media.is_distributable(d.media_type))]
        )
        assert set(needed) <= self.present, "refers to something absent"
        self.present.add(manifest.digest)
        self.log.append(f"tag {tag}" if tag else "manifest")
        if tag:
            self.tags[tag] = manifest.digest


def test_tags_come_after_everything_of_every_role() -> None:
    store = Store()
    release = release_of([built("head", b"h"), built("worker", b"w"), built("worker", b"a", "linux/arm64")])
    published = publish(release, store, tag="v1")
    assert sorted(store.log[-2:]) == ["tag v1-head", "tag v1-worker"]
    assert not any(line.startswith("tag") for line in store.log[:-2])
    assert store.tags == {role.tag: role.digest for role in published}
    assert isinstance(release.tops["worker"], Index)
    assert isinstance(release.tops["head"], Manifest)


def test_a_blob_that_two_roles_share_is_sent_once() -> None:
    store = Store()
    publish(release_of([built("head", b"same"), built("worker", b"same")]), store, tag="v1")
    assert store.log.count("blob") == 3  # base, layer, config


def test_a_failure_leaves_no_tag_and_the_next_run_finishes() -> None:
    head, worker = built("head", b"h"), built("worker", b"w")
    release = release_of([head, worker])
    store = Store(fail_on=worker.blobs[1].descriptor.digest)
    with pytest.raises(RegistryError):
        publish(release, store, tag="v1")
    assert not store.tags
    store.fail_on = None
    roles = publish(release, store, tag="v1")
    assert set(store.tags) == {"v1-head", "v1-worker"}
    assert Outcome.UPLOADED in roles[0].outcomes.values()


def test_outcomes_say_what_was_there() -> None:
    store = Store()
    release = release_of([built("head", b"h")])
    publish(release, store, tag="v1")
    [role] = publish(release, store, tag="v2")
    assert set(role.outcomes.values()) == {Outcome.EXISTS}


@dataclass
class Verifying(Store):
    """Refuses bytes that are not the blob's, as registries and layouts do."""

    def put_blob(self, blob: Blob, advance: Callable[[int], None] | None = None) -> Outcome:
        with blob.open() as stream:
            if Digest.of(stream.read()) != blob.descriptor.digest:
                raise ContentError("not what it should be")
        return super().put_blob(blob, advance)


@pytest.mark.parametrize("mended", [True, False])
def test_a_blob_that_is_damaged_is_mended_once_and_sent(mended: bool) -> None:
    image, content, tries = built("head", b"layer"), [b"LAYER"], []

    def mend() -> bool:
        tries.append(1)
        content[0] = b"layer" if mended else b"still wrong"
        return True

    layer = replace(blob(b"layer"), open=lambda: io.BytesIO(content[0]), mend=mend)
    image = replace(image, blobs=tuple(layer if b.descriptor == layer.descriptor else b for b in image.blobs))
    store, listener = Verifying(), Listener()
    if mended:
        [role] = publish(release_of([image]), store, tag="v1", progress=listener)
        assert role.outcomes[layer.descriptor.digest] is Outcome.UPLOADED
        assert "has been made again" in listener.warnings[0]
    else:
        with pytest.raises(ContentError):
            publish(release_of([image]), store, tag="v1", progress=listener)
        assert not store.tags
    assert tries == [1]


def test_foreign_layers_are_not_sent() -> None:
    foreign = blob(b"foreign", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    [role] = publish(release_of([built("head", b"h", base=foreign)]), Store(), tag="v1")
    assert foreign.descriptor.digest not in role.outcomes


def test_the_name_of_a_release_is_its_content() -> None:
    one = release_of([built("head", b"h"), built("worker", b"w")])
    other_order = release_of([built("worker", b"w"), built("head", b"h")])
    other = release_of([built("head", b"h"), built("worker", b"x")])
    assert one.name == other_order.name != other.name
    assert len(one.name) == 12


def test_plan_is_part_of_what_is_built() -> None:
    image = built("head", b"h")
    assert replace(image.plan, role="x").label == "x linux/amd64"


def test_what_is_tagged_already_is_not_written_again() -> None:
    store = Store()
    release = release_of([built("head", b"h"), built("worker", b"w"), built("worker", b"a", "linux/arm64")])
    publish(release, store, tag="v1")
    store.log.clear()
    [head, worker] = publish(release, store, tag="v1")
    assert set(store.log) == {"blob"}
    assert (head.tag, worker.tag) == ("v1-head", "v1-worker")


def test_a_tag_whose_images_are_gone_is_repaired() -> None:
    store = Store()
    arm, amd = built("worker", b"a", "linux/arm64"), built("worker", b"w")
    release = release_of([amd, arm])
    publish(release, store, tag="v1")
    store.present.discard(arm.manifest.digest)
    store.log.clear()
    publish(release, store, tag="v1")
    assert arm.manifest.digest in store.present
    assert store.log[-1] == "tag v1-worker"


def test_a_tag_that_moved_moves_back() -> None:
    store = Store()
    release = release_of([built("head", b"h")])
    [role] = publish(release, store, tag="v1")
    store.tags["v1-head"] = Digest.of(b"other")
    publish(release, store, tag="v1")
    assert store.tags["v1-head"] == role.digest


def test_no_manifest_is_written_twice_in_the_same_way() -> None:
    one = Store()
    publish(release_of([built("head", b"h")]), one, tag="v1")
    assert [line for line in one.log if line != "blob"] == ["tag v1-head"]
    two = Store()
    publish(release_of([built("head", b"h"), built("worker", b"w")]), two, tag="v1")
    assert [line for line in two.log if line != "blob"][:2] == ["manifest", "manifest"]
    assert sorted(two.log[-2:]) == ["tag v1-head", "tag v1-worker"]
    assert len(two.log) == 4 + len(two.present) - 2


def test_questions_are_asked_side_by_side() -> None:
    """As many as a registry's connections: none waits for another's answer."""
    waiting = Barrier(8, timeout=10)

    class Slow(Store):
        def put_blob(self, blob: Blob, advance: Callable[[int], None] | None = None) -> Outcome:
            waiting.wait()
            return super().put_blob(blob, advance)

    roles = [built(f"role{number}", b"%d" % number) for number in range(4)]
    publish(
        release_of([replace(role, blobs=role.blobs[1:]) for role in roles]),
        Slow(present={roles[0].blobs[0].descriptor.digest}),
        tag="v1",
    )


def test_after_an_error_nothing_begins_that_waited_for_its_turn() -> None:
    """Four send at a time: of the others, who wait, none starts when one has failed."""
    turn, opened = Semaphore(4), []
    failed = Event()

    class Narrow(Store):
        def put_blob(self, blob: Blob, advance: Callable[[int], None] | None = None) -> Outcome:
            with turn:
                if blob.descriptor.digest == self.fail_on:
                    failed.set()
                    raise RegistryError("cut")
                with blob.open():
                    opened.append(blob.descriptor.digest)
                    failed.wait(10)
                    sleep(0.2)
                return Outcome.UPLOADED

    images = [built(f"role{number}", b"%d" % number * (20 - number)) for number in range(12)]
    first = max(images[0].blobs, key=lambda each: each.descriptor.size)
    with pytest.raises(RegistryError, match="cut"):
        publish(release_of(images), Narrow(fail_on=first.descriptor.digest), tag="v1")
    assert len(opened) <= 4
