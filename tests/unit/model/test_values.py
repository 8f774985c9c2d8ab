from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from rayimage.errors import ContentError, UsageError
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Index, Manifest, canonical_json, parse_manifest
from rayimage.model.platform import Platform

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
AMD64 = Platform("linux", "amd64")


def descriptor(**changes: object) -> Descriptor:
    values = {"media_type": media.OCI_LAYER_GZIP, "digest": Digest.of(b"x"), "size": 1} | changes
    return Descriptor(**values)


class TestDigest:
    def test_of_bytes(self) -> None:
        assert str(Digest.of(b"")) == f"sha256:{EMPTY}"

    @pytest.mark.parametrize(
        "text", ["", EMPTY, f"sha256:{EMPTY.upper()}", f"sha256:{EMPTY[1:]}", f"md5:{EMPTY}", f"sha256:{EMPTY}\n"]
    )
    def test_refuses(self, text: str) -> None:
        with pytest.raises(UsageError):
            Digest.parse(text)


class TestPlatform:
    @pytest.mark.parametrize("text", ["linux/amd64", "linux/arm64/v8"])
    def test_round_trip(self, text: str) -> None:
        assert str(Platform.parse(text)) == text

    @pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "Linux/amd64"])
    def test_refuses(self, text: str) -> None:
        with pytest.raises(UsageError):
            Platform.parse(text)

    def test_no_variant_accepts_any(self) -> None:
        assert Platform.parse("linux/arm64").matches(Platform.parse("linux/arm64/v8"))
        assert not Platform.parse("linux/arm64/v9").matches(Platform.parse("linux/arm64/v8"))
        assert not AMD64.matches(Platform.parse("linux/arm64"))


class TestDescriptor:
    def test_round_trip_keeps_every_field(self) -> None:
        data = {
            "mediaType": media.DOCKER_FOREIGN_LAYER,
            "digest": f"sha256:{EMPTY}",
            "size": 0,
            "urls": ["https://example.com/x"],
            "annotations": {"a": "b"},
            "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
            "artifactType": "application/x",
        }
        assert Descriptor.from_json(data).to_json() == data

    @pytest.mark.parametrize(
        "broken", [{}, {"mediaType": "x", "size": 1}, {"mediaType": "x", "digest": "sha256:1", "size": 1}, []]
    )
    def test_malformed(self, broken: object) -> None:
        with pytest.raises(ContentError):
            Descriptor.from_json(broken)

    @pytest.mark.parametrize("size", [-1, "1", 1.0, True, None, float("inf")])
    def test_a_size_that_is_none(self, size: object) -> None:
        with pytest.raises(ContentError, match="malformed content descriptor"):
            Descriptor.from_json({"mediaType": "x", "digest": f"sha256:{EMPTY}", "size": size})


@pytest.mark.parametrize("parse", [parse_manifest, ImageConfig.parse])
def test_json_without_end(parse: Callable[[bytes], object]) -> None:
    with pytest.raises(ContentError, match="malformed image"):
        parse(b'{"layers":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


class TestManifest:
    def test_what_is_built_is_read_back(self) -> None:
        built = Manifest.build(config=descriptor(), layers=(descriptor(), descriptor()), annotations={"k": "v"})
        assert parse_manifest(built.raw) == built

    def test_the_digest_is_of_the_bytes_received(self) -> None:
        data = json.loads(Manifest.build(config=descriptor(), layers=(), annotations={}).raw)
        raw = json.dumps(data, indent=3).encode()
        assert parse_manifest(raw).digest == Digest.of(raw)

    def test_the_body_wins_over_the_header(self) -> None:
        built = Manifest.build(config=descriptor(), layers=(), annotations={})
        assert isinstance(parse_manifest(built.raw, media.OCI_INDEX), Manifest)

    def test_no_media_type_anywhere(self) -> None:
        raw = canonical_json({"schemaVersion": 2, "manifests": []})
        assert isinstance(parse_manifest(raw), Index)

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"[]",
            b"{}",
            b"null",
            b'{"schemaVersion":1,"fsLayers":[]}',
            b'{"mediaType":"application/vnd.oci.image.manifest.v1+json"}',
            b'{"manifests":[{}]}',
        ],
    )
    def test_malformed(self, raw: bytes) -> None:
        with pytest.raises(ContentError):
            parse_manifest(raw)

    def test_attestations_are_never_selected(self) -> None:
        attestation = descriptor(platform=Platform("unknown", "unknown"))
        image = descriptor(platform=AMD64, digest=Digest.of(b"y"))
        index = Index.build(manifests=(attestation, image), annotations={})
        assert index.select(AMD64) == image
        assert index.select(Platform("linux", "arm64")) is None


class TestImageConfig:
    RAW = canonical_json(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{EMPTY}"]},
            "config": {"Env": ["PATH=/a:/b", "X=1=2"], "User": "1000", "WorkingDir": "/home/ray", "Labels": {"l": "v"}},
        }
    )

    def test_parse(self) -> None:
        config = ImageConfig.parse(self.RAW)
        assert config.path == ("/a", "/b")
        assert config.env["X"] == "1=2"
        assert (config.user, config.workdir, config.labels) == ("1000", "/home/ray", {"l": "v"})
        assert config.diff_ids == (Digest(EMPTY),)

    def test_without_runtime_section(self) -> None:
        config = ImageConfig.parse(b'{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]}}')
        assert config.path == ()

    @pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"rootfs":{"diff_ids":["x"]}}'])
    def test_malformed(self, raw: bytes) -> None:
        with pytest.raises(ContentError):
            ImageConfig.parse(raw)


def test_the_digest_of_a_file(tmp_path):
    file = tmp_path / "file"
    for size in (0, 1, (1 << 20) + 1):
        file.write_bytes(b"x" * size)
        assert Digest.of_file(file) == Digest.of(b"x" * size)
    with pytest.raises(FileNotFoundError):
        Digest.of_file(tmp_path / "none")
