"""uv's own words (0.13 unless said otherwise), with the hosts replaced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock import NoSolution, Question
from rayimage.lock.explain import failure, redact, shorten, without_wheel
from rayimage.lock.target import Target
from tests.unit.lock.samples import inventory

BASE = inventory("click==8.1.7")
QUESTION = Question(
    subject="role worker on linux/amd64", target=Target.of(BASE), sources=(), ray=Version("2.55.1"), bases=(BASE,)
)

CONFLICT = """\
error: No solution found when resolving dependencies
  cause: Because all of:
             numpy<=1.9.3
             numpy>=1.10.0.post2,<=1.10.2
             numpy>=1.10.4,<=1.19.5
          have no usable wheels and only the following versions of numpy are available:
             numpy<=1.9.3
             numpy==1.10.0
             numpy>=1.10.0.post2,<=1.10.2
             numpy==1.10.3
             numpy>=1.10.4
         we can conclude that all of:
             numpy<1.10.0
             numpy>1.10.3,<=1.19.5
          cannot be used.
         And because only the following versions of numpy are available:
             numpy<=1.19.5
             numpy>=1.20
         and you require numpy<1.20, we can conclude that your requirements are unsatisfiable.

hint: Wheels are required for `numpy` because building from source is disabled for all packages (i.e., with `--no-build`)

hint: You require CPython 3.11 (`cp311`), but we only found wheels for `numpy` (v1.10.3) with the following Python ABI tags: `cp26m`
"""
BOXED = (
    "\x1b[31m  \u00d7\x1b[0m No solution found when resolving dependencies:\n"
    "\x1b[31m  ╰─▶ \x1b[0mBecause only the following versions of numpy are available:\n"
    + "".join(f"          numpy==1.{minor}.0\n" for minor in range(3, 21))
    + "      and numpy<=1.9.3 has no usable wheels, we can conclude that numpy<=1.9.3\n"
    "      cannot be used.\n\n"
    "      \x1b[36mhint\x1b[0m: Wheels are available for `numpy` (v1.9) on the\n      following platforms: `win32`\n"
)
RAY = """\
error: No solution found when resolving dependencies
  cause: Because ray==2.55.1 depends on click>=7 and you require ray==2.55.1, we can conclude that you require click>=7.
         And because you require click<7, we can conclude that your requirements are unsatisfiable.
"""
ABSENT = """\
error: No solution found when resolving dependencies
  cause: Because nope was not found in the package registry and you require nope, we can conclude that your requirements are unsatisfiable.
