"""The OCI distribution protocol; knows nothing of Python packaging."""

from rayimage.registry.registries import Registries
from rayimage.registry.repository import Repository, open_repository

__all__ = ["Registries", "Repository", "open_repository"]
