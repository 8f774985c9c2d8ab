"""What a project has that a first configuration can be made of: the one place of ``rayimage init`` that reads files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from rayimage.config.proposal import Findings
from rayimage.errors import KubeRayError
from rayimage.kuberay import survey
from rayimage.model.cluster import Cluster
from rayimage.model.progress import Progress
from rayimage.specs.pyproject import Pyproject

__all__ = ["find"]

_NOT_OURS = frozenset({"node_modules", "site-packages", "venv", "env", "build", "dist", "__pycache__", "tests", "test"})
"""Directories whose YAML is not the project's; hidden ones are passed by as well."""
_LARGEST = 1 << 20
"""Bytes; what people write by hand is smaller."""
_REQUIREMENTS = ("requirements*.in", "requirements*.txt", "requirements/*.in", "requirements/*.txt")


def find(root: Path, progress: Progress) -> Findings:
    """Look at ``root``. What cannot be read is noted and left out; raises ConfigError for a damaged pyproject.toml."""
    file = root / "pyproject.toml"
    pyproject = Pyproject.read(file) if file.is_file() else None
    project = pyproject.data["project"] if pyproject and pyproject.has_project else {}
    yaml_files = sorted(_yaml_files(root))
    return Findings(
        name=str(project.get("name") or root.name),
        requirements=tuple(sorted(_relative(path, root) for glob in _REQUIREMENTS for path in root.glob(glob))),
        has_dependencies=bool(project.get("dependencies")) and "dependencies" not in project.get("dynamic", ()),
        is_src_package=bool(pyproject and pyproject.is_buildable and (root / "src").is_dir()),
        python=_python(root),
        clusters=tuple(cluster for path in yaml_files for cluster in _clusters(path, root, progress)),
        yaml_files=frozenset(_relative(path, root) for path in yaml_files),
    )


def _yaml_files(root: Path) -> Iterator[Path]:
    for directory, below, names in os.walk(root):
        below[:] = [name for name in below if name not in _NOT_OURS and not name.startswith(".")]
        yield from (Path(directory, name) for name in names if name.endswith((".yaml", ".yml")))


def _clusters(path: Path, root: Path, progress: Progress) -> tuple[Cluster, ...]:
    name = _relative(path, root)
    try:
        data = path.read_bytes() if path.stat().st_size <= _LARGEST else b""
        return survey(data, Path(name)) if b"ray.io/" in data else ()
    except (OSError, KubeRayError) as error:
        progress.note(f"{name} is not used: {error}")
        return ()


def _python(root: Path) -> str:
    """``3.12`` where .python-version says so, as pyenv and uv write it."""
    try:
        text = (root / ".python-version").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    match = re.match(r"\s*(3\.\d+)", text)
    return match[1] if match else ""


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
