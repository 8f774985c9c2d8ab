from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from rayimage.base import resolve_base
from rayimage.errors import AuthError, BaseImageError, ContentError, UsageError
from rayimage.image.layout import OciLayout
from rayimage.model import media
from rayimage.model.content import ByteStream
from rayimage.model.descriptor import Descriptor
from rayimage.model.manifest import Index, Manifest, canonical_json, parse_manifest
from rayimage.model.platform import Platform
from rayimage.model.reference import Reference
from tests.support.images import make_image, make_index, make_layer, put_bytes, ray_base
from tests.support.values import AMD64

ARM64 = Platform("linux", "arm64")
LAYER = make_layer(ray_base())


class Repository:
    """A repository whose content is that of a layout."""

    def __init__(self, layout: OciLayout) -> None:
        self.layout = layout
        self.opened: list[Reference] = []
        self.asked: list[str] = []

    def __call__(self, name: Reference) -> Repository:
        self.opened.append(name)
        return self

    def find_manifest(self, target: str) -> Manifest | Index | None:
        self.asked.append(target)
        return self.layout.get_manifest(target) if target.startswith("sha256:") or target in self.layout.tags else None

    def get_manifest(self, target: str) -> Manifest | Index:
        self.asked.append(target)
        return self.layout.get_manifest(target)

    def open_blob(self, descriptor: Descriptor) -> AbstractContextManager[ByteStream]:
        return self.layout.open_blob(descriptor)


@pytest.fixture
def single(tmp_path: Path) -> OciLayout:
    return make_image(tmp_path / "base", [LAYER], tag="2.55.1-py311", user="1000")


@pytest.fixture
def multi(tmp_path: Path) -> OciLayout:
    return make_index(tmp_path / "base", {AMD64: [LAYER], ARM64: [make_layer({"arm": ""})]}, tag="2.55.1-py311")


class TestRegistry:
    def test_a_single_image(self, single: OciLayout, tmp_path: Path) -> None:
        repository = Repository(single)
        base = resolve_base("rayproject/ray:2.55.1-py311", AMD64, root=tmp_path, open_repository=repository)
        assert base.manifest == single.get_manifest("2.55.1-py311")
        assert base.digest == base.manifest.digest
        assert base.index_digest is None
        assert base.text == "rayproject/ray:2.55.1-py311"
        assert base.name == "docker.io/rayproject/ray:2.55.1-py311"
        assert base.origin == Reference("docker.io", "rayproject/ray")
        assert base.source is repository
        assert base.config.user == "1000"
        assert repository.opened == [Reference("docker.io", "rayproject/ray")]

    def test_the_child_of_an_index(self, multi: OciLayout, tmp_path: Path) -> None:
        index = multi.get_manifest("2.55.1-py311")
        assert isinstance(index, Index)
        for platform, child in zip((AMD64, ARM64), index.manifests, strict=True):
            base = resolve_base("ray:2.55.1-py311", platform, root=tmp_path, open_repository=Repository(multi))
            assert base.digest == child.digest
            assert base.index_digest == index.digest
            assert base.platform == platform

    @pytest.mark.parametrize(
        ("text", "asked", "name"),
        [
            ("r.example.com/ray:v1@{digest}", "{digest}", "r.example.com/ray:v1"),
            ("r.example.com/ray@{digest}", "{digest}", "r.example.com/ray@{digest}"),
        ],
    )
    def test_by_digest(self, single: OciLayout, tmp_path: Path, text: str, asked: str, name: str) -> None:
        digest = str(single.get_manifest().digest)  # type: ignore[union-attr]
        repository = Repository(single)
        base = resolve_base(text.format(digest=digest), AMD64, root=tmp_path, open_repository=repository)
        assert str(base.digest) == digest
        assert repository.asked == [asked.format(digest=digest)]
        assert base.name == name.format(digest=digest)

    def test_no_tag_is_latest(self, tmp_path: Path) -> None:
        repository = Repository(make_image(tmp_path / "base", [LAYER]))
        assert (
            resolve_base("ray", AMD64, root=tmp_path, open_repository=repository).name == "docker.io/library/ray:latest"
        )
        assert repository.asked == ["latest"]

    def test_absent(self, single: OciLayout, tmp_path: Path) -> None:
        with pytest.raises(BaseImageError) as caught:
            resolve_base("rayproject/ray:9.9", AMD64, root=tmp_path, open_repository=Repository(single))
        assert caught.value.what == "base rayproject/ray:9.9 does not exist"
        assert "docker.io answered that rayproject/ray has no 9.9 (404)" in caught.value.why
        assert caught.value.fix

    def test_auth_errors_pass(self, single: OciLayout, tmp_path: Path) -> None:
        class Closed(Repository):
            def find_manifest(self, target: str) -> Manifest | Index | None:
                raise AuthError("401")

        with pytest.raises(AuthError):
            resolve_base("rayproject/ray:1", AMD64, root=tmp_path, open_repository=Closed(single))

    def test_a_text_that_does_not_parse(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="RayProject"):
            resolve_base("RayProject/ray", AMD64, root=tmp_path, open_repository=lambda name: pytest.fail(str(name)))


