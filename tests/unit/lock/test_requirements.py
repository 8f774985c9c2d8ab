from __future__ import annotations

from rayimage.lock import export_requirements, read_preferences
from tests.unit.lock.samples import role_lock


def test_export():
    lock = role_lock()
    assert export_requirements(lock) == (
        "#\n# This file is written by the command:\n#\n#    rayimage lock --export requirements\n#\n"
        "# It is what role worker on linux/amd64 adds to Ray 2.55.1, Python 3.11.13,\n"
        f"# base image {lock.base.digest}; install it there with --no-deps.\n#\n"
        f"pandas==2.3.3 \\\n    --hash=sha256:{lock.wheels[0].digest.hex}\n"
    )


def test_what_is_exported_is_preferred():
    assert {name: str(v) for name, v in read_preferences(export_requirements(role_lock())).items()} == {
        "pandas": "2.3.3"
    }


def test_preferences_of_a_compiled_file():
    text = (
        "# comment\n--index-url https://index.example.com/simple\n-c other.txt\n"
        "Typing_Extensions==4.15.0 ; python_version < '3.13' \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
        "    # via something==1\nuvicorn[standard]==0.22.0  # pinned\ntorch==2.7.1+cu128\n"
        "loose>=1\nwild==1.*\nodd===what\nfile @ https://example.com/f-1.0-py3-none-any.whl\n./local.whl\n"
    )
    assert {name: str(version) for name, version in read_preferences(text).items()} == {
        "typing-extensions": "4.15.0",
        "uvicorn": "0.22.0",
        "torch": "2.7.1+cu128",
    }


def test_windows_line_ends():
    assert {n: str(v) for n, v in read_preferences("six==1.17.0 \\\r\n    --hash=sha256:00\r\n").items()} == {
        "six": "1.17.0"
    }
