from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayimage.errors import AuthError, RegistryError
from rayimage.http.transport import Transport
from rayimage.model.reference import Reference
from rayimage.registry.auth import Authenticator, check_realm, parse_challenges
from rayimage.registry.failures import REGISTRY
from rayimage.registry.host import Challenge, Host
from rayimage.registry.keychain import Keychain
from tests.support.fake_registry import FakeRegistry
from tests.unit.registry.conftest import Connect, blob_of


class TestChallenges:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([], ()),
            (["Basic"], (Challenge("basic", {}),)),
            (['Basic realm="a b"'], (Challenge("basic", {"realm": "a b"}),)),
            (
                ['Bearer realm="https://a/t",service="x, y",scope="repository:a/b:pull,push"'],
                (
                    Challenge(
                        "bearer", {"realm": "https://a/t", "service": "x, y", "scope": "repository:a/b:pull,push"}
                    ),
                ),
            ),
            (
                ['Basic realm="r", BEARER Realm = "https://a", error=insufficient_scope'],
                (
                    Challenge("basic", {"realm": "r"}),
                    Challenge("bearer", {"realm": "https://a", "error": "insufficient_scope"}),
                ),
            ),
            (
                ["Basic realm=x", 'Bearer realm="y"'],
                (Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "y"})),
            ),
            ([r'Basic realm="say \"hi\""'], (Challenge("basic", {"realm": 'say "hi"'}),)),
            (['realm="no scheme"'], ()),
        ],
    )
    def test_parse(self, values: list[str], expected: tuple[Challenge, ...]) -> None:
        assert parse_challenges(values) == expected

    @given(st.lists(st.text(max_size=200), max_size=3))
    def test_rubbish_does_no_harm(self, values: list[str]) -> None:
        assert all(challenge.scheme == challenge.scheme.lower() for challenge in parse_challenges(values))


