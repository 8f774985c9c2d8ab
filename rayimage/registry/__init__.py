"""The OCI distribution protocol; knows nothing of Python packaging."""

from rayimage.registry.repository import Repository, open_repository

__all__ = ["Repository", "open_repository"]