"""
UNREACHABLE = """\
error: Request failed after 3 retries in 7.9s
  cause: Failed to fetch: https://user:secret@index.example.com/simple/numpy/?token=secret
  cause: error sending request for url (https://index.example.com/simple/numpy/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""
UNREACHABLE_09 = """\
error: Failed to fetch: `http://index.example.com/simple/numpy/`
  Caused by: Request failed after 3 retries
  Caused by: dns error
"""
DENIED = (
    ABSENT
    + """
hint: An index URL (http://user:secret@index.example.com/simple) could not be queried due to a lack of valid authentication credentials (401 Unauthorized)
"""
)
FORBIDDEN = (
    ABSENT
    + """
hint: An index (http://index.example.com/simple) returned a 403 Forbidden error. Check that the index URL is correct and the credentials are valid.
"""
)
GONE = """\
error: Failed to download `foo @ https://files.example.com/foo-1.0-py3-none-any.whl`
  cause: Failed to fetch: https://files.example.com/foo-1.0-py3-none-any.whl
  cause: HTTP status client error (404 Not Found) for url (https://files.example.com/foo-1.0-py3-none-any.whl)
"""
SYNTAX = """\
error: Couldn't parse requirement in `r.in` at position 0
  cause: no such comparison operator "=====", must be one of ~= == != <= >= < > ===
         foo ===== 2
             ^^^^^^^
"""


def test_a_conflict_in_one_paragraph():
    why, hints = shorten(CONFLICT)
    assert why == (
        "Because all of: numpy<=1.9.3, numpy>=1.10.0.post2,<=1.10.2, numpy>=1.10.4,<=1.19.5 have no usable wheels and "
        "only the following versions of numpy are available: numpy<=1.9.3, numpy==1.10.0 … numpy>=1.10.4, we can "
        "conclude that all of: numpy<1.10.0, numpy>1.10.3,<=1.19.5 cannot be used. And because only the following "
        "versions of numpy are available: numpy<=1.19.5, numpy>=1.20 and you require numpy<1.20, we can conclude that "
        "your requirements are unsatisfiable."
    )
    assert hints == (
        (
            "You require CPython 3.11 (`cp311`), but we only found wheels for `numpy` (v1.10.3) with the following "
            "Python ABI tags: `cp26m`."
        ),
    )


def test_the_boxed_form_with_colours():
    why, hints = shorten(BOXED)
    assert why == (
        "Because only the following versions of numpy are available: numpy==1.3.0, numpy==1.4.0 … numpy==1.20.0 and "
        "numpy<=1.9.3 has no usable wheels, we can conclude that numpy<=1.9.3 cannot be used."
    )
    assert hints == ("Wheels are available for `numpy` (v1.9) on the following platforms: `win32`.",)


def test_a_long_chain_keeps_its_ends():
    steps = [f"And because p{n}==1 depends on p{n + 1}{' and so on' * 8}, p{n} cannot be used." for n in range(30)]
    why, _ = shorten(
        "error: No solution found\n  cause: Because the premise.\n  " + "\n  ".join([*steps, "And because the end."])
    )
    assert "Because the premise. … And because p29" in why
    assert why.endswith("And because the end.")
    assert len(why) < 900


def test_one_endless_sentence_is_cut():
    why, _ = shorten("Because " + "x " * 5000)
    assert len(why) < 2000


@pytest.mark.parametrize(
    ("stderr", "code", "kind", "what", "why", "fix"),
    [
        (CONFLICT, 1, NoSolution, "no solution for role worker on linux/amd64", "you require numpy<1.20", "has a wheel for Python 3.11"),
        (BOXED, 1, NoSolution, "no solution for role worker on linux/amd64", "`win32`", "--find-links"),
        (RAY, 1, NoSolution, "no solution for role worker on linux/amd64", "ray==2.55.1 depends on click>=7", "Ray stays"),
        (ABSENT, 1, NoSolution, "no solution for role worker on linux/amd64", "nope was not found", "spelling"),
        (UNREACHABLE, 2, LockError, "a package index cannot be reached", "simple/numpy/: error sending", "network"),
        (UNREACHABLE_09, 2, LockError, "a package index cannot be reached", "retries: dns error", "network"),
        (DENIED, 1, LockError, "a package index refused the request", "(http://index.example.com/simple)", "credentials"),
        (FORBIDDEN, 1, LockError, "a package index refused the request", "403 Forbidden", "credentials"),
        (GONE, 2, LockError, "uv cannot lock role worker on linux/amd64", "404 Not Found", "correct"),
        (SYNTAX, 2, LockError, "uv cannot lock role worker on linux/amd64", "no such comparison operator", "correct"),
        ("", -9, LockError, "uv cannot lock role worker on linux/amd64", "", "correct"),
    ],
)  # fmt: skip
def test_failures(stderr, code, kind, what, why, fix):
    error = failure(QUESTION, stderr, code)
    assert type(error) is kind
    assert error.what == what
    assert why in error.why
    assert fix in error.fix
    assert "secret" not in str(error)
    assert "\x1b" not in str(error)


WINDOWS = """\
error: No solution found when resolving dependencies
  cause: Because w==1 has no wheels with a matching platform tag (e.g., `manylinux_2_35_x86_64`) and you require w==1, we can conclude that your requirements are unsatisfiable.

hint: Wheels are available for `w` (v1) on the following platform: `win_amd64`
"""
SOURCES = """\
error: No solution found when resolving dependencies
  cause: Because z==2 has no usable
         wheels and you require z==2, we can conclude that your requirements are unsatisfiable.

hint: Wheels are required for `z` because building from source is disabled for all packages (i.e., with `--no-build`)
"""


def test_what_there_is_instead_of_a_wheel():
    assert without_wheel(WINDOWS) == ("w==1",)
    error = failure(QUESTION, WINDOWS, 1, {"w==1": ("w-1-cp311-cp311-win_amd64.whl",)})
    assert error.why.endswith("unsatisfiable. Of w==1 there is w-1-cp311-cp311-win_amd64.whl; no source distribution.")
    assert error.fix.endswith("there is nothing to build one from either")


def test_a_source_distribution_would_do():
    assert without_wheel(SOURCES) == ("z==2",)
    error = failure(QUESTION, SOURCES, 1, {"z==2": ()})
    assert error.why.endswith("Of z==2 there is a source distribution.")
    assert "or build one and give its directory with --find-links" in error.fix


def test_many_wheels_are_not_all_listed():
    wheels = tuple(f"w-1-cp3{minor}-cp3{minor}-win_amd64.whl" for minor in range(8, 15))
    error = failure(QUESTION, WINDOWS, 1, {"w==1": wheels})
    assert "Of w==1 there is w-1-cp38-cp38-win_amd64.whl, w-1-cp39-cp39-win_amd64.whl, …, w-1-cp314-cp314" in error.why


def test_who_holds_a_version_is_named():
    base = 'the base rayproject/ray:2.55.1 (base-packages = "pin")'
    held = replace(
        QUESTION,
        constraints={"click": Version("7"), "ray": Version("2"), "y": Version("7")},
        holders={"click": base, "ray": "nobody", "y": "role head on linux/amd64"},
    )
    text = RAY.replace("click<7", "click==7").replace("Because ray", "Because x-y==7 and y==7.1 and ray")
    error = failure(held, text, 1)
    assert error.why.endswith(f"click==7 is held by {base}.")
    assert "is held by nobody" not in error.why
    assert "role head" not in error.why
    assert 'base-packages = "prefer"' in failure(held, text.replace("2.55.1", "2.55"), 1).fix


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://user:p@ss@example.com/a/b?x=1#y and", "see https://example.com/a/b and"),
        ("(git+ssh://token@example.com/r.git)", "(git+ssh://example.com/r.git)"),
        ("https://example.com/@scope/x.whl", "https://example.com/@scope/x.whl"),
        ("no url: a@b ? c", "no url: a@b ? c"),
        (f"file://{Path('/a/b%2Bc.whl')}", "file:///a/b%2Bc.whl"),
    ],
)
def test_redact(text, expected):
    assert redact(text) == expected
