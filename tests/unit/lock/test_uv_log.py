"""uv's own words (0.13.9); that it still says so is asked of the real uv in the integration tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from rayimage.lock.uv_log import requirements_of, specifier, without_log, yanked_in

LOG = """\
DEBUG Solving with target Python version: >=3.11.13
DEBUG Adding direct dependency: transformers*
DEBUG Selecting: transformers==5.24.0 [compatible] (transformers-5.24.0-py3-none-any.whl)
DEBUG Adding transitive dependency for transformers==5.24.0: huggingface-hub>=1.31.0, <3.0
DEBUG Adding transitive dependency for transformers==5.24.0: typer*
DEBUG Adding transitive dependency for fastapi==0.165.0: fastapi==0.165.0
DEBUG Adding transitive dependency for fastapi==0.165.0: fastapi[standard]==0.165.0
DEBUG Adding transitive dependency for fastapi[standard]==0.165.0: uvicorn[standard]>=0.12.0
DEBUG Adding transitive dependency for huggingface-hub==3.0.0: click>=9
DEBUG Adding transitive dependency for huggingface-hub==2.4.0: hf-xet{platform_machine == 'AMD64' or platform_machine == 'x86_64'}>=1.6.0, <2.0.0
DEBUG Adding transitive dependency for torch==2.7.1+cpu: Sym_Py>=1
DEBUG Adding transitive dependency for odd==not-a-version: x
DEBUG Adding transitive dependency for transformers==5.24.0: direct @ https://example.com/direct-1.0-py3-none-any.whl
error: No solution found when resolving dependencies
  cause: Because DEBUG is a word.
"""
SOLUTION = {
    "transformers": Version("5.24"),
    "fastapi": Version("0.165.0"),
    "huggingface-hub": Version("2.4.0"),
    "torch": Version("2.7.1+cpu"),
    "typer": Version("1"),
}


def test_requirements_of_the_solution():
    assert requirements_of(LOG, SOLUTION) == {
        "transformers": ("huggingface-hub<3.0,>=1.31.0", "typer"),
        "fastapi": ("uvicorn[standard]>=0.12.0",),
        "huggingface-hub": ("hf-xet<2.0.0,>=1.6.0",),
        "torch": ("sym-py>=1",),
        "typer": (),
    }


def test_a_log_that_is_not_understood_says_nothing():
    assert requirements_of("debug: something else entirely\n", SOLUTION) == {}
    assert requirements_of("", SOLUTION) == {}


def test_errors_are_told_from_the_log():
    assert without_log(LOG).startswith("error: No solution found")
    assert without_log(LOG).endswith("cause: Because DEBUG is a word.\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", ""),
        (">=2.6, <2.6+", "==2.6"),
        ("==2.6", "==2.6"),
        ("==2.6+cpu", "==2.6+cpu"),
        (">=2.6.dev0, <2.7.dev0", "==2.6.*"),
        (">=2.dev0, <3.dev0", "==2.*"),
        (">2.6", ">2.6"),
        ("<=2.6+", "<=2.6"),
        ("<2.6 | >=2.6+", "!=2.6"),
        ("<2.6.dev0 | >=2.7.dev0", "!=2.6.*"),
        (">=2.6, <3.dev0", "<3,>=2.6"),
        ("<1.0 | >=1.0+, <2.0 | >=2.0+, <3", "!=1.0,!=2.0,<3"),
        (">=2.1, <2.5.dev0 | >=2.6.dev0, <2.6 | >=2.6+, <3.dev0", "!=2.5.*,!=2.6,<3,>=2.1"),
        ("<3.0a1", "<3.0a1"),
        ("<1 | >=2", ""),
        ("nonsense", ""),
        (">=2.x.dev0, <3.dev0", ""),
    ],
)
def test_ranges_as_specifiers(text, expected):
    assert specifier(text) == expected


@given(st.text())
def test_no_text_is_too_strange(text):
    assert isinstance(specifier(text), str)
    assert requirements_of(f"DEBUG Adding transitive dependency for a==1: b{text}\n", {"a": Version("1")}).keys() <= {
        "a"
    }


def test_yanked_releases():
    stderr = (
        "DEBUG Adding transitive dependency for a==1: b\n"
        'warning: `Attrs==21.1.0` is yanked (reason: "Not importable on Python 3.4.")\n'
        "warning: `b-c==1` is yanked\n"
        "warning: something else\n"
    )
    assert yanked_in(stderr) == {"attrs": "Not importable on Python 3.4.", "b-c": ""}


def test_of_a_failure_only_the_error_is_left():
    stderr = (
        "    Updating file:///repository (HEAD)\n"
        "     Updated file:///repository (861cb0ba)\n"
        "warning: `a==1` is yanked\n"
        "DEBUG Adding transitive dependency for a==1: b\n"
        "  × No solution found when resolving dependencies:\n"
        "  ╰─▶ Because b was not found, we can conclude that your requirements are\n"
        "      unsatisfiable.\n"
    )
    assert without_log(stderr).splitlines()[0] == "  × No solution found when resolving dependencies:"
    assert len(without_log(stderr).splitlines()) == 3
