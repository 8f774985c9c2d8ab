from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from rayimage.layers.elf import read_elf
from tests.support.elf import make_elf


@pytest.mark.parametrize(
    ("versions", "glibc"),
    [
        ((), None),
        (("GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.4"), "2.34"),
        (("GCC_3.0", "CXXABI_1.3"), None),
        (("GLIBC_PRIVATE",), None),
        (("GLIBC_2.17", "GLIBC_ABI_DT_RELR"), "2.36"),
    ],
)
def test_the_glibc_that_is_needed(versions, glibc):
    elf = read_elf(make_elf(62, *versions))
    assert elf.machine == "x86_64"
    assert elf.versions == set(versions)
    assert elf.glibc == (Version(glibc) if glibc else None)


def test_machines():
    assert read_elf(make_elf(183)).machine == "aarch64"
    assert read_elf(make_elf(9999)).machine == "machine 9999"


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n" * 100, b"\x7fELF\x09\x01" + bytes(100)])
def test_what_is_none(data):
    assert read_elf(data) is None


def test_what_was_cut_off_is_none():
    whole = make_elf(62, "GLIBC_2.34")
    assert read_elf(whole[:-40]) is None


@given(st.binary(max_size=400))
def test_nonsense_is_none_or_read_in_the_end(tail):
    read_elf(make_elf(62)[:64] + tail)


def test_the_interpreter_that_runs_this():
    libc = Path("/lib/x86_64-linux-gnu/libc.so.6")
    if not libc.exists():
        pytest.skip("libc.so.6: not where Debian has it")
    assert read_elf(libc.read_bytes()).machine == "x86_64"
