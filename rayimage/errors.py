"""Every error a user can meet, its exit code, its cause and its next step.

    RayimageError                  1   a failure without a class of its own
    ├── UsageError                 2   a wrong argument, or a value that does not parse
    ├── ConfigError                3   [tool.rayimage] is missing or wrong
    ├── BaseImageError             4   the base is absent, not Ray, or unlike the other roles' bases
    ├── LockError                  5   no solution, a stale or damaged lock, no wheel for the platform
    ├── WheelError                 6   a wheel that must not be installed: hash, path, clash, platform
    ├── RegistryError              7   unreachable, refusing, or answering nonsense
    │   └── AuthError              8   401 or 403
    ├── KubeRayError               9   a YAML file that cannot be edited safely
    ├── EngineError               10   no Docker Engine, or one that failed
    ├── ContentError              11   bytes that are not what their digest says
    └── CheckFailed               12   a --check found a difference

Only ``rayimage.__main__`` prints an error and exits. Codes are unique, documented in ``docs/errors.md``
and never reused (the habit is cibuildwheel's ``errors.py``).
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AuthError",
    "BaseImageError",
    "CheckFailed",
    "ConfigError",
    "ContentError",
    "EngineError",
    "KubeRayError",
    "LockError",
    "RayimageError",
    "RegistryError",
    "UsageError",
    "WheelError",
]


class RayimageError(Exception):
    """A failure that a user can understand and act on.

    ``what`` names the thing that failed, ``why`` its cause, ``fix`` the next step. All are plain text
    without markup; secrets are redacted by whoever raises.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return ": ".join(part for part in (self.what, self.why) if part)


class UsageError(RayimageError, ValueError):
    """A wrong argument, or a value (digest, reference, platform) that does not parse."""

    exit_code = 2


class ConfigError(RayimageError):
    """The project's configuration is missing or wrong; ``problems`` lists every fault at once."""

    exit_code = 3

    def __init__(self, what: str, *, why: str = "", fix: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(what, why=why, fix=fix)
        self.problems = problems


class BaseImageError(RayimageError):
    """A base image is absent, is not a Ray image, or does not match the other roles' bases."""

    exit_code = 4


class LockError(RayimageError):
    """Requirements without a solution, a stale or damaged lock, or no wheel for the platform."""

    exit_code = 5


class WheelError(RayimageError):
    """A wheel that must not be installed: wrong hash, escaping path, file clash, wrong platform."""

    exit_code = 6


class RegistryError(RayimageError):
    """A registry is unreachable, refuses a request, or answers what the protocol does not allow."""

    exit_code = 7


class AuthError(RegistryError):
    """A registry answered 401 or 403."""

    exit_code = 8


class KubeRayError(RayimageError):
    """A YAML file holds no Ray document, or cannot be edited safely."""

    exit_code = 9


class EngineError(RayimageError):
    """The Docker Engine is absent or failed."""

    exit_code = 10


class ContentError(RayimageError):
    """Bytes that are not what their digest or descriptor says: truncated, corrupted or swapped."""

    exit_code = 11


class CheckFailed(RayimageError):
    """A check found a difference; nothing was written."""

    exit_code = 12
