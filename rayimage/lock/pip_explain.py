"""What pip's log says of a resolution that failed, as a cause and a next step.

pip-compile itself ends in a traceback. pip's log (``--log``) has the rest: which pages could not be had, which files of
a project were passed over and why, and the requirements in conflict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from rayimage.errors import LockError
from rayimage.lock.engine import NoSolution, Question
from rayimage.lock.explain import redact

__all__ = ["conflicting", "failure", "unreachable"]

_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d+ ", re.MULTILINE)
_NO_PAGE = re.compile(r"Could not fetch URL (?P<url>\S+): (?P<why>.+?)(?: - skipping)?$", re.MULTILINE)
_REFUSED = re.compile(r"\b40[13] Client Error")
_ABSENT = re.compile(r"\b(?:401|403|404|410) Client Error")
_CONFLICT = re.compile(r"^ *The conflict is caused by:\n(?P<lines>(?: +\S.*\n)+)", re.MULTILINE)
_DEPENDS = re.compile(r"^ *(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])? \S+ depends on ", re.MULTILINE)
_NOT_FOUND = re.compile(
    r"Could not find a version that satisfies the requirement (?P<what>.+?) \(from versions: (?P<versions>[^)]*)\)"
)
_SKIPPED = re.compile(
    r"Skipping link: (?:none of the wheel's tags|No (?:sources|binaries) permitted)[^\n]*?: (?P<url>\S+)"
)
_ERROR = re.compile(r"^(?:[\w.]*\b(?:Error|Exception|[A-Z]\w+)): (?P<why>.+)$|^ *ERROR: (?P<text>.+)$", re.MULTILINE)
_SHOWN = 3


def conflicting(log: str) -> frozenset[NormalizedName]:
    """The packages whose requirements pip found in conflict with each other or with the user's."""
    found = _CONFLICT.findall(_plain(log))
    return frozenset(canonicalize_name(name) for name in _DEPENDS.findall(found[-1] if found else ""))


def unreachable(log: str) -> LockError | None:
    """An error when an index could not be asked.

    pip goes on without an index that does not answer, and resolves to something else than yesterday.
    """
    for page in _NO_PAGE.finditer(_plain(log)):
        # 403 is also what some indexes answer for a project that they do not have.
        if not _ABSENT.search(page["why"]):
            return LockError(
                "a package index cannot be reached",
                why=redact(f"{page['url']}: {page['why']}"),
                fix="check the network, the proxy and the index's URL in pip's configuration, then run it again",
            )
    return None


def failure(question: Question, log: str, stderr: str) -> LockError:
    """The error that a failed run amounts to; ``log`` is pip's, ``stderr`` pip-compile's or pip's own."""
    text = _plain(log)
    subject = f"no solution for {question.subject}"
    if lost := unreachable(log):
        return lost
    if refused := next((page for page in _NO_PAGE.finditer(text) if _REFUSED.search(page["why"])), None):
        return LockError(
            "a package index refused the request",
            why=redact(f"{refused['url']}: {refused['why']}"),
            fix="check the index's URL, and give pip its credentials (a .netrc file, a keyring, or in the URL in "
            "PIP_INDEX_URL or pip.conf)",
        )
    if conflict := _CONFLICT.findall(text):
        return NoSolution(subject, why=_conflict(question, conflict[-1]), fix=_advice(question, conflict[-1]))
    if missing := list(_NOT_FOUND.finditer(text)):
        return _missing(question, missing[-1], text)
    return LockError(f"pip-tools cannot lock {question.subject}", why=_last_error(stderr), fix="correct what it names")


def _plain(log: str) -> str:
    return _STAMP.sub("", log)


def _conflict(question: Question, lines: str) -> str:
    """``ray 2.55.1 depends on click>=7.0, and you require click<7``."""
    causes = dict.fromkeys(_cause(question, line.strip()) for line in lines.splitlines())
    return redact(", and ".join(causes))


def _cause(question: Question, line: str) -> str:
    """Who is meant: pip calls "the user" who wrote a file that it was given; these are ours, too."""
    if line == f"The user requested ray=={question.ray}":
        return f"the base has Ray {question.ray}"
    pin = re.fullmatch(r"The user requested (?:\(constraint\) )?(?P<name>[\w.-]+)==(?P<version>\S+)", line)
    holder = question.holders.get(canonicalize_name(pin["name"])) if pin else None
    if pin and holder:
        return f"{pin['name']}=={pin['version']} is what {holder} has"
    return re.sub(r"^The user requested (?:\(constraint\) )?", "you require ", line)


def _advice(question: Question, text: str) -> str:
    if re.search(rf"^ *ray {re.escape(str(question.ray))} depends on", text, re.MULTILINE):
        return f"Ray stays at the base's {question.ray}: change the other requirement, or choose another base"
    return "relax one of the requirements named above, or choose another base"


def _missing(question: Question, found: re.Match[str], log: str) -> NoSolution:
    subject = f"no solution for {question.subject}"
    wanted = Requirement(found["what"])
    versions = [version for version in found["versions"].split(", ") if version not in ("", "none")]
    if versions:
        few = versions if len(versions) <= _SHOWN else [versions[0], "…", versions[-1]]
        why = f"{wanted} is required, and there are wheels of {' '.join(few)} only"
        return NoSolution(subject, why=why, fix="relax that requirement, or what requires it")
    if others := sorted(set(_passed_over(wanted, log))):
        few = others if len(others) <= _SHOWN else [*others[: _SHOWN - 1], "…", others[-1]]
        return NoSolution(
            subject,
            why=f"{wanted} has no wheel for {question.target}; there are {', '.join(few)}",
            fix=f"allow a version that has a wheel for {question.target}, or build one and give its directory with "
            "--find-links: source distributions are not built here",
        )
    return NoSolution(
        subject,
        why=f"{wanted} was not found in any package index that pip is configured for",
        fix="check the spelling of the name, or configure the index that has the package",
    )


def _passed_over(wanted: Requirement, log: str) -> Iterator[str]:
    """The files that would do but for being no wheels, or wheels for something else."""
    for skipped in _SKIPPED.finditer(log):
        filename = unquote(redact(skipped["url"]).rpartition("/")[2])
        try:
            name, version = (parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename)(filename)[:2]
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue
        if name == canonicalize_name(wanted.name) and wanted.specifier.contains(version, prereleases=True):
            yield filename


def _last_error(stderr: str) -> str:
    """The last line that states an error: of a traceback, pip's, or click's."""
    errors = [match["why"] or match["text"] for match in _ERROR.finditer(stderr)]
    lines = [line for line in stderr.splitlines() if line.strip()]
    return redact((errors or lines or ["it says nothing"])[-1].strip())
