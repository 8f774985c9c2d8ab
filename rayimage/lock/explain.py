"""A resolver's complaint as a cause and a next step.

Reads the prose of uv (both the plain form and the boxed form before uv 0.10): a chain of "Because …" sentences, long
lists of versions, and hints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rayimage.errors import LockError
from rayimage.lock.engine import NoSolution, Question

__all__ = ["failure", "redact", "shorten"]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PREFIX = re.compile(r"\s*(?:[\u00d7\u2500-\u257f\u25b6]+\s*)*(?:error:\s*)?(cause:|Caused by:)?\s*")
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY = re.compile(r"(://[^\s?#`'\"()<>]*)[?#][^\s`'\"()<>]*")
_LIST_SHOWN = 3
_CAUSE_LIMIT = 900


def failure(question: Question, stderr: str, returncode: int) -> LockError:
    """The error that uv's ``stderr`` amounts to."""
    why, hints = shorten(stderr)
    text = f"{why} {' '.join(hints)}"
    if re.search(r"\b(?:401|403) (?:Unauthorized|Forbidden)", text):
        return LockError(
            "a package index refused the request",
            why=next((hint for hint in hints if re.search(r"\b40[13]\b", hint)), why),
            fix="check the index's URL, and give uv its credentials (UV_INDEX_<NAME>_USERNAME and _PASSWORD, "
            "a .netrc file or a keyring)",
        )
    unreachable = re.search(r"Failed to fetch|error sending request|Request failed after", text)
    if unreachable and "HTTP status client error" not in text:
        return LockError(
            "a package index cannot be reached",
            why=why,
            fix="check the network, the proxy and the index's URL in uv's configuration, then run the command again",
        )
    if returncode == 1 and why.startswith("Because"):
        subject = f"no solution for {question.subject}"
        return NoSolution(subject, why=" ".join([why, *hints]), fix=_advice(question, text))
    return LockError(f"uv cannot lock {question.subject}", why=" ".join([why, *hints]), fix="correct what uv names")


def _advice(question: Question, text: str) -> str:
    if re.search(r"no usable wheels|no wheels with a matching|Wheels are (?:required|available)", text):
        return (
            f"allow a version that has a wheel for {question.target}, or build one and give its directory with "
            "--find-links: source distributions are not built here"
        )
    if re.search(r"was not found in", text):
        return "check the spelling of the name, or configure the index that has the package"
    if f"ray=={question.ray}" in text:
        return f"Ray stays at the base's {question.ray}: change the other requirement, or choose another base"
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