class TestPlatforms:
    def test_an_index_lists_the_platforms_there_are(self, multi: OciLayout, tmp_path: Path) -> None:
        with pytest.raises(BaseImageError, match="platforms there are: linux/amd64, linux/arm64") as caught:
            resolve_base("oci:base", Platform("linux", "s390x"), root=tmp_path)
        assert "linux/s390x" in caught.value.fix

    def test_attestations_are_no_platform(self, single: OciLayout, tmp_path: Path) -> None:
        image = single.get_manifest()
        unknown = replace(image.descriptor, platform=Platform("unknown", "unknown"))
        single.put_manifest(Index.build(manifests=(unknown,), annotations={}), "attested")
        with pytest.raises(BaseImageError, match="none that are named"):
            resolve_base("oci:base:attested", AMD64, root=tmp_path)

    def test_a_single_image_of_another_platform(self, single: OciLayout, tmp_path: Path) -> None:
        with pytest.raises(BaseImageError, match="it is an image for linux/amd64") as caught:
            resolve_base("oci:base", ARM64, root=tmp_path)
        assert "-aarch64" in caught.value.fix

    def test_an_index_in_an_index(self, multi: OciLayout, tmp_path: Path) -> None:
        inner = multi.get_manifest()
        assert isinstance(inner, Index)
        outer = Index.build(manifests=(replace(inner.descriptor, platform=AMD64),), annotations={})
        multi.put_manifest(outer, "nested")
        with pytest.raises(BaseImageError, match="leads to an index"):
            resolve_base("oci:base:nested", AMD64, root=tmp_path)


class TestLayouts:
    @pytest.mark.parametrize("text", ["oci:base", "oci:base:2.55.1-py311", "oci:./base", "oci:base/", "oci:{abs}"])
    def test_relative_absolute_and_tagged(self, single: OciLayout, tmp_path: Path, text: str) -> None:
        base = resolve_base(text.format(abs=single.path), AMD64, root=tmp_path)
        assert base.manifest == single.get_manifest()
        assert base.origin is None
        assert base.name == "base:2.55.1-py311" if text.endswith("py311") else base.name == "base"

    def test_by_digest(self, multi: OciLayout, tmp_path: Path) -> None:
        index = multi.get_manifest()
        assert isinstance(index, Index)
        digest = index.manifests[1].digest
        base = resolve_base(f"oci:base@{digest}", ARM64, root=tmp_path)
        assert (base.digest, base.index_digest) == (digest, None)
        assert base.name == f"base@{digest}"

    def test_a_colon_in_the_directory_s_name(self, tmp_path: Path) -> None:
        make_image(tmp_path / "base:v1", [LAYER], tag="latest")
        assert resolve_base("oci:base:v1", AMD64, root=tmp_path).name == "base:v1"
        assert resolve_base("oci:base:v1:latest", AMD64, root=tmp_path).name == "base:v1:latest"

    def test_no_such_directory(self, tmp_path: Path) -> None:
        for text in ("oci:gone", "oci:gone:v1", "oci:gone@sha256:" + "0" * 64):
            with pytest.raises(BaseImageError, match=rf"there is no directory {tmp_path}/gone$"):
                resolve_base(text, AMD64, root=tmp_path)

    def test_no_such_tag(self, single: OciLayout, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"tags in it: 2\.55\.1-py311"):
            resolve_base("oci:base:v2", AMD64, root=tmp_path)

    def test_no_layout(self, tmp_path: Path) -> None:
        (tmp_path / "base").mkdir()
        with pytest.raises(ContentError, match="there is no oci-layout"):
            resolve_base("oci:base", AMD64, root=tmp_path)


class TestConfig:
    def damaged(self, single: OciLayout, **changes: object) -> None:
        manifest = single.get_manifest()
        config = put_bytes(single, canonical_json(changes), media.OCI_CONFIG)
        data = {**json.loads(manifest.raw), "config": config.to_json()}
        single.put_manifest(parse_manifest(canonical_json(data)), "2.55.1-py311")

    def test_another_number_of_layers(self, single: OciLayout, tmp_path: Path) -> None:
        self.damaged(single, os="linux", architecture="amd64", rootfs={"diff_ids": []})
        with pytest.raises(ContentError, match="its manifest has 1 layers, its config 0"):
            resolve_base("oci:base", AMD64, root=tmp_path)

    def test_not_an_image(self, single: OciLayout, tmp_path: Path) -> None:
        self.damaged(single, something="else")
        with pytest.raises(ContentError, match="malformed image config"):
            resolve_base("oci:base", AMD64, root=tmp_path)

    def test_one_of_absurd_size_is_not_read(self, single: OciLayout, tmp_path: Path) -> None:
        manifest = single.get_manifest()
        data = json.loads(manifest.raw)
        data["config"]["size"] = 1 << 40
        single.put_manifest(parse_manifest(canonical_json(data)), "2.55.1-py311")
        with pytest.raises(ContentError, match="1099511627776 bytes"):
            resolve_base("oci:base", AMD64, root=tmp_path)
