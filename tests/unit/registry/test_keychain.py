from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from rayimage.errors import AuthError, RegistryError
from rayimage.model.reference import Reference
from rayimage.registry.keychain import ANONYMOUS, Keychain, credential_files, default_keychain

HOST = "registry.example.com"


def entry(login: str) -> dict[str, str]:
    return {"auth": base64.b64encode(login.encode()).decode()}


def keychain(tmp_path: Path, *files: dict[str, Any]) -> Keychain:
    paths = []
    for number, data in enumerate(files):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(data))
    return Keychain(tuple(paths))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential helper ``docker-credential-fake`` that knows what servers.json says; calls.txt counts."""
    directory = tmp_path / "bin"
    directory.mkdir()
    script = directory / "docker-credential-fake"
    script.write_text(
        "#!/bin/sh\n"
        f'server=$(cat); echo "$server" >> {directory}/calls.txt\n'
        f'name=$(echo "$server" | tr -c "a-z0-9.\\n" _)\n'
        f"if [ -f {directory}/$name ]; then cat {directory}/$name; exit $(cat {directory}/code 2>/dev/null || echo 0); fi\n"
        'echo "credentials not found in native keychain"; exit 1\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return directory


def tell(helper: Path, server: str, username: str, secret: str) -> None:
    name = "".join(c if c.isalnum() or c == "." else "_" for c in server)
    (helper / name).write_text(json.dumps({"ServerURL": server, "Username": username, "Secret": secret}))


class TestFiles:
    def test_user_and_password(self, tmp_path: Path) -> None:
        found = keychain(tmp_path, {"auths": {HOST: entry("me:se:cret")}}).resolve(Reference(HOST, "a"))
        assert (found.username, found.password) == ("me", "se:cret")
        assert found.basic == "Basic " + base64.b64encode(b"me:se:cret").decode()
        assert "cret" not in repr(found)
        assert HOST in found.source

    @pytest.mark.parametrize(
        "key", [f"https://{HOST}", f"http://{HOST}/", f"https://{HOST}/v1/", f"https://{HOST}/v2/", HOST]
    )
    def test_keys_of_old_clients(self, tmp_path: Path, key: str) -> None:
        assert keychain(tmp_path, {"auths": {key: entry("me:x")}}).resolve(Reference(HOST, "a")).username == "me"

    @pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
    def test_docker_hub(self, tmp_path: Path, key: str) -> None:
        found = keychain(tmp_path, {"auths": {key: entry("me:x")}}).resolve(Reference.parse("rayproject/ray"))
        assert found.username == "me"

    @pytest.mark.parametrize(
        "key", [f"{HOST}/team", f"{HOST}:5000", "example.com", f"x{HOST}", f"{HOST}.evil.com", f"https://{HOST}/team"]
    )
    def test_others_entries_are_not_ours(self, tmp_path: Path, key: str) -> None:
        assert keychain(tmp_path, {"auths": {key: entry("me:x")}}).resolve(Reference(HOST, "other/app")) is ANONYMOUS

    def test_the_closest_path_wins(self, tmp_path: Path) -> None:
        auths = {HOST: entry("host:x"), f"{HOST}/team": entry("team:x"), f"{HOST}/team/app": entry("app:x")}
        chain = keychain(tmp_path, {"auths": auths})
        assert chain.resolve(Reference(HOST, "team/app")).username == "app"
        assert chain.resolve(Reference(HOST, "team/other")).username == "team"
        assert chain.resolve(Reference(HOST, "team2/app")).username == "host"

    def test_identity_token(self, tmp_path: Path) -> None:
        found = keychain(tmp_path, {"auths": {HOST: {"identitytoken": "tok", **entry("a:b")}}}).resolve(
            Reference(HOST, "a")
        )
        assert (found.identity_token, found.basic) == ("tok", "")
        assert "tok" not in repr(found).replace("identity_token", "")

    def test_plain_user_and_password(self, tmp_path: Path) -> None:
        found = keychain(tmp_path, {"auths": {HOST: {"username": "me", "password": "x"}}}).resolve(Reference(HOST, "a"))
        assert (found.username, found.password) == ("me", "x")

    def test_the_first_file_that_knows_wins(self, tmp_path: Path) -> None:
        files = ({"auths": {HOST: {}}}, {"auths": {HOST: entry("second:x")}}, {"auths": {HOST: entry("third:x")}})
        assert keychain(tmp_path, *files).resolve(Reference(HOST, "a")).username == "second"

    def test_none(self, tmp_path: Path) -> None:
        assert Keychain((tmp_path / "absent.json",)).resolve(Reference(HOST, "a")) is ANONYMOUS
        assert keychain(tmp_path, {}).resolve(Reference(HOST, "a")).basic == ""

    @pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"auths": 3}', '{"credHelpers": [1]}'])
    def test_malformed_file(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(RegistryError, match=r"cannot read credentials from .*config\.json") as caught:
            Keychain((tmp_path / "config.json",)).resolve(Reference(HOST, "a"))
        assert caught.value.fix

    @pytest.mark.parametrize(
        "broken", [{"auth": "%%"}, {"auth": "bm9jb2xvbg=="}, "x", 3, {"auth": 3}, {"auth": "/w=="}]
    )
    def test_malformed_entry(self, tmp_path: Path, broken: object) -> None:
        with pytest.raises(RegistryError, match="malformed") as caught:
            keychain(tmp_path, {"auths": {HOST: broken}}).resolve(Reference(HOST, "a"))
        assert f"docker login {HOST}" in caught.value.fix
        assert "bm9jb2xvbg" not in str(caught.value)

    def test_an_empty_file_is_no_fault(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_bytes(b"")
        assert Keychain((tmp_path / "config.json",)).resolve(Reference(HOST, "a")) is ANONYMOUS


class TestHelpers:
    def test_of_a_host(self, tmp_path: Path, helper: Path) -> None:
        tell(helper, HOST, "me", "s3cret")
        data = {"credHelpers": {HOST: "fake"}, "credsStore": "absent", "auths": {HOST: entry("file:x")}}
        chain = keychain(tmp_path, data)
        for repository in ("a", "b"):
            found = chain.resolve(Reference(HOST, repository))
            assert (found.username, found.password) == ("me", "s3cret")
        assert (helper / "calls.txt").read_text().split() == [HOST]
        assert found.source == f"docker-credential-fake for {HOST}"

    def test_of_every_host_and_the_hubs_key(self, tmp_path: Path, helper: Path) -> None:
        tell(helper, "https://index.docker.io/v1/", "me", "x")
        chain = keychain(tmp_path, {"credsStore": "fake", "auths": {HOST: entry("file:x")}})
        assert chain.resolve(Reference.parse("rayproject/ray")).username == "me"
        assert chain.resolve(Reference(HOST, "a")).username == "file"  # not found in the store is no error
        assert chain.resolve(Reference("other.example.com", "a")) is ANONYMOUS

    def test_identity_token(self, tmp_path: Path, helper: Path) -> None:
        tell(helper, HOST, "<token>", "refresh")
        found = keychain(tmp_path, {"credsStore": "fake"}).resolve(Reference(HOST, "a"))
        assert (found.identity_token, found.username) == ("refresh", "")

    def test_empty_answer_is_not_found(self, tmp_path: Path, helper: Path) -> None:
        tell(helper, HOST, "", "")
        assert keychain(tmp_path, {"credsStore": "fake"}).resolve(Reference(HOST, "a")) is ANONYMOUS

    def test_not_installed(self, tmp_path: Path) -> None:
        with pytest.raises(AuthError, match="docker-credential-nowhere: the program is not on PATH") as caught:
            keychain(tmp_path, {"credsStore": "nowhere"}).resolve(Reference(HOST, "a"))
        assert "credsStore" in caught.value.fix

    @pytest.mark.parametrize(("answer", "code"), [("not json", 0), ('{"Username": "me"}', 0), ("vault is locked", 3)])
    def test_failing(self, tmp_path: Path, helper: Path, answer: str, code: int) -> None:
        (helper / HOST).write_text(answer)
        (helper / "code").write_text(str(code))
        with pytest.raises(AuthError, match="no credentials for") as caught:
            keychain(tmp_path, {"credHelpers": {HOST: "fake"}}).resolve(Reference(HOST, "a"))
        assert ("vault is locked" in str(caught.value)) == bool(code)

    def test_failing_with_the_secret_in_its_mouth(self, tmp_path: Path, helper: Path) -> None:
        tell(helper, HOST, "me", "s3cret")
        (helper / "code").write_text("1")
        with pytest.raises(AuthError) as caught:
            keychain(tmp_path, {"credHelpers": {HOST: "fake"}}).resolve(Reference(HOST, "a"))
        assert "s3cret" not in str(caught.value)


def test_order_of_the_files() -> None:
    home = Path("/home/me")
    podman = home / ".config/containers/auth.json"
    assert credential_files({}, home) == (home / ".docker/config.json", podman)
    everything = {"DOCKER_CONFIG": "/d", "REGISTRY_AUTH_FILE": "/r.json", "XDG_RUNTIME_DIR": "/run/1"}
    assert credential_files(everything, home) == (
        Path("/d/config.json"),
        Path("/r.json"),
        Path("/run/1/containers/auth.json"),
        podman,
    )


def test_one_keychain_per_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert default_keychain() is default_keychain()
