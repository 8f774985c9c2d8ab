from __future__ import annotations

import pytest

from rayimage.cachedir import parse_age, parse_size, size_limit
from rayimage.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("5GB", 5 * 10**9),
        ("500 mb", 5 * 10**8),
        ("2GiB", 2 << 30),
        ("1.5k", 1500),
        (" 7B ", 7),
        ("1TB", 10**12),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "5 XB", "1e3", "5GB5", "x5GB"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="is not a size") as caught:
        parse_size(text)
    assert "20GB" in caught.value.fix


@pytest.mark.parametrize(("text", "age"), [("30d", 30 * 86400), ("12h", 43200), ("2w", 14 * 86400), ("90 m", 5400)])
def test_ages(text, age):
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["", "30", "1y", "d"])
def test_what_is_no_age(text):
    with pytest.raises(UsageError, match="is not an age"):
        parse_age(text)


def test_the_limit(monkeypatch):
    monkeypatch.delenv("RAYIMAGE_CACHE_SIZE", raising=False)
    assert size_limit() == 20 * 10**9
    monkeypatch.setenv("RAYIMAGE_CACHE_SIZE", "3GB")
    assert size_limit() == 3 * 10**9
    monkeypatch.setenv("RAYIMAGE_CACHE_SIZE", "much")
    with pytest.raises(UsageError, match="RAYIMAGE_CACHE_SIZE: 'much' is not a size"):
        size_limit()
