from __future__ import annotations

import errno
import io
import json
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from rayimage.errors import ContentError, RayimageError, UsageError
from rayimage.image.layout import REF_NAME, OciLayout
from rayimage.model import media
from rayimage.model.content import Blob, Outcome
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest
from tests.support.images import make_image, make_layer, put_bytes


@pytest.fixture
def layout(tmp_path: Path) -> OciLayout:
    return OciLayout.create(tmp_path / "layout")


def manifest_of(layout: OciLayout, text: str) -> Manifest:
    return Manifest.build(config=put_bytes(layout, text.encode()), layers=(), annotations={})


def blob(data: bytes, *, size: int | None = None, digest: Digest | None = None) -> Blob:
    descriptor = Descriptor(
        media_type="text/plain", digest=digest or Digest.of(data), size=len(data) if size is None else size
    )
    return Blob(descriptor=descriptor, open=lambda: nullcontext(io.BytesIO(data)))


def files(path: Path) -> list[str]:
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())


class TestOpening:
    def test_create_makes_an_empty_layout(self, tmp_path: Path) -> None:
        OciLayout.create(tmp_path / "new" / "layout")
        root = tmp_path / "new" / "layout"
        assert files(root) == ["index.json", "oci-layout"]
        assert json.loads((root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
        assert json.loads((root / "index.json").read_bytes()) == {
            "schemaVersion": 2,
            "mediaType": media.OCI_INDEX,
            "manifests": [],
        }

    def test_create_opens_what_is_there(self, layout: OciLayout) -> None:
        manifest = manifest_of(layout, "a")
        layout.put_manifest(manifest, "v1")
        assert OciLayout.create(layout.path).get_manifest("v1") == manifest

    def test_create_takes_an_empty_directory(self, tmp_path: Path) -> None:
        assert OciLayout.create(tmp_path).tags == ()

    def test_create_finishes_what_a_killed_create_began(self, tmp_path: Path) -> None:
        (tmp_path / "blobs" / "sha256").mkdir(parents=True)
        (tmp_path / ".index.json.x1.tmp").touch()
        assert OciLayout.create(tmp_path).tags == ()

    def test_create_leaves_other_directories_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").touch()
        with pytest.raises(ContentError, match="something else is there"):
            OciLayout.create(tmp_path)
        assert files(tmp_path) == ["thesis.txt"]

    def test_create_refuses_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ContentError, match="cannot make"):
            OciLayout.create(tmp_path / "file")

    @pytest.mark.parametrize("name", ["absent", "."])
    def test_no_layout(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ContentError, match=r"not an OCI image layout: .*there is no oci-layout"):
            OciLayout(tmp_path / name)

    @pytest.mark.parametrize(
        ("file", "content", "message"),
        [
            ("oci-layout", "{", "oci-layout is not JSON"),
            ("oci-layout", "[]", "not a JSON object"),
            ("oci-layout", "{}", "its version is None"),
            ("oci-layout", '{"imageLayoutVersion": "2.0.0"}', "its version is '2.0.0'"),
            ("oci-layout", "[" * 100_000, "oci-layout is not JSON: maximum recursion"),
            ("index.json", "", "index.json is not JSON"),
            ("index.json", "[]", "not a JSON object"),
            ("index.json", "{}", "no list of manifests"),
            ("index.json", '{"manifests": ["x"]}', "no list of manifests"),
            ("index.json", '{"manifests": [{"digest": "md5:1"}]}', "malformed content descriptor"),
        ],
    )
    def test_damaged(self, layout: OciLayout, file: str, content: str, message: str) -> None:
        (layout.path / file).write_text(content)
        with pytest.raises(ContentError, match=message):
            OciLayout(layout.path)

    def test_a_directory_in_place_of_a_file(self, layout: OciLayout) -> None:
        (layout.path / "index.json").unlink()
        (layout.path / "index.json").mkdir()
        with pytest.raises(ContentError, match=r"index\.json cannot be read: Is a directory"):
            OciLayout(layout.path)

    def test_no_index(self, layout: OciLayout) -> None:
        (layout.path / "index.json").unlink()
        with pytest.raises(ContentError, match=r"there is no index\.json"):
            OciLayout(layout.path)


class TestManifests:
    def test_by_tag_by_digest_and_as_the_only_one(self, layout: OciLayout) -> None:
        manifest = manifest_of(layout, "a")
        layout.put_manifest(manifest, "v1")
        for target in ("v1", str(manifest.digest), ""):
            assert layout.get_manifest(target) == manifest

    def test_a_manifest_without_tag_is_a_blob_only(self, layout: OciLayout) -> None:
        child = manifest_of(layout, "child")
        layout.put_manifest(child)
        index = Index.build(manifests=(child.descriptor,), annotations={})
        layout.put_manifest(index, "v1")
        assert layout.get_manifest() == index
        assert layout.get_manifest(str(child.digest)) == child
        assert layout.tags == ("v1",)

    def test_a_tag_moves(self, layout: OciLayout) -> None:
        old, new = manifest_of(layout, "old"), manifest_of(layout, "new")
        layout.put_manifest(old, "v1")
        layout.put_manifest(new, "v1")
        assert layout.get_manifest("v1") == new
        assert layout.get_manifest(str(old.digest)) == old
        assert layout.tags == ("v1",)

    def test_two_tags_of_one_image_are_one_image(self, layout: OciLayout) -> None:
        manifest = manifest_of(layout, "a")
        layout.put_manifest(manifest, "v1")
        layout.put_manifest(manifest, "latest")
        assert layout.get_manifest("") == manifest
        assert layout.tags == ("latest", "v1")

    def test_two_images_need_a_tag(self, layout: OciLayout) -> None:
        layout.put_manifest(manifest_of(layout, "a"), "head")
        layout.put_manifest(manifest_of(layout, "b"), "gpu")
        with pytest.raises(UsageError, match="it holds 2; tags in it: gpu, head"):
            layout.get_manifest("")

    def test_an_unknown_tag_lists_the_known(self, layout: OciLayout) -> None:
        layout.put_manifest(manifest_of(layout, "a"), "head")
        with pytest.raises(UsageError, match="the tag is not there; tags in it: head"):
            layout.get_manifest("tail")

    def test_an_ambiguous_tag(self, layout: OciLayout) -> None:
        entries = [manifest_of(layout, name).descriptor.annotated(**{REF_NAME: "v1"}).to_json() for name in "ab"]
        (layout.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        with pytest.raises(UsageError, match="the tag is there more than once"):
            layout.get_manifest("v1")

    def test_an_empty_layout(self, layout: OciLayout) -> None:
        with pytest.raises(ContentError, match="lists none"):
            layout.get_manifest("")

    def test_an_absent_digest(self, layout: OciLayout) -> None:
        digest = Digest.of(b"absent")
        with pytest.raises(ContentError, match=f"there is no file blobs/sha256/{digest.hex}"):
            layout.get_manifest(str(digest))

    @pytest.mark.parametrize("damage", [b"", b"more"])
    def test_a_damaged_manifest(self, layout: OciLayout, damage: bytes) -> None:
        manifest = manifest_of(layout, "a")
        layout.put_manifest(manifest, "v1")
        path = layout.path / "blobs" / "sha256" / manifest.digest.hex
        path.write_bytes(manifest.raw + damage if damage else manifest.raw[:-1])
        with pytest.raises(ContentError, match="damaged blob"):
            layout.get_manifest("v1")
        layout.put_manifest(manifest, "v1")
        assert layout.get_manifest("v1") == manifest

    def test_index_json_does_not_depend_on_the_order_of_writing(self, tmp_path: Path) -> None:
        contents = []
        for order in ("ab", "ba"):
            layout = OciLayout.create(tmp_path / order)
            for name in order:
                layout.put_manifest(manifest_of(layout, name), name)
            contents.append((layout.path / "index.json").read_bytes())
        assert contents[0] == contents[1]

    def test_what_others_wrote_into_index_json_stays(self, layout: OciLayout) -> None:
        other = {**manifest_of(layout, "other").descriptor.to_json(), "x-vendor": {"a": 1}}
        data = {"schemaVersion": 2, "annotations": {"made-by": "other"}, "manifests": [other]}
        (layout.path / "index.json").write_text(json.dumps(data))
        layout.put_manifest(manifest_of(layout, "a"), "v1")
        after = json.loads((layout.path / "index.json").read_bytes())
        assert after["annotations"] == {"made-by": "other"}
        assert other in after["manifests"]
        assert len(after["manifests"]) == 2

    def test_tags_from_many_threads_all_arrive(self, layout: OciLayout) -> None:
        manifests = {f"v{number}": manifest_of(layout, str(number)) for number in range(8)}
        threads = [
            threading.Thread(target=layout.put_manifest, args=(manifest, tag)) for tag, manifest in manifests.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert layout.tags == tuple(sorted(manifests))

    def test_tags_through_many_handles_all_arrive(self, layout: OciLayout) -> None:
        """As from many processes: each has a handle of its own."""
        manifests = {f"v{number}": manifest_of(layout, str(number)) for number in range(20)}

        def put(tag: str) -> None:
            OciLayout.create(layout.path).put_manifest(manifests[tag], tag)

        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(put, manifests))
        assert set(layout.tags) == manifests.keys()


class TestBlobs:
    def test_there_and_back(self, layout: OciLayout) -> None:
        sent: list[int] = []
        item = blob(b"content")
        assert layout.put_blob(item, sent.append) is Outcome.UPLOADED
        assert sum(sent) == 7
        with layout.open_blob(item.descriptor) as stream:
            assert stream.read(3) == b"con"
            assert stream.read() == b"tent"
            assert stream.read(1) == b""
        assert layout.put_blob(item) is Outcome.EXISTS

    def test_an_empty_blob(self, layout: OciLayout) -> None:
        item = blob(b"")
        layout.put_blob(item)
        with layout.open_blob(item.descriptor) as stream:
            assert stream.read() == b""

    def test_modes_do_not_depend_on_the_umask(self, layout: OciLayout) -> None:
        layout.put_blob(blob(b"content"))
        layout.put_manifest(manifest_of(layout, "a"), "v1")
        modes = {stat.S_IMODE(file.stat().st_mode) for file in layout.path.rglob("*") if file.is_file()}
        assert modes == {0o644}

    @pytest.mark.parametrize("stored", [b"conten", b"content!", b"c0ntent"])
    @pytest.mark.parametrize("step", [1, 3, 7, 100, -1])
    def test_a_damaged_blob_is_noticed_before_its_end(self, layout: OciLayout, stored: bytes, step: int) -> None:
        item = blob(b"content")
        layout.put_blob(item)
        (layout.path / "blobs" / "sha256" / item.descriptor.digest.hex).write_bytes(stored)
        seen: list[bytes] = []
        with layout.open_blob(item.descriptor) as stream, pytest.raises(ContentError, match="damaged blob"):
            seen.extend(iter(lambda: stream.read(step), b""))
        assert len(b"".join(seen)) < 7

    def test_a_blob_that_cannot_be_read(self, layout: OciLayout) -> None:
        item = blob(b"data")
        (layout.path / "blobs/sha256" / item.descriptor.digest.hex).mkdir(parents=True)
        with pytest.raises(ContentError, match=r"cannot read blob .*: Is a directory") as caught:
            layout.open_blob(item.descriptor).__enter__()
        assert caught.value.fix

    def test_an_absent_blob(self, layout: OciLayout) -> None:
        item = blob(b"absent")
        with pytest.raises(ContentError, match=rf"is not in OCI image layout .*{item.descriptor.digest.hex}"):
            layout.open_blob(item.descriptor).__enter__()

    @pytest.mark.parametrize(
        ("item", "why"),
        [
            (blob(b"content", size=8), "ends 1 bytes early"),
            (blob(b"content", size=6), "longer than 6 bytes"),
            (blob(b"content", digest=Digest.of(b"other")), "has the digest sha256"),
        ],
    )
    def test_wrong_bytes_are_not_kept(self, layout: OciLayout, item: Blob, why: str) -> None:
        before = files(layout.path)
        with pytest.raises(ContentError, match=why):
            layout.put_blob(item)
        assert files(layout.path) == before

    def test_a_cut_file_is_replaced(self, layout: OciLayout) -> None:
        item = blob(b"content")
        path = layout.path / "blobs" / "sha256" / item.descriptor.digest.hex
        path.write_bytes(b"con")
        assert layout.put_blob(item) is Outcome.UPLOADED
        assert path.read_bytes() == b"content"

    def test_nothing_is_left_of_an_interrupted_copy(self, layout: OciLayout) -> None:
        class Broken:
            def read(self, size: int = -1, /) -> bytes:
                raise KeyboardInterrupt

        item = Blob(descriptor=blob(b"content").descriptor, open=lambda: nullcontext(Broken()))
        before = files(layout.path)
        with pytest.raises(KeyboardInterrupt):
            layout.put_blob(item)
        assert files(layout.path) == before

    def test_what_a_killed_process_left_is_removed(self, layout: OciLayout) -> None:
        for name in (".rayimage-abc", ".index.json.abc.tmp"):
            (layout.path / name).write_bytes(b"half of it")
        OciLayout.create(layout.path)
        assert files(layout.path) == ["index.json", "oci-layout"]

    def test_a_blob_that_another_process_is_writing_is_not(self, layout: OciLayout) -> None:
        class Watched(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                OciLayout.create(layout.path)
                return super().read(size)

        item = blob(b"data")
        layout.put_blob(replace(item, open=lambda: nullcontext(Watched(b"data"))))
        with layout.open_blob(item.descriptor) as stream:
            assert stream.read() == b"data"

    def test_a_full_disk_is_named(self, layout: OciLayout) -> None:
        class Full(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(RayimageError, match=r"cannot write to OCI image layout .*: No space left") as caught:
            layout.put_blob(replace(blob(b"data"), open=lambda: nullcontext(Full())))
        assert caught.value.fix
        assert files(layout.path) == ["index.json", "oci-layout"]


def test_an_image_made_by_the_helpers_is_valid(tmp_path: Path) -> None:
    layout = make_image(tmp_path / "image", [make_layer({"a": "b"})], tag="v1")
    manifest = layout.get_manifest("v1")
    assert isinstance(manifest, Manifest)
    with layout.open_blob(manifest.layers[0]) as stream:
        assert Digest.of(stream.read()) == manifest.layers[0].digest
