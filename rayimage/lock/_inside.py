"""Runs in the interpreter that is resolved for, with pip and pip-tools beside it; never imported here.

    python _inside.py [--sizes REPORT] MODULE ARGUMENT…

As ``python -m MODULE``, but without the working directory on ``sys.path``, where a project's ``build`` would hide
pip-tools' (``-P`` does that only since Python 3.11). ``--sizes`` then asks the files' hosts how long the files of pip's
installation report are: pip knows, but does not say. Python 3.9 and later; only what the standard library has, and pip.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run the module; its exit code."""
    report = ""
    if arguments[0] == "--sizes":
        _, report, *arguments = arguments
    sys.argv = list(arguments)
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if report and code == 0:
        add_sizes(Path(report))
    return code


def add_sizes(report: Path) -> None:
    """Give each file of the report its ``size``, where the host states a length: pip's session has the credentials."""
    from pip._internal.commands import create_command

    command = create_command("install")
    options, _ = command.parse_args([])
    # What pip-tools itself does to get a session.
    session = command._build_session(options)  # type: ignore[attr-defined]  # noqa: SLF001
    data = json.loads(report.read_text(encoding="utf-8"))
    for item in data["install"]:
        url = item["download_info"]["url"]
        if url.startswith(("https:", "http:")):
            # No Range and no GET: hosts that redirect to signed URLs may refuse HEAD; then there is no size.
            answer = session.head(url, headers={"Accept-Encoding": "identity"}, allow_redirects=True)
            length = answer.headers.get("Content-Length", "")
            item["size"] = int(length) if answer.ok and length.isdigit() else None
    report.write_text(json.dumps(data), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
