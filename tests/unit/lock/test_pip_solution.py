from __future__ import annotations

import json

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock import Question
from rayimage.lock.pip_solution import Found, packages, provided, read_report, told_apart
from rayimage.lock.target import Target
from tests.unit.lock.samples import AMD64, dist, inventory

TARGET = Target(python=Version("3.11.2"), platform=AMD64, glibc=Version("2.35"))
SHA = "a" * 64


def item(url, *, name="Thing", version="1.0", requires=(), direct=False, size=None, **info):
    info = info or {"archive_info": {"hash": f"sha256={SHA}", "hashes": {"sha256": SHA}}}
    metadata = {"metadata_version": "2.1", "name": name, "version": version, "requires_dist": list(requires)}
    entry = {"download_info": {"url": url, **info}, "is_direct": direct, "metadata": metadata}
    return entry if size is None else {**entry, "size": size}


def report(*items):
    return json.dumps({"version": "1", "pip_version": "26.3", "install": items})


def found(pin, *requires, python=""):
    name, _, version = pin.partition("==")
    return Found(name=name, version=Version(version), requires=tuple(map(Requirement, requires)), python=python)


def question(*bases):
    return Question(
        subject="role head", target=TARGET, sources=(), ray=Version("2.55.1"), bases=bases or (inventory("a==1"),)
    )


def test_a_report_is_read():
    url = "https://user:secret@files.example.com/torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl?sig=1"
    torch, direct = read_report(
        report(
            item(url, name="Torch", version="2.13.0+cpu", requires=["sympy>=1"], size=7),
            item("file:///w/own-1.0-py3-none-any.whl", name="own", direct=True, archive_info={}),
        )
    )
    assert (torch.name, torch.version) == ("torch", Version("2.13.0+cpu"))
    assert torch.file.url == "https://files.example.com/torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert torch.file.filename == "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert (torch.file.digest.hex, torch.file.size) == (SHA, 7)
    assert not torch.direct
    assert direct.direct
    assert (direct.file.digest, direct.file.size) == (None, None)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"install": [{}]}', '{"install": [{"download_info": 1, "metadata": 2}]}']
)
def test_a_report_that_cannot_be_read(text):
    with pytest.raises(LockError, match="pip's answer cannot be read"):
        read_report(text)


@pytest.mark.parametrize(
    "entry",
    [
        item("file:///project", dir_info={}),
        item("https://example.com/r.git", vcs_info={"vcs": "git", "commit_id": "abc"}),
        item("https://example.com/thing-1.tar.gz"),
    ],
)
def test_what_would_have_to_be_built(entry):
    with pytest.raises(LockError, match="thing would have to be built"):
        read_report(report(entry))


def test_what_a_base_provides():
    base = inventory(
        dist("numpy==1.26.4", "old; python_version < '3'"), "torch==2.7.1+cu128", dist("broken==1", "absent")
    )
    other = inventory("numpy==2.0.0", seed="other")
    assert provided(Requirement("NumPy==1.26.4"), question(base)).file is None
    assert provided(Requirement("numpy==2.0.0"), question(base, other)).version == Version("2.0.0")
    assert provided(Requirement("torch==2.7.1"), question(base)) is not None
    assert provided(Requirement("numpy==1.26.5"), question(base)) is None
    assert provided(Requirement("pandas==2.0"), question(base)) is None
    assert provided(Requirement("numpy @ file:///w/numpy-1.26.4-py3-none-any.whl"), question(base)) is None
    assert provided(Requirement("broken==1"), question(base)).requires == (), "as it is there, not as it says"


def test_requirements_that_apply():
    solution = [
        found(
            "b==1",
            "c>=1,<2; python_version >= '3'",
            "d; python_version < '3'",
            "b[x]",
            "e; extra == 'x'",
            "E2[y,x]; extra == 'x'",
        ),
        found("a==1", "f; extra == 'never'"),
        found("c==1"),
        found("e==1"),
        found("e2==1", "c==1.*; extra == 'y'"),
    ]
    result = packages(solution, [Requirement("a"), Requirement("B[X]>=1")], TARGET.environment)
    assert [package.name for package in result] == ["a", "b", "c", "e", "e2"]
    requires = {package.name: package.requires for package in result}
    assert requires == {"a": (), "b": ("c<2,>=1", "e", "e2[x,y]"), "c": (), "e": (), "e2": ("c==1.*",)}


def test_extras_may_ask_for_each_other_in_a_circle():
    solution = [found("a==1", "b[y]; extra == 'x'"), found("b==1", "a[x]; extra == 'y'")]
    result = packages(solution, [Requirement("a[x]")], TARGET.environment)
    assert [package.requires for package in result] == [("b[y]",), ("a[x]",)]


HERE = Version("3.11.7")


@pytest.mark.parametrize(
    ("solution", "direct", "why"),
    [
        ([found("a==1", "b; python_version >= '3.11'")], [], ""),
        ([found("a==1", "b; python_full_version < '3.11.3'")], [], 'a 1 requires b; python_full_version < "3.11.3"'),
        ([found("a==1", "b; implementation_version < '3.11.3'")], [], "a 1 requires b"),
        ([found("a==1", "b; python_full_version < '3.11.3' and extra == 'x'")], [], ""),
        ([found("a==1", "b; python_full_version < '3.11.3' and extra == 'x'")], ["a[x]"], "a 1 requires b"),
        ([], ["a; python_full_version >= '3.11.5'"], "the project requires a"),
        ([found("a==1", python=">=3.11.4")], [], "a 1 requires Python >=3.11.4"),
        ([found("a==1", python=">=3.11")], [], ""),
        ([found("a==1", python="nonsense")], [], ""),
    ],
)
def test_whether_the_patch_version_counts(solution, direct, why):
    text = told_apart(solution, [Requirement(item) for item in direct], HERE, TARGET)
    assert text.startswith(why)
    assert bool(text) == bool(why)
    assert told_apart(solution, [Requirement(item) for item in direct], TARGET.python, TARGET) == ""
