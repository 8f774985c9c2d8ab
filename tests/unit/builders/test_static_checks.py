from __future__ import annotations

import gzip
import sys
from types import SimpleNamespace

import pytest

from rayimage.builders.static_checks import read_added_layers
from rayimage.image.plan import LayerKind
from rayimage.model import media
from rayimage.model.content import Blob
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from tests.support.elf import make_elf
from tests.support.images import make_layer
from tests.support.values import LAYOUT, SITE, inventory

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PLACE, SCRIPTS = SITE.lstrip("/"), LAYOUT.scripts.lstrip("/")
EXTENSION = f"{PLACE}/x/_x.cpython-311-x86_64-linux-gnu.so"


def check(files, kind=LayerKind.WHEELS, media_type=media.OCI_LAYER_GZIP):
    import io
    from contextlib import nullcontext

    data = make_layer(files)
    if media_type == media.OCI_LAYER_ZSTD:
        data = zstd.compress(gzip.decompress(data))
    descriptor = Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data))
    image = SimpleNamespace(
        layers=[SimpleNamespace(kind=kind, descriptor=descriptor)],
        blobs=[Blob(descriptor=descriptor, open=lambda: nullcontext(io.BytesIO(data)))],
    )
    return read_added_layers(image, inventory())


def test_what_is_right():
    found = check(
        {
            f"{PLACE}/x/__init__.py": "",
            f"{PLACE}/single.py": "",
            f"{PLACE}/_private.py": "",
            f"{PLACE}/native.cpython-311-x86_64-linux-gnu.so": make_elf(62, "GLIBC_2.34"),
            f"{PLACE}/x-1.dist-info/RECORD": "x/__init__.py,,\nsingle.py,,\n../../../bin/x,,\nx-1.dist-info/RECORD,,\n",
            f"{SCRIPTS}/x": f"#!{LAYOUT.interpreter}\nprint(1)\n",
            f"{SCRIPTS}/sh": "#!/bin/sh\n",
            f"{PLACE}/x/helper_arm.so": make_elf(183),
        }
    )
    assert found.faults == []
    assert found.modules == ["native", "single", "x"]


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({EXTENSION: make_elf(183)}, f"/{EXTENSION} is for aarch64, the base for x86_64"),
        ({EXTENSION: make_elf(62, "GLIBC_2.40")}, f"/{EXTENSION} needs glibc 2.40, the base has 2.35"),
        (
            {f"{SCRIPTS}/x": f"#!{LAYOUT.prefix}/bin/python9 -E\n"},
            f"{LAYOUT.scripts}/x is run by {LAYOUT.prefix}/bin/python9, the base's Python is {LAYOUT.interpreter}",
        ),
        (
            {f"{PLACE}/x-1.dist-info/RECORD": "x/gone.py,,\nx-1.dist-info/RECORD,,\n"},
            f"{SITE}/x-1.dist-info/RECORD names 1 files that are not there, {SITE}/x/gone.py among them",
        ),
    ],
)
def test_what_is_wrong(files, fault):
    assert check(files).faults == [fault]


@pytest.mark.parametrize("kind", [LayerKind.BASE, LayerKind.REMOVAL])
def test_what_is_not_added_is_not_read(kind):
    assert check({EXTENSION: make_elf(183)}, kind).faults == []


def test_layers_that_are_zstd():
    found = check({f"{PLACE}/single.py": "", f"{SCRIPTS}/x": "#!/opt/other/python\n"}, media_type=media.OCI_LAYER_ZSTD)
    assert found.modules == ["single"]
