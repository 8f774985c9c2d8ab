from __future__ import annotations

from pathlib import Path

import pytest
from packaging.version import Version

from rayimage.errors import WheelError
from rayimage.layers import Layer, LayerCache, WheelMetadata, write_wheel_layer
from rayimage.model.digest import Digest
from tests.support.wheelmaker import LAYOUT, on_disk, record_of, wheel_files, zipped

DIST_INFO = "demo-1.0.dist-info"


def layer(directory: Path, metadata: bytes | None, target: Path | None = None) -> Layer:
    files = wheel_files({"demo.py": b"1"})
    del files[f"{DIST_INFO}/RECORD"], files[f"{DIST_INFO}/METADATA"]
    files |= {f"{DIST_INFO}/METADATA": metadata} if metadata is not None else {}
    files[f"{DIST_INFO}/RECORD"] = record_of(files, DIST_INFO)
    return write_wheel_layer([on_disk(directory, zipped(files))], LAYOUT, target or directory / "layer")


METADATA = b"""\
Metadata-Version: 2.1
Name: De.Mo
Version: 1.0.0
Requires-Python: >=3.9
Requires-Dist: numpy>=1; extra == "x"
Requires-Dist: not a requirement
Summary: caf\xe9

Requires-Dist: only-in-the-description
"""


@pytest.mark.parametrize("text", [METADATA, METADATA.replace(b"\n", b"\r\n")], ids=["lf", "crlf"])
def test_what_a_wheel_says_stays_with_the_layer(tmp_path: Path, text: bytes) -> None:
    said = WheelMetadata(
        filename="demo-1.0-py3-none-any.whl",
        name="de-mo",
        version=Version("1.0"),
        requires=('numpy>=1; extra == "x"', "not a requirement"),
        requires_python=">=3.9",
    )
    key = Digest.of(b"key")
    built = LayerCache(tmp_path).build(key, lambda target: layer(target.parent / "made", text, target))
    assert built.packages == (said,)
    assert LayerCache(tmp_path).get(key) == built


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "METADATA"),
        (b"Metadata-Version: 2.1\nName: demo\n", "no valid name and version"),
        (b"Metadata-Version: 2.1\nVersion: 1\n", "no valid name and version"),
        (b"Metadata-Version: 2.1\nName: demo\nVersion: one\n", "no valid name and version"),
    ],
)
def test_a_wheel_that_does_not_say_what_it_is(tmp_path: Path, text: bytes | None, why: str) -> None:
    with pytest.raises(WheelError, match=r"cannot install demo-1\.0") as caught:
        layer(tmp_path, text)
    assert why in caught.value.why
