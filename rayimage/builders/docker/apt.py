"""apt in a container: a script that installs packages and leaves nothing behind but them.

Sources, keys, lists and archives are apt's only while it runs, in a directory of their own: neither a mirror of this
machine nor a repository's key ends up in the image.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from rayimage.builders.docker.step import WORK
from rayimage.model.system import SystemSettings

__all__ = ["apt_files", "apt_script"]

_APT: Final = f"{WORK}/apt"
# Where the distributions keep what their archives were like at a time.
_SNAPSHOTS: Final = {
    r"https\?://[a-z0-9.-]*\(archive\|security\)\.ubuntu\.com/ubuntu": "http://snapshot.ubuntu.com/ubuntu/{}",
    r"https\?://deb\.debian\.org/\(debian[a-z-]*\)": r"http://snapshot.debian.org/archive/\1/{}",
    r"https\?://security\.debian\.org/\(debian-security\)": r"http://snapshot.debian.org/archive/\1/{}",
}
_OPTIONS: Final = (
    f"Dir::Etc::SourceList={_APT}/sources.list",
    f"Dir::Etc::SourceParts={_APT}/sources.list.d",
    f"Dir::Etc::TrustedParts={_APT}/trusted.gpg.d",
    f"Dir::State::Lists={_APT}/lists",
    f"Dir::Cache={_APT}/cache",
    "APT::Get::Assume-Yes=true",
    "APT::Install-Recommends=false",
    "APT::Sandbox::User=root",
    "Acquire::Retries=3",
    "Dpkg::Use-Pty=false",
    "Dpkg::Options::=--force-confold",
)


def apt_files(settings: SystemSettings) -> Mapping[str, bytes]:
    """What the script reads, by its path in the container."""
    sources = "".join(f"{line}\n" for line in settings.repositories)
    keys = {
        f"{_APT}/keys/rayimage-{number}.{'asc' if key.startswith(b'-----') else 'gpg'}": key
        for number, key in enumerate(settings.keys)
    }
    return {f"{_APT}/rayimage.list": sources.encode(), **keys}


def apt_script(packages: Sequence[str], settings: SystemSettings) -> str:
    """A shell script that installs ``packages``."""
    options = " ".join(f"-o {shlex.quote(option)}" for option in _options(settings))
    names = " ".join(shlex.quote(name) for name in packages)
    return f"""\
set -eu
export DEBIAN_FRONTEND=noninteractive
cd {_APT}
mkdir -p sources.list.d trusted.gpg.d lists/partial cache/archives/partial
cp -RL /etc/apt/sources.list . 2>/dev/null || : > sources.list
cp -RL /etc/apt/sources.list.d/. sources.list.d/ 2>/dev/null || :
cp -RL /etc/apt/trusted.gpg.d/. trusted.gpg.d/ 2>/dev/null || :
cp keys/* trusted.gpg.d/ 2>/dev/null || :
cp rayimage.list sources.list.d/
{_snapshot(settings.snapshot)}
apt-get {options} update
apt-get {options} install -- {names}
"""


def _options(settings: SystemSettings) -> Sequence[str]:
    # The signatures on an old archive say that they are out of date.
    return (*_OPTIONS, "Acquire::Check-Valid-Until=false") if settings.snapshot else _OPTIONS


def _snapshot(timestamp: str) -> str:
    if not timestamp:
        return ""
    edits = " ".join(f"-e {shlex.quote(f's#{old}#{new.format(timestamp)}#g')}" for old, new in _SNAPSHOTS.items())
    return f"find sources.list sources.list.d -type f -exec sed -i {edits} {{}} +"
