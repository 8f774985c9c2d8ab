from __future__ import annotations

import zipfile

import pytest

from rayimage.builders.wheel_checks import check_built_wheel
from rayimage.errors import WheelError
from tests.support.elf import make_elf
from tests.support.values import inventory


def check(tmp_path, **files):
    path = tmp_path / "x-1-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"x/{name}.so", data)
    check_built_wheel(path, "x 1", inventory(), ["/home/somebody/"])


def test_what_fits(tmp_path):
    check(tmp_path, a=make_elf(62, "GLIBC_2.35"), b=b"VALUE = 1\n")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (make_elf(183), "x/a.so is for aarch64, the base for x86_64"),
        (make_elf(62, "GLIBC_2.38"), "x/a.so needs glibc 2.38, the base has 2.35"),
    ],
)
def test_what_would_not_load(data, why, tmp_path):
    with pytest.raises(WheelError, match="would not load") as caught:
        check(tmp_path, a=data, b=make_elf(62))
    assert caught.value.why == why


def test_a_path_of_this_machine(tmp_path):
    with pytest.raises(WheelError, match="names paths of this machine") as caught:
        check(tmp_path, a=make_elf(62) + b"\0/home/somebody/src/x.c\0")
    assert caught.value.why == "x/a.so: /home/somebody/"
