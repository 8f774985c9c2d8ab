from __future__ import annotations

import gzip
import json

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.builders.remote_cache import records
from rayimage.builders.remote_cache.records import Record, read_packages, read_record, write_packages, write_record
from rayimage.layers import FileInLayer, WheelMetadata
from tests.support.values import digest
from tests.unit.builders.remote_cache.samples import known

LAYER = known("numpy")
NUMPY = WheelMetadata(
    filename="numpy-2.0-py3-none-any.whl",
    name=canonicalize_name("numpy"),
    version=Version("2.0"),
    requires=("ünïcode>=1; extra == 'x'",),
    requires_python=">=3.9",
)
RECORD = Record((FileInLayer("/a/ü.py", "sha256=x"), FileInLayer("/a/link")), (NUMPY,))


def test_what_is_written_is_read() -> None:
    assert read_record(write_record(LAYER, RECORD), LAYER) == RECORD
    assert read_packages(write_packages(digest("a"), [NUMPY]), digest("a")) == (NUMPY,)


def test_the_same_bytes_each_time() -> None:
    assert write_record(LAYER, RECORD) == write_record(LAYER, RECORD)


def test_whose_it_is() -> None:
    with pytest.raises(ValueError, match="another layer"):
        read_record(write_record(LAYER, RECORD), known("scipy"))
    with pytest.raises(ValueError, match="another layer"):
        read_record(write_record(LAYER, RECORD), known("numpy", size=99))
    with pytest.raises(ValueError, match="another image"):
        read_packages(write_packages(digest("a"), [NUMPY]), digest("b"))


def broken(change: object) -> bytes:
    data = json.loads(gzip.decompress(write_record(LAYER, RECORD)))
    return gzip.compress(json.dumps({**data, **change} if isinstance(change, dict) else change).encode(), mtime=0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"rubbish",
        gzip.compress(b"rubbish", mtime=0),
        write_record(LAYER, RECORD)[:-4],
        broken([]),
        broken(None),
        broken({"files": None}),
        broken({"files": [["/a"]]}),
        broken({"files": [["relative", ""]]}),
        broken({"packages": [["x"]]}),
        broken({"packages": [["f", "n", "no version", "", []]]}),
        broken({"more": 1}),
    ],
)
def test_damage(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"it |[Ii]nvalid|Expecting|unpack"):
        read_record(raw, LAYER)


def test_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="longer"):
        read_record(gzip.compress(b"0" * 100_000), LAYER)
