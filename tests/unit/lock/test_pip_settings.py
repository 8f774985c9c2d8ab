from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rayimage.errors import LockError
from rayimage.lock import pip_settings
from rayimage.lock.pip_settings import (
    host_environment,
    index_settings,
    named_files,
    network_variables,
    parse_settings,
)

LISTED = r"""
:env:.default-timeout='180'
:env:.find-links='/wheels'
global.constraint='/etc/constraints.txt'
global.extra-index-url='\nhttps://a.example.com/simple\nhttps://b.example.com/simple'
global.find-links='/srv/wheels'
global.index-url='https://user:it\'s@example.com/simple'
install.index-url='https://install.example.com/simple'
install.target='/somewhere'
wheel.no-index='true'
freeze.timeout='10'
not a setting
"""


def test_settings_of_sources_only_and_the_more_special_wins():
    assert parse_settings(LISTED) == {
        "PIP_DEFAULT_TIMEOUT": "180",
        "PIP_EXTRA_INDEX_URL": "https://a.example.com/simple https://b.example.com/simple",
        "PIP_FIND_LINKS": "/wheels",
        "PIP_INDEX_URL": "https://install.example.com/simple",
    }
    assert parse_settings("") == {}


def test_pip_itself_is_asked(tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://user:secret@example.com/simple\ntarget = /x\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    found = index_settings(tmp_path)
    assert found["PIP_INDEX_URL"] == "https://user:secret@example.com/simple"
    assert found["PIP_NO_INDEX"] == "1"
    assert "PIP_TARGET" not in found
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=host_environment(os.environ, {}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert parse_settings(listed.stdout) == {}, "and with its variables nothing else of its configuration is left"


def test_a_configuration_that_pip_cannot_read(tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text("no section\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    with pytest.raises(LockError, match=r"pip's settings cannot be read: .*no section headers.*pip.conf"):
        index_settings(tmp_path)


def test_the_environment_of_a_run():
    host = {"PATH": "/bin", "PIP_TARGET": "/x", "PIP_INDEX_URL": "old", "PIP_TOOLS_CACHE_DIR": "/y", "https_proxy": "p"}
    assert host_environment(host, {"PIP_INDEX_URL": "new"}) == {
        "PATH": "/bin",
        "https_proxy": "p",
        "PIP_INDEX_URL": "new",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def test_what_of_the_network_a_container_has_to_know(tmp_path):
    host = {"HTTPS_PROXY": "a", "no_proxy": "b", "SSL_CERT_FILE": "/c", "PATH": "/bin", "HOME": str(tmp_path)}
    assert network_variables(host) == {"HTTPS_PROXY": "a", "no_proxy": "b", "SSL_CERT_FILE": "/c"}
    (tmp_path / ".netrc").touch()
    assert network_variables(host)["NETRC"] == str(tmp_path / ".netrc")
    assert network_variables(host | {"NETRC": "/other"})["NETRC"] == "/other"


def test_files_that_an_environment_names(tmp_path):
    (tmp_path / "with space/simple").mkdir(parents=True)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "ca.pem").touch()
    index = (tmp_path / "with space/simple").as_uri()
    environment = {
        "PIP_EXTRA_INDEX_URL": f"https://example.com/simple {index}",
        "PIP_FIND_LINKS": f"{tmp_path}/wheels relative {tmp_path}/absent",
        "SSL_CERT_FILE": f"{tmp_path}/ca.pem",
        "PATH": str(tmp_path),
        "NO_PROXY": "localhost",
    }
    found = set(named_files(environment))
    assert found == {tmp_path / "with space", tmp_path / "wheels", tmp_path / "ca.pem"}


def test_every_setting_is_one_that_pip_install_has():
    shown = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--help"], capture_output=True, text=True, check=True
    ).stdout
    absent = {key for key in pip_settings._KEYS if f"--{key}" not in shown}
    assert absent <= {"default-timeout", "uploaded-prior-to"}  # an older name, and an option since pip 26.0
