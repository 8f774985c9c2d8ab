from __future__ import annotations

from dataclasses import replace

import pytest

from rayimage.lock import lock_inputs, what_changed
from rayimage.model.digest import Digest
from tests.unit.lock.samples import inventory, request, role_lock

BASE = inventory("click==8.1.7")
FILES = (("a.in", Digest.of(b"a")), ("b.in", Digest.of(b"b")))


def with_files(asked, *files):
    digest = Digest.of(repr(files).encode())
    return replace(asked, specs=replace(asked.specs, files=files, digest=digest))


REQUEST = with_files(request(BASE, "click"), *FILES)
LOCK = replace(
    role_lock(),
    base=replace(role_lock().base, reference=REQUEST.base, digest=BASE.image),
    inputs=lock_inputs(REQUEST),
    specs=FILES,
)


def test_nothing():
    assert what_changed(LOCK, REQUEST) == ""


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (replace(REQUEST, base="rayproject/ray:2.56.0-py311"), None),
        (replace(REQUEST, inventory=inventory("click==8.2")), "was cae662172fd4 when"),
        (replace(REQUEST, inventory=replace(BASE, python=REQUEST.ray.version)), "it was made for Python 3.11.13"),
        (with_files(REQUEST, FILES[0], ("b.in", Digest.of(b"c"))), "b.in changed"),
        (with_files(REQUEST, FILES[1]), "a.in is not used any more"),
        (with_files(REQUEST, *FILES, ("c.in", Digest.of(b"c"))), "c.in is new"),
        (with_files(REQUEST, ("a.in", Digest.of(b"")), ("c.in", Digest.of(b"c"))), "a.in changed, b.in is not used any more, c.in is new"),
        (replace(REQUEST, rules=replace(REQUEST.rules, base_packages="pin")), "base-packages, allow-skew or index"),
        (replace(REQUEST, rules=replace(REQUEST.rules, indexes={"torch": "https://example.com/cpu"})), "index"),
    ],
)  # fmt: skip
def test_what_changed(asked, why):
    found = what_changed(LOCK, asked)
    if why is None:
        # The digest does not depend on how the base is called, and so a lock made for it is still right.
        assert found == ""
    elif why.startswith("was"):
        assert (
            found
            == f"the base {REQUEST.base} was {BASE.image.short} when it was made and is {asked.inventory.image.short} now"
        )
    else:
        assert why in found


def test_credentials_do_not_count():
    urls = ("https://example.com/cpu", "https://user:secret@example.com/cpu")
    one, other = (replace(REQUEST, rules=replace(REQUEST.rules, indexes={"torch": url})) for url in urls)
    assert lock_inputs(one) == lock_inputs(other)
