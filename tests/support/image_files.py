"""Every file of an image, as someone who runs it sees it, and what two builders may do differently."""

from __future__ import annotations

import ast
import json
import re
from pathlib import PurePosixPath
from typing import Any

from tests.support.services import Engine

__all__ = ["Entry", "comparable", "image_files", "runtime_config"]

Entry = tuple[str, str, str]
"""Kind, ``uid:gid mode``, and content: a digest, the text of some files, or the target of a link."""

WALK = r"""
import hashlib, json, os, re, stat, sys
KEPT = re.compile(r".*/(RECORD|bin/[^/]+)$")
SKIPPED = re.compile(r"/(proc|sys|dev)(/|$)|/etc/(hosts|hostname|resolv\.conf|mtab)$|/\.dockerenv$")
found = {}
for directory, names, files in os.walk("/"):
    names[:] = [n for n in names if not SKIPPED.match(os.path.join(directory, n))]
    for path in [directory, *(os.path.join(directory, n) for n in files + names if n in files or os.path.islink(os.path.join(directory, n)))]:
        if SKIPPED.match(path):
            continue
        info = os.lstat(path)
        owner = f"{info.st_uid}:{info.st_gid} {stat.S_IMODE(info.st_mode):o}"
        if stat.S_ISLNK(info.st_mode):
            found[path] = ["link", owner, os.readlink(path)]
        elif stat.S_ISDIR(info.st_mode):
            found[path] = ["directory", owner, ""]
        elif stat.S_ISREG(info.st_mode):
            data = open(path, "rb").read()
            text = data.decode("utf-8", "replace") if KEPT.match(path) and len(data) < 1 << 20 and data[:4] != b"\x7fELF" else ""
            found[path] = ["file", owner, text or hashlib.sha256(data).hexdigest()]
json.dump(found, sys.stdout)
"""
NOTES = re.compile(r".*\.dist-info/(INSTALLER|REQUESTED|direct_url\.json)")
BYTECODE = re.compile(r".*(\.pyc|/__pycache__)")
OURS = ("Env", "Labels", "WorkingDir", "User", "Entrypoint", "Cmd", "ExposedPorts", "Volumes", "StopSignal", "Shell")


def image_files(engine: Engine, image: str) -> dict[str, Entry]:
    """Path → what is there, of everything that is the image's own."""
    command = ("run", "--rm", "--interactive", "--user", "0", "--entrypoint", "python", image, "-B", "-")
    return {
        path: (kind, owner, content)
        for path, (kind, owner, content) in json.loads(engine.run(*command, stdin=WALK)).items()
    }


def comparable(files: dict[str, Entry]) -> dict[str, Entry]:
    """``files`` without what docs/docker-builder.md lists as different: keep the two in step."""
    kept = {path: entry for path, entry in files.items() if not NOTES.fullmatch(path) and not BYTECODE.fullmatch(path)}
    held = {
        str(parent) for path, entry in kept.items() if entry[0] != "directory" for parent in PurePosixPath(path).parents
    }
    return {
        path: (kind, owner, _content(path, content))
        for path, (kind, owner, content) in kept.items()
        if kind != "directory" or path in held or "/site-packages/" not in path
    }


def runtime_config(engine: Engine, image: str) -> dict[str, Any]:
    """What a runtime reads of the image's config, without what is empty."""
    [inspected] = json.loads(engine.run("image", "inspect", image))
    return {key: inspected["Config"][key] for key in OURS if inspected["Config"].get(key)}


def _content(path: str, content: str) -> str:
    if path.endswith(".dist-info/RECORD"):
        lines = [line for line in content.splitlines() if not _is_note(line.split(",")[0])]
        return "\n".join(sorted(line.split(",")[0] if "/bin/" in line else line for line in lines))
    if "/bin/" in path and content.startswith("#!"):
        return _launcher(content)
    return content


def _is_note(path: str) -> bool:
    return bool(NOTES.fullmatch(path) or BYTECODE.fullmatch(path))


def _launcher(text: str) -> str:
    """Shebang and meaning of a Python script: installers differ in quotes and comments."""
    shebang, _, code = text.partition("\n")
    try:
        return f"{shebang}\n{ast.dump(ast.parse(code))}"
    except SyntaxError:
        return text
