from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayimage.errors import UsageError
from rayimage.model.digest import Digest
from rayimage.model.reference import Reference

HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "shown"),
    [
        ("ubuntu", "docker.io", "library/ubuntu", "", "ubuntu"),
        ("ubuntu:22.04", "docker.io", "library/ubuntu", "22.04", "ubuntu:22.04"),
        ("rayproject/ray:2.55.1-py311", "docker.io", "rayproject/ray", "2.55.1-py311", "rayproject/ray:2.55.1-py311"),
        ("docker.io/rayproject/ray", "docker.io", "rayproject/ray", "", "rayproject/ray"),
        ("index.docker.io/library/x", "docker.io", "library/x", "", "x"),
        ("localhost/x", "localhost", "x", "", "localhost/x"),
        ("localhost:5000/a/b:t", "localhost:5000", "a/b", "t", "localhost:5000/a/b:t"),
        ("ghcr.io/org/team/app:v1", "ghcr.io", "org/team/app", "v1", "ghcr.io/org/team/app:v1"),
        ("[::1]:5000/x", "[::1]:5000", "x", "", "[::1]:5000/x"),
    ],
)
def test_parse(text: str, registry: str, repository: str, tag: str, shown: str) -> None:
    reference = Reference.parse(text)
    assert (reference.registry, reference.repository, reference.tag) == (registry, repository, tag)
    assert str(reference) == shown


def test_a_digest_beside_a_tag() -> None:
    reference = Reference.parse(f"reg.example.com/x:t@sha256:{HEX}")
    assert reference.tag == "t"
    assert reference.digest == Digest(HEX)
    assert reference.target == f"sha256:{HEX}"
    assert str(reference.name) == "reg.example.com/x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "Upper/x",
        "a//b",
        "a/b:",
        "a/b:-t",
        "a b",
        "a@sha256:12",
        f"a@sha512:{HEX}",
        "reg.example.com/",
        "a:t:u/",
        "x:" + "t" * 129,
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(UsageError):
        Reference.parse(text)


def test_target_defaults_to_latest() -> None:
    assert Reference.parse("x").target == "latest"


component = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)?", fullmatch=True)


@given(
    registry=st.sampled_from(["docker.io", "localhost:5000", "reg.example.com"]),
    parts=st.lists(component, min_size=1, max_size=3),
    tag=st.from_regex(r"(|[A-Za-z0-9_][A-Za-z0-9._-]{0,10})", fullmatch=True),
    pinned=st.booleans(),
)
def test_str_is_read_back(registry: str, parts: list[str], tag: str, pinned: bool) -> None:
    repository = "/".join(["ns", *parts])
    reference = Reference(registry, repository, tag, Digest(HEX) if pinned else None)
    assert Reference.parse(str(reference)) == reference
