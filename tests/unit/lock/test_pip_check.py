"""The final environment as pip itself judges it: the code behind ``pip check``, on the metadata of a real directory."""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.lock import check_environment
from tests.unit.lock.samples import dist, inventory, role_lock

pip_check = pytest.importorskip("pip._internal.operations.check")
pip_metadata = pytest.importorskip("pip._internal.metadata")

HERE = "{}.{}.{}".format(*sys.version_info)
NAMES, VERSIONS = "abcde", ("1", "1.5", "2", "2.0rc1", "3+local")
MARKERS = ("", "; sys_platform == 'linux'", "; sys_platform == 'win32'", "; python_version < '3'", "; extra == 'x'")
SPECIFIERS = st.sampled_from(["", "<2", ">=1.5", "==2", "!=1", "~=1.0", ">2", "===1", "==3", ">=2.0rc1", "<3,>1"])
PLAIN = st.builds("{}{} {}".format, st.sampled_from(NAMES), SPECIFIERS, st.sampled_from(MARKERS))
WITH_EXTRAS = st.builds("{}[x]{} {}".format, st.sampled_from(NAMES), SPECIFIERS, st.sampled_from(MARKERS))


def packages(requirements):
    versions = st.sampled_from(VERSIONS)
    return st.dictionaries(st.sampled_from(NAMES), st.tuples(versions, st.lists(requirements, max_size=3)), max_size=5)


def ours(base, wheels):
    """Every problem that there is at the end: who, and what is not met."""
    found = inventory(
        *(dist(f"{name}=={version}", *needs) for name, (version, needs) in base.items()), ray="", python=HERE
    )
    wheel = role_lock().wheels[0]
    locked = tuple(replace(wheel, name=name, version=Version(version)) for name, (version, _) in wheels.items())
    lock = role_lock(wheels=locked, provided=(), moves=())
    report = check_environment(found, lock, {name: tuple(needs) for name, (_, needs) in wheels.items()})
    assert not set(report.new) & set(report.known)
    return {
        (p.name, canonicalize_name(Requirement(p.requirement).name), p.found and str(p.found))
        for p in (*report.new, *report.known)
    }


def write_site(site, environment):
    for name, (version, needs) in environment.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Provides-Extra: x"]
        (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {need}" for need in needs), ""]))
        (info / "RECORD").touch()


def pips(base, wheels):
    """The same by pip, read as ``create_package_set_from_installed`` does, from a directory."""
    with TemporaryDirectory() as scratch:
        write_site(Path(scratch), {**base, **wheels})
        installed = pip_metadata.get_environment([scratch]).iter_all_distributions()
        details = {
            each.canonical_name: pip_check.PackageDetails(each.version, list(each.iter_dependencies()))
            for each in installed
        }
        missing, conflicting = pip_check.check_package_set(details)
    found = {(name, needed, None) for name, lines in missing.items() for needed, _ in lines}
    return found | {(name, needed, str(v)) for name, lines in conflicting.items() for needed, v, _ in lines}


@settings(max_examples=150, deadline=None)
@given(base=packages(PLAIN), wheels=packages(PLAIN))
def test_the_final_environment_is_what_pip_check_says(base, wheels):
    assert ours(base, wheels) == pips(base, wheels)


@settings(max_examples=100, deadline=None)
@given(base=packages(PLAIN | WITH_EXTRAS), wheels=packages(PLAIN | WITH_EXTRAS))
def test_extras_are_followed_where_pip_check_does_not(base, wheels):
    """pip check takes no notice of the extras that packages ask of each other; what it finds, we find."""
    assert ours(base, wheels) >= pips(base, wheels)


def test_pip_check_itself(tmp_path):
    """The command, in an environment of its own: that the test above reads pip's code as the command does."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    base = {"a": ("1", ["b<2", "c; extra == 'x'"]), "b": ("1", []), "d": ("1", ["absent"])}
    wheels = {"b": ("2", []), "e": ("1", ["a>1", "b>1"])}
    write_site(site, {**base, **wheels})
    command = [sys.executable, "-m", "pip", "--python", str(python), "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = {line for line in done.stdout.splitlines() if " requires " in line or " has requirement " in line}
    assert said == {
        "d 1 requires absent, which is not installed.",
        "a 1 has requirement b<2, but you have b 2.",
        "e 1 has requirement a>1, but you have a 1.",
    }
    assert ours(base, wheels) == pips(base, wheels) == {("d", "absent", None), ("a", "b", "2"), ("e", "a", "1")}
