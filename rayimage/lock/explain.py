"""A resolver's complaint as a cause and a next step.

Reads the prose of uv (both the plain form and the boxed form before uv 0.10): a chain of "Because …" sentences, long
lists of versions, and hints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from packaging.utils import canonicalize_name

from rayimage.errors import LockError
from rayimage.lock.engine import NoSolution, Question

__all__ = ["failure", "redact", "shorten", "without_wheel"]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PREFIX = re.compile(r"\s*(?:[\u00d7\u2500-\u257f\u25b6]+\s*)*(?:error:\s*)?(cause:|Caused by:)?\s*")
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY = re.compile(r"(://[^\s?#`'\"()<>]*)[?#][^\s`'\"()<>]*")
_NO_WHEEL = re.compile(r"([A-Za-z0-9._-]+==\S+) has no (?:usable wheels|wheels with a matching)")
_SOURCE_ONLY = re.compile(r"Wheels are required for `([^`\s]+)`")
_NOT_BUILT = re.compile(r"Building source distributions (?:for `([^`]+)` )?is disabled")
_LIST_SHOWN = 3
_CAUSE_LIMIT = 900


def failure(
    question: Question, stderr: str, returncode: int, existing: Mapping[str, Sequence[str]] | None = None
) -> LockError:
    """The error that uv's ``stderr`` amounts to.

    ``existing`` are the wheels, by file name, that there are for other platforms of the pins in ``without_wheel``.
    """
    why, hints = shorten(stderr)
    text = f"{why} {' '.join(hints)}"
    if re.search(r"\b(?:401|403) (?:Unauthorized|Forbidden)", text):
        return LockError(
            "a package index refused the request",
            why=next((hint for hint in hints if re.search(r"\b40[13]\b", hint)), why),
            fix="check the index's URL, and give uv its credentials (UV_INDEX_<NAME>_USERNAME and _PASSWORD, "
            "a .netrc file or a keyring)",
        )
    if disabled := _NOT_BUILT.search(text):
        # A URL of sources; a name can be allowed to be built, a URL alone cannot.
        names = frozenset({canonicalize_name(disabled[1])} if disabled[1] else ())
        fix = "write it with its name before it: NAME @ URL" if not names else "allow uv to build it (UV_NO_BUILD)"
        return NoSolution(f"no solution for {question.subject}", why=why, fix=fix, sources=names)
    unreachable = re.search(r"Failed to fetch|error sending request|Request failed after", text)
    if unreachable and "HTTP status client error" not in text:
        return LockError(
            "a package index cannot be reached",
            why=why,
            fix="check the network, the proxy and the index's URL in uv's configuration, then run the command again",
        )
    if returncode == 1 and why.startswith("Because"):
        facts = [*_existing(stderr, existing or {}), *_held(question, text)]
        kept = [hint for hint in hints if not (existing and hint.startswith("Wheels are available"))]
        subject = f"no solution for {question.subject}"
        sources = frozenset(
            canonicalize_name(re.split(r"[=<>!~ @]", found)[0]) for found in _SOURCE_ONLY.findall(stderr)
        )
        why = " ".join([why, *kept, *facts])
        return NoSolution(subject, why=why, fix=_advice(question, text, stderr), sources=sources)
    return LockError(f"uv cannot lock {question.subject}", why=" ".join([why, *hints]), fix="correct what uv names")


def without_wheel(stderr: str) -> tuple[str, ...]:
    """The pins (``name==version``) that uv found no wheel of for the target, the first two of them."""
    return tuple(dict.fromkeys(_NO_WHEEL.findall(re.sub(r"\s+", " ", stderr))))[:2]


def _existing(stderr: str, existing: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What there is of a package that has no wheel for the target, and whether a source distribution is among it."""
    buildable = set(_SOURCE_ONLY.findall(stderr))
    for pin, wheels in existing.items():
        shown = list(wheels) if len(wheels) <= _LIST_SHOWN else [*wheels[: _LIST_SHOWN - 1], "…", wheels[-1]]
        source = "a source distribution" if pin.partition("==")[0] in buildable else ""
        there = " and ".join(filter(None, [", ".join(shown), source]))
        if there:
            yield f"Of {pin} there is {there}{'' if source else '; no source distribution'}."


