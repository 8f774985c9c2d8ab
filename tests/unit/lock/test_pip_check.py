"""The final environment as pip itself judges it: the code behind ``pip check``, on the metadata of a real directory."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.layers import WheelMetadata
from rayimage.lock import check_environment, check_final
from rayimage.model.lock import Move
from tests.support.pip_check import pip_lines
from tests.unit.lock.samples import dist, inventory, request, role_lock

pip_check = pytest.importorskip("pip._internal.operations.check")
pip_metadata = pytest.importorskip("pip._internal.metadata")
pip_packaging = pytest.importorskip("pip._internal.utils.packaging")

HERE = "{}.{}.{}".format(*sys.version_info)
SPELLINGS = {"a": ("a", "A"), "b-c": ("b-c", "B_c", "b.C"), "d-e-f": ("d_e-F", "D.e__f"), "g": ("g",), "h2": ("h2",)}
VERSIONS = ("1", "1.5.post1", "2", "2.0rc1", "2.1.dev3", "3+local.1", "3", "1!0.5")
MARKERS = (
    "",
    "; sys_platform == 'linux'",
    "; sys_platform == 'win32'",
    "; python_version < '3'",
    f"; python_full_version == '{HERE}'",
    "; os_name == 'nt' or implementation_name == 'cpython'",
    "; extra == 'x'",
    "; extra == 'x' and python_version >= '3'",
    "; python_version < '3' or extra == 'x'",
)
SPECIFIERS = st.sampled_from(
    [
        "",
        "<2",
        ">=1.5",
        "==2",
        "==2.*",
        "!=1",
        "~=1.0",
        ">2",
        "===1",
        "==3",
        "==3+local.1",
        ">=2.0rc1",
        "<3,>1",
        ">=1!0",
    ]
)
NAMES = st.sampled_from([spelling for spellings in SPELLINGS.values() for spelling in spellings])
PLAIN = st.builds("{}{} {}".format, NAMES, SPECIFIERS, st.sampled_from(MARKERS))
WITH_EXTRAS = st.builds("{}[x]{} {}".format, NAMES, SPECIFIERS, st.sampled_from(MARKERS))


def packages(requirements):
    """Installed packages by normalised name: how it is spelled there, version, requirements."""
    return st.fixed_dictionaries(
        {},
        optional={
            name: st.tuples(st.sampled_from(spellings), st.sampled_from(VERSIONS), st.lists(requirements, max_size=3))
            for name, spellings in SPELLINGS.items()
        },
    )


def ours(base, wheels, gone=()):
    """Every problem that there is at the end; packages of both are moved, those of ``gone`` only removed."""
    found = inventory(
        *(dist(f"{name}=={version}", *needs) for name, (_, version, needs) in base.items()), ray="", python=HERE
    )
    wheel = role_lock().wheels[0]
    locked = tuple(replace(wheel, name=name, version=Version(version)) for name, (_, version, _) in wheels.items())
    moved = (base.keys() & wheels.keys()) | set(gone)
    moves = tuple(Move(name=name, old=Version(base[name][1]), new=Version("1")) for name in sorted(moved))
    lock = role_lock(wheels=locked, provided=(), moves=moves)
    report = check_environment(found, lock, {name: tuple(needs) for name, (_, _, needs) in wheels.items()})
    assert not set(report.new) & set(report.known)
    return (*report.new, *report.known)


def write_site(site, environment):
    for spelling, version, needs in environment.values():
        info = site / f"{re.sub('[-.]', '_', spelling)}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {spelling}", f"Version: {version}", "Provides-Extra: x"]
        (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {need}" for need in needs), ""]))
        (info / "RECORD").touch()


def pips(environment):
    """The lines of ``pip check``, made as the command makes them, of metadata in a directory."""
    with TemporaryDirectory() as scratch:
        write_site(Path(scratch), environment)
        installed = pip_metadata.get_environment([scratch]).iter_all_distributions()
        details = {
            each.canonical_name: pip_check.PackageDetails(each.version, list(each.iter_dependencies()))
            for each in installed
        }
        missing, conflicting = pip_check.check_package_set(details)
    version = {name: detail.version for name, detail in details.items()}
    return {
        f"{name} {version[name]} requires {needed}, which is not installed."
        for name, each in missing.items()
        for needed, _ in each
    } | {
        f"{name} {version[name]} has requirement {requirement}, but you have {needed} {there}."
        for name, each in conflicting.items()
        for needed, there, requirement in each
    }


def final(base, wheels, gone=()):
    return {name: each for name, each in {**base, **wheels}.items() if name not in gone or name in wheels}


@settings(max_examples=150)
@given(base=packages(PLAIN), wheels=packages(PLAIN), data=st.data())
def test_the_final_environment_is_what_pip_check_says(base, wheels, data):
    """Line by line; consistent or broken, with markers, extras, every kind of version and spelling, and removals."""
    gone = data.draw(st.sets(st.sampled_from(sorted(base)))) if base else set()
    assert pip_lines(ours(base, wheels, gone)) == pips(final(base, wheels, gone))


@settings(max_examples=60)
@given(base=packages(PLAIN | WITH_EXTRAS), wheels=packages(PLAIN | WITH_EXTRAS))
def test_extras_are_followed_where_pip_check_does_not(base, wheels):
    """pip check takes no notice of the extras that packages ask of each other; all else is the same."""
    assert pip_lines(ours(base, wheels)) == pips(final(base, wheels))


@settings(max_examples=60)
@given(base=packages(PLAIN), wheels=packages(PLAIN))
def test_a_build_passes_only_what_pip_check_does_not_hold_against_the_wheels(base, wheels):
    """``check_final`` refuses where pip complains of a wheel, or of what is missing and was not missed before."""
    found = inventory(*(dist(f"{n}=={v}", *needs) for n, (_, v, needs) in base.items()), python=HERE, ray="")
    wheel = role_lock().wheels[0]
    files = {name: f"{name.replace('-', '_')}-{version}-py3-none-any.whl" for name, (_, version, _) in wheels.items()}
    locked = tuple(
        replace(wheel, name=name, version=Version(version), filename=files[name])
        for name, (_, version, _) in wheels.items()
    )
    moves = tuple(Move(n, Version(base[n][1]), Version(wheels[n][1])) for n in sorted(base.keys() & wheels.keys()))
    says = [
        WheelMetadata(filename=files[name], name=name, version=Version(version), requires=tuple(needs))
        for name, (_, version, needs) in wheels.items()
    ]
    lines = {line.partition(", but you have ")[0] for line in pips(final(base, wheels))}
    before = {line.partition(", but you have ")[0] for line in pips(base)}
    fatal = {line for line in lines if line.partition(" ")[0] in wheels} - before
    image = (request(found), role_lock(wheels=locked, provided=(), moves=moves), says)
    with pytest.raises(LockError) if fatal else nullcontext():
        check_final([image])


PYTHONS = st.sampled_from(["", ">=3", "<3", "<3.10.5", ">=3.11.0rc1", "!=3.11.*", f"=={HERE}", "~=3.9", "3 or so", "*"])


@given(written=PYTHONS, python=st.sampled_from([(3, 9, 1), (3, 10, 4), (3, 11, 13), (3, 14, 0)]))
def test_requires_python_is_read_as_by_pip(written, python):
    version = ".".join(map(str, python))
    says = WheelMetadata(filename="new-1-py3-none-any.whl", name="new", version=Version("1"), requires_python=written)
    wheel = replace(role_lock().wheels[0], name="new", version=Version("1"), filename=says.filename)
    lock = role_lock(wheels=(wheel,), provided=(), moves=())
    try:
        runs = pip_packaging.check_requires_python(written, python)
    except pip_packaging.specifiers.InvalidSpecifier:
        runs = True  # and a warning, where pip looks at what it takes from an index
    with nullcontext() if runs else pytest.raises(LockError, match="requires Python"):
        check_final([(request(inventory("click==8", python=version)), lock, [says])])


def test_pip_check_itself(tmp_path):
    """The command, in an environment of its own: that the test above reads pip's code as the command does."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    base = {"a": ("A", "1", ["b.b<2", "c; extra == 'x'"]), "b-b": ("b_b", "1", []), "d": ("d", "1", ["absent"])}
    wheels = {"b-b": ("B.B", "2", []), "e": ("e", "1", ["a>1", "b-b>1"])}
    write_site(site, final(base, wheels))
    command = [sys.executable, "-m", "pip", "--python", str(python), "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = {line for line in done.stdout.splitlines() if " requires " in line or " has requirement " in line}
    assert said == {
        "d 1 requires absent, which is not installed.",
        "a 1 has requirement b.b<2, but you have b-b 2.",
        "e 1 has requirement a>1, but you have a 1.",
    }
    assert said == pip_lines(ours(base, wheels)) == pips(final(base, wheels))
