"""Everything that must not be installed is refused, with the wheel and the path in the message."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rayimage.errors import WheelError
from rayimage.layers import WheelOnDisk, write_wheel_layer
from rayimage.model.digest import Digest
from tests.support.wheelmaker import LAYOUT, WHEEL_FILE, member, on_disk, wheel_files, zipped

NAME = "demo-1.0-py3-none-any.whl"
INFO = "demo-1.0.dist-info"
FILES = {"demo/core.py": b"VALUE = 1\n" * 200}


def refusal(directory: Path, wheel: bytes | WheelOnDisk, filename: str = NAME) -> str:
    if isinstance(wheel, bytes):
        wheel = on_disk(directory, wheel, filename)
    with pytest.raises(WheelError) as caught:
        write_wheel_layer([wheel], LAYOUT, directory / "layer")
    assert not (directory / "layer").exists()
    assert wheel.filename in caught.value.what
    assert caught.value.fix
    return str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "../evil.py", "demo/../../evil.py", "/etc/passwd", "demo\\evil.py", "C:/evil.py", "demo//x.py", "./x.py",
        "demo/.wh.core.py", ".wh..wh..opq", "demo/a\nb.py", "demo-1.0.data/data/../../x", "demo-1.0.data/scripts/../x",
        "demo/" + "x" * 256, "../evil/",
    ],
)  # fmt: skip
def test_paths_that_leave_or_mean_something_else(tmp_path: Path, path: str) -> None:
    assert repr(path) in refusal(tmp_path, zipped(wheel_files(FILES | {path: b""})))


def test_a_name_that_zipfile_would_cut_at_nul(tmp_path: Path) -> None:
    data = zipped(wheel_files(FILES | {"demo/evilX.py": b""})).replace(b"demo/evilX.py", b"demo/evil\0.py")
    assert "control character" in refusal(tmp_path, data)


@pytest.mark.parametrize(
    "path",
    ["demo-1.0.data/stdlib/x", "demo-1.0.data/x", "demo-1.0.data", "demo-1.0.data/scripts", "demo-1.0.data/other/a/b"],
)
def test_unknown_schemes(tmp_path: Path, path: str) -> None:
    assert f"{path!r}: not in one of purelib, platlib" in refusal(tmp_path, zipped(wheel_files(FILES | {path: b"x"})))


def test_several_data_directories(tmp_path: Path) -> None:
    files = {"demo-1.0.data/data/x": b"", "Demo-1.0.data/data/y": b""}
    assert "several .data" in refusal(tmp_path, zipped(wheel_files(files)))


def test_a_data_directory_may_be_spelt_unlike_the_file(tmp_path: Path) -> None:
    wheel = on_disk(tmp_path, zipped(wheel_files({"Demo-1.0.data/data/x": b""}, "Demo")))
    layer = write_wheel_layer([wheel], LAYOUT, tmp_path / "layer")
    assert f"{LAYOUT.data}/x" in [file.path for file in layer.files]


@pytest.mark.parametrize(
    "path",
    [
        "demo-1.0.data/purelib/ray-9.dist-info/METADATA", "demo-1.0.data/data/lib/python3.11/site-packages/a.dist-info",
        "RAY-9.DIST-INFO/METADATA", "ray-9.egg-info", "ray.egg-info/PKG-INFO",
    ],
)  # fmt: skip
def test_metadata_of_another_distribution(tmp_path: Path, path: str) -> None:
    assert "metadata of a distribution that it is not" in refusal(tmp_path, zipped(wheel_files({path: b"Name: x"})))


@pytest.mark.parametrize("path", ["demo.egg-info/PKG-INFO", "other-1.0.dist-info.txt", "demo/other-1.0.dist-info/x"])
def test_what_only_looks_like_metadata_of_another(tmp_path: Path, path: str) -> None:
    wheel = on_disk(tmp_path, zipped(wheel_files({path: b"Name: x"})))
    assert f"{LAYOUT.purelib}/{path}" in [
        file.path for file in write_wheel_layer([wheel], LAYOUT, tmp_path / "l").files
    ]


@pytest.mark.parametrize("path", ["demo-1.0.data/scripts/python", "demo-1.0.data/data/bin/python3.11"])
def test_the_images_python_stays(tmp_path: Path, path: str) -> None:
    assert "the image's Python" in refusal(tmp_path, zipped(wheel_files({path: b"#!python\n"})))


def test_an_entry_point_called_python(tmp_path: Path) -> None:
    files = {f"{INFO}/entry_points.txt": b"[console_scripts]\npython3 = demo:main\n"}
    assert "the image's Python" in refusal(tmp_path, zipped(wheel_files(files)))


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644, 0o140644])
def test_links_and_devices(tmp_path: Path, mode: int) -> None:
    buffer = io.BytesIO(zipped(wheel_files(FILES)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(member("demo/link", mode=mode), b"/etc/passwd")
    assert "'demo/link': it is neither a file nor a directory" in refusal(tmp_path, buffer.getvalue())


def test_two_members_of_one_name(tmp_path: Path) -> None:
    buffer = io.BytesIO(zipped(wheel_files(FILES)))
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(member("demo/core.py"), b"evil")
    assert "'demo/core.py': the wheel has two files" in refusal(tmp_path, buffer.getvalue())


def test_two_members_for_one_path(tmp_path: Path) -> None:
    files = FILES | {"demo-1.0.data/purelib/demo/core.py": b"evil"}
    assert "site-packages/demo/core.py twice" in refusal(tmp_path, zipped(wheel_files(files)))


def test_a_file_that_is_also_a_directory(tmp_path: Path) -> None:
    assert "clash over" in refusal(tmp_path, zipped(wheel_files(FILES | {"demo/core.py/x.py": b""})))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("../../evil = a:b", "/ in it"), ("a/b = a:b", "/ in it"), (".. = a:b", ".."), (". = a:b", ".."),
        ("a\\b = a:b", "backslash"), (".wh.python = a:b", ".wh."), ("a = no_function", "malformed"),
        ("a = b:c\na = b:d", "already exists"), ("no equals sign", ""), (f"{'x' * 256} = a:b", "longer"),
    ],
)  # fmt: skip
def test_entry_points(tmp_path: Path, text: str, why: str) -> None:
    files = FILES | {f"{INFO}/entry_points.txt": f"[console_scripts]\n{text}\n".encode()}
    assert why in refusal(tmp_path, zipped(wheel_files(files)))


def test_entry_points_of_both_kinds_with_one_name(tmp_path: Path) -> None:
    text = b"[console_scripts]\na = b:c\n[gui_scripts]\na = b:c\n"
    assert "bin/a twice" in refusal(tmp_path, zipped(wheel_files(FILES | {f"{INFO}/entry_points.txt": text})))


def test_a_malformed_wheel_is_refused_with_python_o_as_well(tmp_path: Path) -> None:
    """installer asserts; without assertions the same fault must not get through as something else."""
    wheel = on_disk(tmp_path, zipped(wheel_files(FILES | {f"{INFO}/entry_points.txt": b"[console_scripts]\na = b\n"})))
    code = (
        "import sys; from pathlib import Path; from rayimage.errors import WheelError; "
        "from rayimage.layers import *; from tests.support.wheelmaker import LAYOUT; "
        "from rayimage.model.digest import Digest\n"
        "path = Path(sys.argv[1])\n"
        "try: write_wheel_layer([WheelOnDisk(path, path.name, Digest.of(b''))], LAYOUT, path.with_suffix('.layer'))\n"
        "except WheelError: sys.exit(6)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-O", "-c", code, wheel.path], cwd=root, check=False).returncode == 6


@pytest.mark.parametrize("missing", ["WHEEL", "RECORD"])
def test_missing_metadata(tmp_path: Path, missing: str) -> None:
    files = wheel_files(FILES)
    del files[f"{INFO}/{missing}"]
    assert f"it has no {INFO}/{missing}" in refusal(tmp_path, zipped(files))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("WHEEL", WHEEL_FILE.replace(b"1.0", b"2.0")), ("WHEEL", b""), ("RECORD", b"a,b\n"), ("RECORD", b"\xff"),
        ("entry_points.txt", b"no section"), ("entry_points.txt", b"[console_scripts]\n\xff = a:b"),
    ],
)  # fmt: skip
def test_malformed_metadata(tmp_path: Path, name: str, data: bytes) -> None:
    refusal(tmp_path, zipped(wheel_files(FILES) | {f"{INFO}/{name}": data}))


def test_huge_metadata_is_not_read(tmp_path: Path) -> None:
    assert "larger than 64 MiB" in refusal(tmp_path, zipped(wheel_files(FILES) | {f"{INFO}/WHEEL": bytes(65 << 20)}))


@pytest.mark.parametrize(
    "filename",
    [
        "other-1.0-py3-none-any.whl",
        "demo-1.1-py3-none-any.whl",
        "demo-1.0.zip",
        "demo.whl",
        "demo-x.y-py3-none-any.whl",
    ],
)
def test_a_file_name_that_is_not_the_wheels(tmp_path: Path, filename: str) -> None:
    refusal(tmp_path, zipped(wheel_files(FILES)), filename)


@pytest.mark.parametrize(
    ("name", "version", "filename"),
    [
        ("Foo_Bar", "1.0", "foo.bar-1.0.0-py3-none-any.whl"),
        ("foo-bar", "1.0", "foo_bar-1.0-py3-none-any.whl"),
        ("demo", "1.0+cpu", "demo-1.0+cpu-1-cp311-cp311-linux_x86_64.whl"),
    ],
)
def test_names_and_versions_are_compared_as_such(tmp_path: Path, name: str, version: str, filename: str) -> None:
    wheel = on_disk(tmp_path, zipped(wheel_files(FILES, name, version)), filename)
    assert write_wheel_layer([wheel], LAYOUT, tmp_path / "layer").files


@pytest.mark.parametrize("extra", ["other-1.0.dist-info/METADATA", ""])
def test_not_exactly_one_dist_info(tmp_path: Path, extra: str) -> None:
    files = wheel_files(FILES) | {extra: b""} if extra else FILES
    assert "exactly one .dist-info" in refusal(tmp_path, zipped(files))


@pytest.mark.parametrize(
    "data", [b"", b"not a zip", zipped({}), zipped(wheel_files(FILES))[:-30], b"PK\x05\x06" + bytes(18)]
)
def test_not_a_wheel(tmp_path: Path, data: bytes) -> None:
    refusal(tmp_path, data)


def test_no_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path, WheelOnDisk(tmp_path / "gone", NAME, Digest.of(b"")))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression(tmp_path: Path, method: int) -> None:
    buffer = io.BytesIO(zipped(wheel_files(FILES)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(member("demo/x.py", method=method), b"x" * 99)
    assert f"'demo/x.py': compression method {method}" in refusal(tmp_path, buffer.getvalue())


def patched(change: Callable[[bytearray, int, int], None], name: bytes = b"demo/core.py") -> bytes:
    """A wheel after ``change(data, local header, directory entry)`` of the member ``name``."""
    data = bytearray(zipped(wheel_files(FILES)))
    local = data.index(b"PK\x03\x04")
    while data[local + 30 : local + 30 + len(name)] != name:
        local = data.index(b"PK\x03\x04", local + 4)
    entry = data.index(b"PK\x01\x02")
    while data[entry + 46 : entry + 46 + len(name)] != name:
        entry = data.index(b"PK\x01\x02", entry + 4)
    change(data, local, entry)
    return bytes(data)


def put(offset: int, form: str, value: int, *, add: bool = False) -> Callable[[bytearray, int, int], None]:
    def change(data: bytearray, local: int, entry: int) -> None:
        at = entry + offset
        old = struct.unpack_from(form, data, at)[0] if add else 0
        struct.pack_into(form, data, at, old + value)

    return change


def break_data(data: bytearray, local: int, entry: int) -> None:
    data[local + 30 + 12] ^= 0xFF


def rename_local(data: bytearray, local: int, entry: int) -> None:
    data[local + 30 : local + 34] = b"evil"


def no_local(data: bytearray, local: int, entry: int) -> None:
    data[local : local + 2] = b"XX"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (put(8, "<H", 0x1), "encrypted"),
        (put(8, "<H", 0x20), "compression method"),
        (put(16, "<L", 0), "CRC-32 is"),
        (put(24, "<L", 1, add=True), "it has 2000 bytes, the zip directory says 2001"),
        (put(24, "<L", -1, add=True), "longer than the 1999 bytes"),
        (put(20, "<L", -1, add=True), "does not end"),
        (put(20, "<L", 1, add=True), "overlaps what follows"),
        (put(42, "<L", 1 << 24), "behind its directory"),
        (put(42, "<L", 3, add=True), "local header is not the one"),
        (break_data, "deflate stream is broken"),
        (rename_local, "local header is not the one"),
        (no_local, "local header is not the one"),
    ],
)
def test_members_that_are_not_as_declared(tmp_path: Path, change: Callable, why: str) -> None:
    assert why in refusal(tmp_path, patched(change))


def test_bytes_after_the_end_of_a_stream(tmp_path: Path) -> None:
    """The next member says where it begins, so that it does not count as an overlap."""
    files = wheel_files(FILES)
    whole = zipped(files)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        first, second = archive.infolist()[:2]
        start = archive.start_dir
    data = bytearray(whole[: second.header_offset] + b"more" + whole[second.header_offset :])
    at, count = start + 4, len(files)
    for number in range(count):
        assert data[at : at + 4] == b"PK\x01\x02"
        if number == 0:
            struct.pack_into("<L", data, at + 20, first.compress_size + 4)
        else:
            struct.pack_into("<L", data, at + 42, struct.unpack_from("<L", data, at + 42)[0] + 4)
        at += 46 + sum(struct.unpack_from("<HHH", data, at + 28))
    struct.pack_into("<L", data, at + 16, start + 4)
    assert "bytes follow the end of its deflate stream" in refusal(tmp_path, bytes(data))


def test_members_that_share_bytes(tmp_path: Path) -> None:
    def share(data: bytearray, local: int, entry: int) -> None:
        later = data.index(b"PK\x01\x02", entry + 4)
        struct.pack_into("<L", data, later + 42, local)

    assert "share their bytes" in refusal(tmp_path, patched(share))


def test_members_that_lie_before_the_file(tmp_path: Path) -> None:
    """zipfile takes the directory's offset for what precedes the archive, and counts from there."""
    data = bytearray(zipped(wheel_files(FILES)))
    struct.pack_into("<L", data, data.rindex(b"PK\x05\x06") + 16, 0xFFFFFFFE)
    assert "before its start" in refusal(tmp_path, bytes(data))


def test_a_dist_info_file_that_ends_early(tmp_path: Path) -> None:
    assert "does not end" in refusal(tmp_path, patched(put(20, "<L", -1, add=True), f"{INFO}/WHEEL".encode()))


def test_a_huge_script_that_would_be_rewritten(tmp_path: Path) -> None:
    files = {"demo-1.0.data/scripts/tool": b"#!python\n" + bytes(17 << 20)}
    assert "larger than 16 MiB" in refusal(tmp_path, zipped(wheel_files(files)))


def test_a_huge_program_among_the_scripts_is_fine(tmp_path: Path) -> None:
    wheel = on_disk(tmp_path, zipped(wheel_files({"demo-1.0.data/scripts/tool": b"\x7fELF" + bytes(17 << 20)})))
    assert write_wheel_layer([wheel], LAYOUT, tmp_path / "layer").unpacked_size > 17 << 20