class TestRealm:
    @pytest.mark.parametrize(
        ("realm", "registry"),
        [
            ("https://auth.example.com/token", "registry.example.com"),
            ("https://registry.example.com/token?x=1", "registry.example.com"),
            ("https://93.184.216.34/token", "registry.example.com"),
            ("https://10.0.0.5/token", "10.0.0.5:5000"),
            ("http://127.0.0.1:5001/token", "127.0.0.1:5000"),
            ("https://auth.example.com/token", "127.0.0.1:5000"),
        ],
    )
    def test_accepted(self, realm: str, registry: str) -> None:
        check_realm(realm, registry)

    @pytest.mark.parametrize(
        ("realm", "why"),
        [
            ("http://auth.example.com/token", "its token server is not"),
            ("https://169.254.169.254/latest", "internal address"),
            ("https://10.1.2.3/token", "internal address"),
            ("https://[::1]/token", "internal address"),
            ("https://[fe80::1]/token", "internal address"),
            ("https://127.0.0.1/token", "internal address"),
            ("https://localhost:8080/token", "internal address"),
            ("ftp://auth.example.com", "no http address"),
            ("file:///etc/passwd", "no http address"),
            ("https://user:pw@auth.example.com/token", "no http address"),
            ("https://[", "no http address"),
            ("", "no http address"),
        ],
    )
    def test_refused(self, realm: str, why: str) -> None:
        with pytest.raises(RegistryError, match=why) as caught:
            check_realm(realm, "registry.example.com")
        assert caught.value.fix
        assert "pw" not in str(caught.value)

    def test_a_public_registry_may_not_aim_at_this_machine_even_when_it_is_http(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RAYIMAGE_INSECURE_REGISTRIES", "registry.example.com")
        check_realm("http://auth.example.com/token", "registry.example.com")
        with pytest.raises(RegistryError):
            check_realm("http://169.254.169.254/", "registry.example.com")


class TestBasic:
    def test_login(self, connect: Connect) -> None:
        with FakeRegistry(auth="basic") as registry:
            repository = connect(registry, login="user:secret")
            repository.put_blob(blob_of(b"layer"))
            assert "authorization" not in registry.requests[0].headers
            assert all("authorization" in request.headers for request in registry.requests[1:])

    def test_wrong_password(self, connect: Connect) -> None:
        with FakeRegistry(auth="basic") as registry:
            with pytest.raises(AuthError, match=r"401 Unauthorized.*config\.json entry for 127") as caught:
                connect(registry, login="user:wr0ng").find_manifest("v1")
            assert "wr0ng" not in f"{caught.value} {caught.value.fix}"
            assert len(registry.requests) == 2


class TestBearer:
    def test_strangers_pull_and_may_not_push(self, connect: Connect) -> None:
        with FakeRegistry(auth="bearer") as registry:
            repository = connect(registry)
            assert repository.find_manifest("v1") is None
            with pytest.raises(AuthError, match="anonymous"):
                repository.put_blob(blob_of(b"layer"))

    def test_pulling_does_not_ask_for_the_right_to_push(self, connect: Connect) -> None:
        with FakeRegistry(auth="bearer") as registry:
            repository = connect(registry, login="user:secret")
            repository.find_manifest("v1")
            token = next(request.path for request in registry.requests if "/token" in request.path)
            assert "push" not in token
            assert "base" not in token
            repository.put_blob(blob_of(b"layer"))
            repository.find_manifest("v1")
            assert registry.count("GET", "/token") == 2

    def test_wrong_password(self, connect: Connect) -> None:
        with FakeRegistry(auth="bearer") as registry:
            with pytest.raises(AuthError, match=r"no access token for 127.*incorrect username or password") as caught:
                connect(registry, login="user:wr0ng").find_manifest("v1")
            assert "wr0ng" not in f"{caught.value} {caught.value.fix}"

    def test_identity_token(self, connect: Connect) -> None:
        with FakeRegistry(auth="bearer", identity_token="refresh-me", anonymous=False) as registry:
            connect(registry, token="refresh-me").put_blob(blob_of(b"layer"))
            assert registry.count("POST", "/token") == 1
            with pytest.raises(AuthError, match="wrong identity token") as caught:
                connect(registry, token="stale-one").find_manifest("v1")
            assert "stale-one" not in str(caught.value)

    def test_a_refused_token_is_renewed_once(self, connect: Connect) -> None:
        with FakeRegistry(auth="bearer") as registry:
            repository = connect(registry)
            repository.find_manifest("v1")
            registry.expire_tokens()
            assert repository.find_manifest("v1") is None
            assert registry.count("GET", "/token") == 2

    def test_a_busy_token_server_is_asked_again(self, connect: Connect, naps: list[float]) -> None:
        with FakeRegistry(auth="bearer") as registry:
            repository = connect(registry)
            repository.find_manifest("v1")
            registry.expire_tokens()
            registry.rate_limit = 1
            assert repository.find_manifest("v1") is None
            assert naps

    @pytest.mark.parametrize(("announced", "life"), [(True, 300.0), (True, 20.0), (False, 60.0)])
    def test_an_old_token_is_not_sent(self, announced: bool, life: float) -> None:
        now = [0.0]
        with FakeRegistry(auth="bearer", token_life=life, announce_life=announced) as registry:
            transport = Transport(REGISTRY)
            auth = Authenticator(
                Host(transport), Reference(registry.host, "team/app"), keychain=Keychain(()), clock=lambda: now[0]
            )
            realm = {"realm": f"http://{registry.host}/token", "service": "fake, quoted"}
            first = auth.respond([Challenge("bearer", realm)], refused="", push=False)
            assert auth.header(push=False) == first
            now[0] = life * 0.7
            assert auth.header(push=False) == first
            now[0] = life * 0.8
            assert auth.header(push=False) != first
            transport.close()

    def test_a_crowd_of_401_makes_one_token_request(self) -> None:
        with FakeRegistry(auth="bearer") as registry:
            transport = Transport(REGISTRY)
            auth = Authenticator(Host(transport), Reference(registry.host, "team/app"), keychain=Keychain(()))
            realm = {"realm": f"http://{registry.host}/token", "service": "fake, quoted"}
            ask = lambda: auth.respond([Challenge("bearer", realm)], refused="", push=False)  # noqa: E731
            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert registry.count("GET", "/token") == 1
            transport.close()

    @pytest.mark.parametrize(
        "body", ["<html>", "{}", "[]", '{"token": "a b"}', '{"token": "a\\r\\nX: y"}', '{"token":"x","expires_in":"y"}']
    )
    def test_an_answer_without_a_token(self, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with FakeRegistry() as registry:
            monkeypatch.setattr("json.dumps", lambda *_: body)
            registry.auth = "bearer"
            transport = Transport(REGISTRY)
            auth = Authenticator(Host(transport), Reference(registry.host, "team/app"), keychain=Keychain(()))
            realm = {"realm": f"http://{registry.host}/token", "service": "fake, quoted"}
            with pytest.raises(RegistryError, match="its answer holds no token"):
                auth.respond([Challenge("bearer", realm)], refused="", push=False)
            transport.close()


@pytest.mark.parametrize("challenges", [[], [Challenge("negotiate", {})]])
def test_a_401_that_nobody_can_answer(challenges: list[Challenge]) -> None:
    transport = Transport(REGISTRY)
    auth = Authenticator(Host(transport), Reference("registry.example.com", "team/app"), keychain=Keychain(()))
    with pytest.raises(AuthError, match="without a Basic or Bearer challenge"):
        auth.respond(challenges, refused="", push=False)


def test_nothing_is_sent_before_the_registry_asks() -> None:
    auth = Authenticator(
        Host(Transport(REGISTRY)), Reference("registry.example.com", "team/app"), keychain=Keychain(())
    )
    assert auth.header(push=True) == ""
    assert "anonymous" in auth.source
