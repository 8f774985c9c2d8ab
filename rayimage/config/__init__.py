"""The project's configuration: ``[tool.rayimage]`` of pyproject.toml, or rayimage.toml.

One strict parse at the edge gives frozen values; nothing else in the program sees the TOML. All faults are reported at
once, each with the path to its key. Importing this package is cheap: pydantic is loaded by ``load_project`` only.
"""

from __future__ import annotations

from rayimage.config.load import find_configuration, load_project
from rayimage.config.project import Environment, Project, Role, repository_of

__all__ = ["Environment", "Project", "Role", "find_configuration", "load_project", "repository_of"]
