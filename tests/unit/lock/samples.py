"""Small inventories, requests and locks, and an engine that answers from a table."""

from __future__ import annotations

from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.lock import LockRequest, NoSolution, PackageFile, ResolvedPackage, Rules
from rayimage.model.digest import Digest
from rayimage.model.inventory import Distribution, InstallLayout, Inventory
from rayimage.model.lock import BaseIdentity, LockedWheel, Move, Provided, RoleLock
from rayimage.model.platform import Platform
from rayimage.specs import RoleSpecs, Source

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
LAYOUT = InstallLayout(
    prefix="/home/ray/anaconda3",
    purelib="/home/ray/anaconda3/lib/python3.11/site-packages",
    platlib="/home/ray/anaconda3/lib/python3.11/site-packages",
    scripts="/home/ray/anaconda3/bin",
    data="/home/ray/anaconda3",
    headers="/home/ray/anaconda3/include/python3.11",
    interpreter="/home/ray/anaconda3/bin/python",
    uid=1000,
    gid=100,
)


def dist(pin, *requires, installer="pip"):
    name, _, version = pin.partition("==")
    return Distribution(name=canonicalize_name(name), version=Version(version), requires=requires, installer=installer)


def inventory(*dists, ray="2.55.1", python="3.11.13", glibc="2.35", platform=AMD64, seed=""):
    every = [dist(item) if isinstance(item, str) else item for item in dists]
    if ray and not any(item.name == "ray" for item in every):
        every.append(dist(f"ray=={ray}", "click>=7.0"))
    return Inventory(
        image=Digest.of(f"{platform}{seed}{every}".encode()),
        platform=platform,
        python=Version(python),
        glibc=Version(glibc) if glibc else None,
        layout=LAYOUT,
        user="1000",
        workdir="/home/ray",
        env={},
        labels={},
        distributions=tuple(every),
        symlinks={},
    )


def specs(*requirements, path="/project/requirements.in"):
    return RoleSpecs(
        sources=(Source(kind="requirements", path=Path(path)),),
        files=(("requirements.in", Digest.of(repr(requirements).encode())),),
        digest=Digest.of(repr(requirements).encode()),
        requirements=tuple(Requirement(item) for item in requirements),
        others=(),
    )


def request(base, *requirements, role="worker", path=None, **rules):
    rules = {key: frozenset(value) if key == "allow_skew" else value for key, value in rules.items()}
    return LockRequest(
        role=role,
        platform=base.platform,
        base=f"rayproject/ray:{base.ray.version if base.ray else 'none'}-py311",
        inventory=base,
        specs=specs(*requirements, path=path or f"/project/{role}.in"),
        rules=Rules(**rules),
    )


def package(pin, *filenames, direct=False, sdist="", url="https://files.example.com/{}", requires=None):
    name, _, version = pin.partition("==")
    filenames = filenames or (f"{name.replace('-', '_')}-{version}-py3-none-any.whl",)
    files = tuple(
        PackageFile(filename=item, url=url.format(item), digest=Digest.of(item.encode()), size=7) for item in filenames
    )
    return ResolvedPackage(
        name=canonicalize_name(name),
        version=Version(version),
        wheels=files,
        sdist=sdist,
        direct=direct,
        requires=requires,
    )


def role_lock(**changes):
    wheel = LockedWheel(
        name=canonicalize_name("pandas"),
        version=Version("2.3.3"),
        filename="pandas-2.3.3-cp311-cp311-manylinux_2_28_x86_64.whl",
        digest=Digest.of(b"pandas"),
        size=12,
        url="https://files.example.com/pandas-2.3.3-cp311-cp311-manylinux_2_28_x86_64.whl",
    )
    values = {
        "role": "worker",
        "platform": AMD64,
        "base": BaseIdentity(
            reference="rayproject/ray:2.55.1-py311",
            digest=Digest.of(b"base"),
            ray=Version("2.55.1"),
            python=Version("3.11.13"),
        ),
        "inputs": Digest.of(b"inputs"),
        "wheels": (wheel,),
        "provided": (Provided(canonicalize_name("numpy"), Version("1.26.4")),),
        "moves": (
            Move(
                name=canonicalize_name("pandas"),
                old=Version("1.5.3"),
                new=Version("2.3.3"),
                because=("requirements.in requires pandas>=2.2",),
            ),
        ),
        "specs": (("requirements.in", Digest.of(b"pandas>=2.2")),),
    }
    return RoleLock(**(values | changes))


