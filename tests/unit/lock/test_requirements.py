from __future__ import annotations

from dataclasses import replace

from rayimage.lock import export_requirements, read_preferences
from rayimage.lock.classify import role_lock as lock_of
from tests.unit.lock.samples import inventory, package, request, role_lock


def test_export():
    lock = role_lock()
    assert export_requirements(lock) == (
        "#\n# This file is written by the command:\n#\n#    rayimage lock --export requirements\n#\n"
        "# It is what role worker on linux/amd64 adds to Ray 2.55.1, Python 3.11.13,\n"
        f"# base image {lock.base.digest}; install it there with --no-deps.\n#\n"
        f"pandas==2.3.3 \\\n    --hash=sha256:{lock.wheels[0].digest.hex}\n"
    )


def test_export_says_who_requires_what():
    ask = request(inventory("click==8.1.7"), "app>=1", "Numpy", "lib; sys_platform == 'win32'")
    ask = replace(ask, specs=replace(ask.specs, origins={"app>=1": "a.in:3", "Numpy": "b.in"}))
    packages = (
        package("app==1", requires=("numpy>=2", "lib[fast]", "click>8")),
        package("lib==1", requires=("numpy",)),
        package("numpy==2", requires=()),
        package("stray==1", requires=()),
    )
    text = export_requirements(
        lock_of(ask, packages), replace(ask, specs=replace(ask.specs, requirements=ask.specs.requirements[:2]))
    )
    lines = [line for line in text.splitlines() if not line.startswith(("#", "    --hash"))]
    assert lines == [
        "app==1 \\",
        "    # via -r a.in",
        "lib==1 \\",
        "    # via app",
        "numpy==2 \\",
        "    # via",
        "    #   -r b.in",
        "    #   app",
        "    #   lib",
        "stray==1 \\",
    ]
    assert {name: str(version) for name, version in read_preferences(text).items()} == {
        "app": "1",
        "lib": "1",
        "numpy": "2",
        "stray": "1",
    }


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
