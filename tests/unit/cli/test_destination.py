"""The registry's own word on what a tag names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rayimage.cli.destination import Destination
from rayimage.errors import ContentError
from rayimage.model.digest import Digest
from rayimage.model.reference import Reference

ROLE = SimpleNamespace(role="head", tag="v1-head", digest=Digest.of(b"manifest"))
PUSH = Destination(kind="push", repository=Reference.parse("registry.example.com/team/x"))


def app(there: Digest | None) -> SimpleNamespace:
    found = SimpleNamespace(digest=there) if there else None
    return SimpleNamespace(open_repository=lambda name: SimpleNamespace(head={"v1-head": found}.__getitem__))


def test_a_tag_that_names_what_was_pushed() -> None:
    PUSH.check_pushed(app(ROLE.digest), [ROLE])


@pytest.mark.parametrize("there", [None, Digest.of(b"other")])
def test_a_tag_that_names_something_else(there: Digest | None) -> None:
    with pytest.raises(ContentError, match="x:v1-head is not what was pushed"):
        PUSH.check_pushed(app(there), [ROLE])


def test_a_layout_has_no_registry_to_ask() -> None:
    Destination(kind="oci").check_pushed(SimpleNamespace(), [ROLE])
