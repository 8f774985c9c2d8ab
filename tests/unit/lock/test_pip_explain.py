from __future__ import annotations

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock import NoSolution, Question
from rayimage.lock.pip_explain import conflicting, failure, unreachable
from rayimage.lock.target import Target
from tests.unit.lock.samples import AMD64, inventory

TARGET = Target(python=Version("3.11.2"), platform=AMD64, glibc=Version("2.35"))
QUESTION = Question(
    subject="role worker on linux/amd64",
    target=TARGET,
    sources=(),
    ray=Version("2.55.1"),
    bases=(inventory("click==8.1.7"),),
    constraints={canonicalize_name("shared"): Version("2.0")},
    holders={canonicalize_name("shared"): "role head on linux/amd64"},
)
STAMP = "2026-11-24T16:33:07,263"


def stamped(text):
    return "".join(f"{STAMP} {line}\n" for line in text.splitlines())


# pip 26.3's log, shortened, with the hosts replaced.
CONFLICT = stamped("""\
  Will try a different candidate, due to conflict:
      The user requested click<7
      ray 2.55.1 depends on click>=7.0
  ERROR: Cannot install -r base.in (line 1) and click<7 because these package versions have conflicting dependencies.

  The conflict is caused by:
      The user requested click<7
      ray 2.55.1 depends on click>=7.0

  Additionally, some packages in these conflicts have no matching distributions available for your environment:
      click
""")
HELD = stamped("""\
  The conflict is caused by:
      thing[all] 1.0 depends on shared>=3
      The user requested (constraint) shared==2.0
      The user requested other<3
      The user requested ray==2.55.1

""")
SKIPPED = """\
    Skipping link: No sources permitted for thing: https://files.example.com/aa/thing-3.5.0.tar.gz (from https://example.com/simple/thing/) (requires-python:>=3.8)
    Skipping link: none of the wheel's tags (cp39-cp39-win_amd64) are compatible (run pip debug --verbose to show compatible tags): https://u:secret@files.example.com/thing-3.5.0-cp39-cp39-win_amd64.whl
    Skipping link: No sources permitted for thing: https://files.example.com/thing-3.4.0.tar.gz
    Skipping link: No sources permitted for thing: https://files.example.com/thing-else-3.5.0.tar.gz
  ERROR: Could not find a version that satisfies the requirement thing==3.5.0 (from versions: none)
"""


def test_who_is_in_conflict():
    assert conflicting(CONFLICT) == {"ray"}
    assert conflicting(HELD) == {"thing"}
    assert conflicting("nothing of the kind") == frozenset()


def test_a_conflict_with_ray():
    error = failure(QUESTION, CONFLICT, "Traceback …")
    assert isinstance(error, NoSolution)
    assert error.what == "no solution for role worker on linux/amd64"
    assert error.why == "you require click<7, and ray 2.55.1 depends on click>=7.0"
    assert error.fix == "Ray stays at the base's 2.55.1: change the other requirement, or choose another base"


def test_a_conflict_with_what_another_role_has():
    error = failure(QUESTION, HELD, "")
    assert error.why == (
        "thing[all] 1.0 depends on shared>=3, and shared==2.0 is what role head on linux/amd64 has, "
        "and you require other<3, and the base has Ray 2.55.1"
    )
    assert error.fix.startswith("relax one")


@pytest.mark.parametrize(
    ("log", "why", "fix"),
    [
        (SKIPPED, "thing==3.5.0 has no wheel for Python 3.11 on linux/amd64 (glibc 2.35); there are thing-3.5.0-cp39-cp39-win_amd64.whl, thing-3.5.0.tar.gz", "--find-links"),
        (
            "ERROR: Could not find a version that satisfies the requirement numpy<1.20 (from versions: 1.23.2, 1.23.3, 2.0, 2.1)",
            "numpy<1.20 is required, and there are wheels of 1.23.2 … 2.1 only",
            "relax",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement nmupy (from versions: none)",
            "nmupy was not found in any package index that pip is configured for",
            "spelling",
        ),
    ],
)  # fmt: skip
def test_a_package_that_is_missing(log, why, fix):
    error = failure(QUESTION, stamped(log), "")
    assert isinstance(error, NoSolution)
    assert error.why == why
    assert fix in error.fix


LOST = "Could not fetch URL http://user:****@127.0.0.1:9/simple/x/: connection error: [Errno 111] Connection refused - skipping"
BUSY = "Could not fetch URL https://example.com/simple/x/: 429 Client Error: Too Many Requests for url: https://example.com/simple/x/ - skipping"
BROKEN = "Could not fetch URL https://example.com/simple/x/: 503 Server Error: Unavailable for url: https://example.com/simple/x/ - skipping"
ABSENT = "Could not fetch URL https://example.com/simple/x/: 404 Client Error: Not Found for url: https://example.com/simple/x/ - skipping"
REFUSED = "Could not fetch URL https://example.com/simple/x/?t=secret: 401 Client Error: Unauthorized for url: https://u:secret@example.com/simple/x/ - skipping"


@pytest.mark.parametrize("line", [LOST, BUSY, BROKEN])
def test_an_index_that_cannot_be_asked(line):
    assert unreachable(stamped(line)).what == "a package index cannot be reached"
    assert "user" not in unreachable(stamped(line)).why
    assert failure(QUESTION, stamped(f"{ABSENT}\n{line}\n{SKIPPED}"), "").what == "a package index cannot be reached"


def test_a_project_that_an_index_does_not_have_is_no_fault():
    assert unreachable(stamped(f"{ABSENT}\n{REFUSED}")) is None


def test_an_index_that_refuses():
    error = failure(QUESTION, stamped(f"{REFUSED}\n{SKIPPED}"), "")
    assert error.what == "a package index refused the request"
    assert "401" in error.why
    assert "secret" not in error.why
    assert "netrc" in error.fix


@pytest.mark.parametrize(
    ("stderr", "why"),
    [
        ("Traceback (most recent call last):\n  File …\npip._internal.exceptions.InstallationError: Invalid x @ https://u:p@h/\n", "Invalid x @ https://h/"),
        ("Usage: python -m piptools compile\n\nError: No such option: --x\n", "No such option: --x"),
        ("WARNING: a file\nERROR: Could not open it\n", "Could not open it"),
        ("only words\n", "only words"),
        ("", "it says nothing"),
    ],
)  # fmt: skip
def test_other_failures(stderr, why):
    error = failure(QUESTION, "", stderr)
    assert type(error) is LockError
    assert error.why == why