class TableEngine:
    """Knows the versions of each package by machine, newest last, and what each source file asks for."""

    def __init__(self, wants, versions):
        self.wants = wants
        self.versions = versions
        self.questions = []

    def solve(self, question):
        self.questions.append(question)
        names = dict.fromkeys(n for source in question.sources for n in self.wants[source.path.stem])
        packages = [package(f"ray=={question.ray}")]
        names.update(dict.fromkeys(question.required))
        for name in names:
            there = list(self.versions[name].get(question.target.machine, self.versions[name].get("any", ())))
            pin, liked = (question.constraints.get(name), question.preferences.get(name))
            there = [item for item in there if pin is None or Version(item) == pin]
            if not there:
                raise NoSolution(f"no solution for {question.subject}", why=f"{name} has no version {pin}", fix="relax")
            chosen = str(liked) if str(liked) in there else there[-1]
            packages.append(package(f"{name}=={chosen}"))
        return tuple(packages)


class WorldEngine:
    """A small backtracking resolver over a world of packages, newest first.

    ``world`` maps pins to requirements, ``wants`` the stem of a source file to its requirements; packages of the bases
    are in the world as they are there. ``indexes`` are worlds by URL for packages that come from one index alone.
    """

    def __init__(self, wants, world, indexes=None):
        self.wants = wants
        self.world = world
        self.indexes = indexes or {}
        self.questions = []

    def solve(self, question):
        self.questions.append(question)
        wanted = [Requirement(text) for source in question.sources for text in self.wants[source.path.stem]]
        wanted += [Requirement(f"{name}=={version}") for name, version in question.required.items()]
        wanted += [Requirement(name) for name in question.indexes]
        here = {**question.target.environment, "extra": ""}
        wanted = [each for each in wanted if each.marker is None or each.marker.evaluate(here)]
        found = self._search([*wanted, Requirement(f"ray=={question.ray}")], {}, question)
        if found is None:
            raise NoSolution(f"no solution for {question.subject}", why="Because so it is.", fix="relax")
        return tuple(
            package(f"{name}=={version}", requires=tuple(self._requires(name, version, question)))
            for name, version in sorted(found.items())
        )

    def _search(self, pending, chosen, question):
        if not pending:
            return chosen
        requirement, rest = pending[0], pending[1:]
        name = canonicalize_name(requirement.name)
        if name in chosen:
            fits = requirement.specifier.contains(chosen[name], prereleases=True)
            return self._search(rest, chosen, question) if fits else None
        for version in self._candidates(name, question):
            if requirement.specifier.contains(version, prereleases=True):
                more = [Requirement(text) for text in self._requires(name, version, question)]
                found = self._search([*rest, *more], {**chosen, name: version}, question)
                if found is not None:
                    return found
        return None

    def _candidates(self, name, question):
        pin, liked = question.constraints.get(name), question.preferences.get(name)
        versions = sorted(self._versions(name, question), reverse=True)
        allowed = [
            version for version in versions if pin is None or Requirement(f"x=={pin}").specifier.contains(version)
        ]
        return sorted(allowed, key=lambda version: version != liked)

    def _versions(self, name, question):
        world = self.indexes[question.indexes[name]] if name in question.indexes else self.world
        found = {Version(pin.partition("==")[2]) for pin in world if pin.partition("==")[0] == name}
        return found | {base.by_name[name].version for base in question.bases if name in base.by_name}

    def _requires(self, name, version, question):
        for base in question.bases:
            if name in base.by_name and base.by_name[name].version == version:
                return base.by_name[name].requires
        world = self.indexes[question.indexes[name]] if name in question.indexes else self.world
        return world[f"{name}=={version}"]
