from __future__ import annotations

from dataclasses import replace

from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.lock import Options
from rayimage.lock.classify import role_lock
from rayimage.lock.preferences import is_machinery, machinery, preferences
from tests.unit.lock.samples import dist, inventory, package, request

BASE = inventory("click==8.1.7", "numpy==1.26.4")
OWN = {canonicalize_name("numpy"): Version("1.27"), canonicalize_name("extra"): Version("3")}


def chosen(ask, options=None, previous=None, pins=None):
    former = {} if previous is None else {("worker", "linux/amd64"): previous}
    return {
        name: str(version) for name, version in preferences([ask], options or Options(), former, pins or {}).items()
    }


def former(base, *pins):
    return role_lock(request(base), tuple(package(pin) for pin in pins))


def test_the_base():
    assert chosen(request(BASE)) == {"click": "8.1.7", "numpy": "1.26.4", "ray": "2.55.1"}


def test_previous_before_preferences_before_base():
    previous = former(BASE, "numpy==2.2.6", "added==1.0")
    assert chosen(request(BASE), Options(preferences=OWN), previous) == {
        "added": "1.0",
        "numpy": "2.2.6",
        "extra": "3",
        "click": "8.1.7",
        "ray": "2.55.1",
    }
    assert chosen(request(BASE), Options(preferences=OWN))["numpy"] == "1.27"


def test_upgrade_forgets_all_but_the_base():
    previous = former(BASE, "numpy==2.2.6", "added==1.0")
    assert chosen(request(BASE), Options(preferences=OWN, upgrade=True), previous) == chosen(request(BASE))


def test_upgrading_a_package_forgets_it_everywhere():
    options = Options(preferences=OWN, upgrade_packages=("NumPy", "added"))
    assert chosen(request(BASE), options, former(BASE, "numpy==2.2.6", "added==1.0")) == {
        "extra": "3",
        "click": "8.1.7",
        "ray": "2.55.1",
    }


def test_a_newer_base_is_not_taken_back():
    previous = former(BASE, "click==8.1.7", "numpy==2.2.6", "added==1.0")
    newer = inventory("click==8.3", "numpy==2.3", "added==1.1")
    assert chosen(request(newer), previous=previous) == {
        "click": "8.3",
        "numpy": "2.3",
        "added": "1.1",
        "ray": "2.55.1",
    }


def test_what_a_requirement_excludes_is_passed_over():
    previous = former(BASE, "numpy==2.2.6")
    assert chosen(request(BASE, "numpy<2"), previous=previous)["numpy"] == "1.26.4"
    assert "numpy" not in chosen(request(BASE, "numpy>=2.3"), previous=previous)
    assert chosen(request(BASE, "numpy<2; sys_platform == 'win32'"), previous=previous)["numpy"] == "2.2.6"


def test_what_a_pin_excludes_is_passed_over():
    base = inventory("torch==2.7.1+cu128")
    pin = {canonicalize_name("torch"): Version("2.7.1")}
    assert chosen(request(base), pins=pin)["torch"] == "2.7.1+cu128"
    assert "torch" not in chosen(request(base), pins={canonicalize_name("torch"): Version("2.8")})


def test_conda_is_machinery_where_conda_installed_it():
    conda = [
        dist(pin, installer="conda") for pin in ("conda==24.1", "conda-libmamba-solver==1", "menuinst==2", "tqdm==4")
    ]
    base = inventory(*conda, dist("conda-lock==2", installer="pip"))
    assert sorted(item.name for item in base.distributions if is_machinery(item)) == [
        "conda",
        "conda-libmamba-solver",
        "menuinst",
    ]
    other = inventory(dist("conda==26.7", installer="conda"), dist("menuinst==2", installer="conda"))
    assert {name: str(version) for name, version in machinery([base, other]).items()} == {
        "conda-libmamba-solver": "1",
        "menuinst": "2",
    }


def test_each_role_has_its_own_former_lock():
    head, worker = request(BASE, role="head"), request(BASE)
    previous = former(BASE, "added==1.0")
    locks = {
        ("head", "linux/amd64"): replace(previous, role="head"),
        ("worker", "linux/arm64"): former(BASE, "other==1"),
    }
    assert set(preferences([head, worker], Options(), locks, {})) == {"added", "click", "numpy", "ray"}
