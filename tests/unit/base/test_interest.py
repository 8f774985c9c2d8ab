from __future__ import annotations

import json

import pytest

from rayimage.base.interest import extractor

KEPT = {
    "/x/site-packages/a-1.dist-info/METADATA": (b"Name: a\r\nVersion: 1\r\n\r\nText\n\nmore", b"Name: a\r\nVersion: 1"),
    "/x/a.dist-info/INSTALLER": (b"pip\n", b"pip\n"),
    "/root/.cache/uv/archive-v0/x/a-1.dist-info/RECORD": (b"a.py,,\n", b"a.py,,\n"),
    "/x/a.egg-info/PKG-INFO": (b"Name: a\n\nText", b"Name: a"),
    "/x/a.egg-info/requires.txt": (b"b\n", b"b\n"),
    "/x/site-packages/a-1-py3.8.egg-info": (b"Name: a\n\nText", b"Name: a"),
    "/x/include/python3.11/patchlevel.h": (b'#define PY_VERSION      \t"3.11.9"\n', b"3.11.9"),
    "/y/include/python3.11/patchlevel.h": (b"nothing", b""),
    "/x/bin/python3.11": (b"\x7fELF", b""),
    "/x/bin/python": (b"\x7fELF", b""),
    "/lib/libc-2.31.so": (b"\x7fELF", b""),
    "/lib/libc.so.6": (
        b"\0\x01GNU C Library (Debian GLIBC 2.36-9+deb12u4) stable release version 2.36.\nCopy\0",
        b"2.36",
    ),
    "/lib64/libc.so.6": (b"musl", b""),
    "/var/lib/dpkg/status": (
        (
            b"Package: bash\nVersion: 5\n\nPackage: libc6\nStatus: install ok installed\nVersion: 2.31-13\n\n"
            b"Package: libc6-dev\nVersion: 1\n\nPackage: python3.9-minimal\nVersion: 3.9.2-1\n"
        ),
        b"libc6 2.31-13\npython3.9-minimal 3.9.2-1\n",
    ),
    "/var/lib/dpkg/status.d/libc6": (b"Package: libc6\nVersion: 2.36-9\n", b"libc6 2.36-9\n"),
    "/x/conda-meta/broken.json": (b"{", b""),
    "/x/conda-meta/list.json": (b"[]", b""),
    "/x/conda-meta/zlib-1.json": (b'{"name": "zlib", "version": "1", "files": ["lib/libz.so"]}', b""),
}


@pytest.mark.parametrize("path", KEPT)
def test_what_is_kept(path: str) -> None:
    extract = extractor(path)
    assert extract is not None
    content, kept = KEPT[path]
    assert extract(content) == kept


@pytest.mark.parametrize(
    "path",
    [
        "/x/site-packages/a.py",
        "/x/METADATA",
        "/x/RECORD",
        "/x/a.dist-info/LICENSE",
        "/x/bin/python3-config",
        "/x/bin/python3.11-config",
        "/x/lib/python3",
        "/x/libc-client.so",
        "/x/package.json",
        "/var/lib/dpkg/info/status.d",
        "/home/passwd",
        "/x",
    ],
)
def test_what_is_not(path: str) -> None:
    assert extractor(path) is None


def test_conda_records_lose_what_is_no_use() -> None:
    extract = extractor("/x/conda-meta/tqdm-4.json")
    assert extract is not None
    files = ["lib/python3.11/site-packages/tqdm-4.dist-info/METADATA", "bin/tqdm"]
    record = {"name": "tqdm", "version": "4", "files": files, "paths_data": {"paths": [{"_path": "x"}]}}
    assert json.loads(extract(json.dumps(record).encode())) == {"name": "tqdm", "version": "4", "files": files}
    record = {"name": "python", "version": "3.11.9", "files": ["bin/python"] * 9}
    assert json.loads(extract(json.dumps(record).encode())) == {"name": "python", "version": "3.11.9", "files": []}
