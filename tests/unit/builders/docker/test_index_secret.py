from __future__ import annotations

import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from rayimage.builders.docker.index_secret import index_script, index_secrets
from rayimage.errors import UsageError

INDEX, MORE = "https://packages.example.com/simple", "https://more.example.com/simple"


def variables(script: str) -> dict[str, str]:
    words = [shlex.split(line) for line in script.splitlines()]
    assert all(word[0] == "export" for word in words)
    return dict(word[1].partition("=")[::2] for word in words)


def test_without_settings_there_is_nothing_to_say() -> None:
    assert index_script([], [], {}) == ""


def test_one_index_for_pip_and_uv() -> None:
    found = variables(index_script([MORE], [], {"PIP_INDEX_URL": INDEX}))
    assert found == {
        "PIP_INDEX_URL": INDEX,
        "UV_DEFAULT_INDEX": INDEX,
        "PIP_EXTRA_INDEX_URL": MORE,
        "UV_INDEX": MORE,
    }


def test_an_index_of_the_specs_comes_on_top_of_the_default_one() -> None:
    found = variables(index_script([MORE], [], {}))
    assert found == {"PIP_EXTRA_INDEX_URL": MORE, "UV_INDEX": MORE}


def test_credentials_come_from_the_url_uvs_variables_and_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine third.example.com login me password p@ss\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    environ = {
        "UV_INDEX": f"house={INDEX} https://third.example.com/simple",
        "UV_INDEX_HOUSE_USERNAME": "robot",
        "UV_INDEX_HOUSE_PASSWORD": "it's $HOME",
    }
    script = index_script([MORE], ["https://a:b@more.example.com/other"], environ)
    assert variables(script)["UV_INDEX"].split() == [
        "https://robot:it%27s%20%24HOME@packages.example.com/simple",
        "https://me:p%40ss@third.example.com/simple",
        "https://a:b@more.example.com/simple",
    ]


def test_a_shell_reads_what_was_meant() -> None:
    script = index_script([], [], {"PIP_INDEX_URL": INDEX, "PIP_TRUSTED_HOST": "a'b $(echo no) c"})
    told = subprocess.run(
        ["sh", "-c", f'{script}printf %s "$PIP_TRUSTED_HOST"'], capture_output=True, text=True, check=True
    )
    assert told.stdout == "a'b $(echo no) c"


def test_files_of_this_machine_are_not_passed() -> None:
    environ = {"PIP_FIND_LINKS": "/srv/wheels https://links.example.com/", "PIP_EXTRA_INDEX_URL": "file:///srv/simple"}
    assert variables(index_script([], [], environ)) == {"PIP_FIND_LINKS": "https://links.example.com/"}


def test_the_files_are_this_users_and_go_away(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificate")
    with index_secrets([], [], {"PIP_INDEX_URL": INDEX, "SSL_CERT_FILE": str(bundle)}) as secrets:
        assert secrets["certificates"] == bundle
        assert stat.S_IMODE(secrets["index"].stat().st_mode) == 0o600
        assert "export PIP_CERT=/dev/certificates\n" in secrets["index"].read_text()
    assert not secrets["index"].exists()


@pytest.mark.parametrize("kind", ["absent", "directory", "large"])
def test_certificates_that_cannot_be_passed(tmp_path: Path, kind: str) -> None:
    bundle = tmp_path / "ca"
    if kind == "directory":
        bundle.mkdir()
    if kind == "large":
        bundle.write_bytes(b"x" * 600_000)
    with (
        pytest.raises(UsageError, match="REQUESTS_CA_BUNDLE"),
        index_secrets([], [], {"REQUESTS_CA_BUNDLE": str(bundle)}),
    ):
        pass