def _held(question: Question, text: str) -> Iterator[str]:
    """Who holds the versions that the cause speaks of: uv calls all of it what "you" require."""
    for name, holder in question.holders.items():
        pin = f"{name}=={question.constraints[name]}"
        if re.search(rf"(?<![\w.-]){re.escape(pin)}(?![\w.+-]*\w)", text):
            yield f"{pin} is held by {holder}."


def _advice(question: Question, text: str, stderr: str) -> str:
    if re.search(r"no usable wheels|no wheels with a matching|Wheels are (?:required|available)", text):
        return (
            f"allow a version that has a wheel for {question.target}, or build one and give its directory with "
            "--find-links: source distributions are not built here"
            if _SOURCE_ONLY.search(stderr) or "no wheels with a matching" not in text
            else f"allow a version that has a wheel for {question.target}: there is nothing to build one from either"
        )
    if re.search(r"was not found in", text):
        return "check the spelling of the name, or configure the index that has the package"
    if f"ray=={question.ray}" in text:
        return f"Ray stays at the base's {question.ray}: change the other requirement, or choose another base"
    if any("base-packages" in fact for fact in _held(question, text)):
        return 'relax the other requirement, choose another base, or set base-packages = "prefer"'
    return "relax one of the requirements named above, or choose another base"


def shorten(stderr: str) -> tuple[str, tuple[str, ...]]:
    """The cause in one paragraph, and the hints; without colours, box drawing, credentials and long lists."""
    text = redact(_ANSI.sub("", stderr))
    body, *hints = re.split(r"^[\s\u2500-\u257f]*hint: ", text, flags=re.MULTILINE)
    lines = [line for line in body.splitlines() if line.strip() and not line.startswith("warning:")]
    lines = [_PREFIX.sub(lambda m: ": " if m[1] else "", line, count=1).rstrip() for line in lines]
    lines = [line for line in lines if not line.startswith("No solution found when resolving")]
    cause = re.sub(r"\s+", " ", " ".join(_fold_lists(lines))).replace(" : ", ": ").strip(" :")
    # That wheels are required is said by the next step.
    kept = [hint for hint in hints if not hint.startswith("Wheels are required")]
    return _fold_chain(cause), tuple(dict.fromkeys(_hint(hint) for hint in kept))


def redact(text: str) -> str:
    """``text`` with every URL stripped of user, password, query and fragment."""
    return _QUERY.sub(r"\1", _USERINFO.sub("", text))


def _hint(text: str) -> str:
    text = re.sub(r"\s+", " ", re.sub(r"[\u2500-\u257f]", " ", text)).strip()
    return text if text.endswith(".") else f"{text}."


def _fold_lists(lines: list[str]) -> Iterator[str]:
    """Version lists, one item on a line after a colon, become ``first, second, … last``."""
    items: list[str] = []
    in_list = False
    for line in [*lines, ""]:
        if in_list and line and " " not in line:
            items.append(line)
            continue
        if items:
            shown = items if len(items) <= _LIST_SHOWN else [*items[: _LIST_SHOWN - 1], "…", items[-1]]
            yield ", ".join(shown).replace(", …,", " …") + ("," if line.startswith("we can conclude") else "")
            items = []
        in_list = line.endswith(":")
        yield line


def _fold_chain(cause: str) -> str:
    """A long derivation keeps its premise and its conclusion."""
    if len(cause) <= _CAUSE_LIMIT:
        return cause
    steps = re.split(r"(?<=\.) (?=And because)", cause)
    if len(steps) > 3:
        cause = " ".join([steps[0], "…", *steps[-2:]])
    return cause if len(cause) <= 2 * _CAUSE_LIMIT else f"{cause[:_CAUSE_LIMIT]} … {cause[-_CAUSE_LIMIT:]}"
