from __future__ import annotations

import pytest

from rayimage.registry.quirks import base_url, host_of, is_loopback, quirks_of
from rayimage.registry.transfer import Learned


@pytest.mark.parametrize(
    ("registry", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("registry.example.com:5000", "https://registry.example.com:5000"),
        ("localhost", "http://localhost"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.8.9.1", "http://127.8.9.1"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
        ("localhost.example.com", "https://localhost.example.com"),
        ("127.0.0.1.example.com", "https://127.0.0.1.example.com"),
    ],
)
def test_base_url(registry: str, url: str) -> None:
    assert base_url(registry) == url


def test_listed_hosts_speak_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYIMAGE_INSECURE_REGISTRIES", "a.example.com, b.example.com:5000,")
    assert base_url("a.example.com") == "http://a.example.com"
    assert base_url("b.example.com:5000") == "http://b.example.com:5000"
    assert base_url("b.example.com") == "https://b.example.com"


@pytest.mark.parametrize(
    ("registry", "host"),
    [("a:1", "a"), ("a", "a"), ("[::1]:5000", "::1"), ("[::1]", "::1"), ("::1", "::1"), ("127.0.0.1:80", "127.0.0.1")],
)
def test_host_of(registry: str, host: str) -> None:
    assert host_of(registry) == host
    assert is_loopback(registry) == (host != "a")


@pytest.mark.parametrize(
    ("registry", "patches", "resumes", "chunks", "limit"),
    [
        ("europe-west1-docker.pkg.dev", False, False, False, 0),
        ("eu.gcr.io", False, False, False, 0),
        ("gcr.io", False, False, False, 0),
        ("notgcr.io", True, True, True, 0),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", True, False, False, 0),
        ("public.ecr.aws", True, False, False, 0),
        ("ghcr.io", True, False, False, 0),
        ("ghcr.io.example.com", True, True, True, 0),
        ("team.azurecr.io", True, True, True, 16 << 20),
        ("docker.io", True, True, True, 0),
        ("registry.example.com", True, True, True, 0),
    ],
)
def test_uploads(registry: str, patches: bool, resumes: bool, chunks: bool, limit: int) -> None:
    quirks = quirks_of(registry)
    known = Learned.of(quirks)
    assert (quirks.patches, known.resumes, known.chunks, known.chunk) == (patches, resumes, chunks, limit)
