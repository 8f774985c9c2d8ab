from __future__ import annotations

import json

import pytest
from packaging.version import Version

from rayimage.base.interest import extractor
from rayimage.base.interpreter import dpkg_version, find_interpreter
from rayimage.base.tree import Tree
from rayimage.errors import BaseImageError


def tree_of(files: dict[str, str]) -> Tree:
    """Files as a scan keeps them; links when the content starts with ``->``."""
    tree = Tree()
    for path, content in files.items():
        if content.startswith("->"):
            tree.put_link(path, content[2:])
            continue
        extract = extractor(path)
        assert extract, f"{path} would not be kept"
        tree.put_file(path, extract(content.encode()))
    return tree


def patchlevel(version: str) -> str:
    return f'#define PY_MAJOR_VERSION 3\n#define PY_VERSION              "{version}"\n'


def conda_record(version: str) -> str:
    return json.dumps({"name": "python", "version": version, "files": ["bin/python"]})


CONDA = {
    "/opt/conda/bin/python3.11": "",
    "/opt/conda/bin/python3": "->python3.11",
    "/opt/conda/bin/python": "->python3.11",
    "/opt/conda/conda-meta/python-3.11.9-h955ad1f_0_cpython.json": conda_record("3.11.9"),
    "/opt/conda/conda-meta/python-dateutil-2.9.0.json": conda_record("2.9.0").replace('"python"', '"python-dateutil"'),
}
OFFICIAL = {
    "/usr/local/bin/python3.12": "",
    "/usr/local/bin/python3": "->python3.12",
    "/usr/local/bin/python": "->python3",
    "/usr/local/include/python3.12/patchlevel.h": patchlevel("3.12.7"),
    "/usr/bin/python3.11": "",
    "/usr/bin/python3": "->python3.11",
}
DEBIAN = {
    "/usr/bin/python3.11": "",
    "/usr/bin/python3": "->python3.11",
    "/bin": "->usr/bin",
    "/usr/lib/python3/dist-packages/six-1.16.0.egg-info": "Name: six\nVersion: 1.16.0\n",
    "/var/lib/dpkg/status": "Package: python3.11-minimal\nVersion: 3.11.2-6+deb12u5\n",
}
UV = "/root/.local/share/uv/python/cpython-3.11.9-linux-x86_64-gnu"
VENV = {
    f"{UV}/bin/python3.11": "",
    "/app/.venv/bin/python": f"->{UV}/bin/python3.11",
    "/app/.venv/bin/python3": "->python",
    "/app/.venv/pyvenv.cfg": f"home = {UV}/bin\nimplementation = CPython\nuv = 0.9\nversion_info = 3.11.9\n"
    "include-system-site-packages = false\n",
}


def test_conda() -> None:
    found = find_interpreter(tree_of(CONDA), ["/opt/conda/bin", "/usr/bin"])
    assert found.version == Version("3.11.9")
    assert (found.path, found.prefix) == ("/opt/conda/bin/python", "/opt/conda")
    assert found.purelib == "/opt/conda/lib/python3.11/site-packages"
    assert found.site_dirs[0] == found.purelib


def test_official_image() -> None:
    found = find_interpreter(tree_of(OFFICIAL), ["/usr/local/bin", "/usr/bin"])
    assert (found.path, found.prefix, str(found.version)) == ("/usr/local/bin/python", "/usr/local", "3.12.7")
    assert found.purelib == "/usr/local/lib/python3.12/site-packages"


def test_the_order_of_path_decides() -> None:
    tree = tree_of({**OFFICIAL, **CONDA})
    assert find_interpreter(tree, ["/opt/conda/bin", "/usr/local/bin"]).prefix == "/opt/conda"
    assert find_interpreter(tree, ["/usr/local/bin", "/opt/conda/bin"]).prefix == "/usr/local"


def test_without_a_path_the_runtime_has_one() -> None:
    assert find_interpreter(tree_of(OFFICIAL), []).prefix == "/usr/local"


@pytest.mark.parametrize("path", ["/usr/bin", "/bin"])
def test_debian_installs_beside_what_apt_owns(path: str) -> None:
    found = find_interpreter(tree_of(DEBIAN), [path])
    assert (found.path, found.prefix, str(found.version)) == ("/usr/bin/python3", "/usr/local", "3.11.2")
    assert found.purelib == "/usr/local/lib/python3.11/dist-packages"
    assert "/usr/lib/python3/dist-packages" in found.site_dirs


def test_a_virtual_environment_is_its_own_prefix() -> None:
    found = find_interpreter(tree_of(VENV), ["/app/.venv/bin"])
    assert (found.path, found.prefix, str(found.version)) == ("/app/.venv/bin/python", "/app/.venv", "3.11.9")
    assert found.site_dirs == ("/app/.venv/lib/python3.11/site-packages", "/app/.venv/lib64/python3.11/site-packages")


@pytest.mark.parametrize("home", ["/opt/conda/bin", "/opt/conda/bin/"])
def test_a_virtual_environment_over_conda(home: str) -> None:
    files = {"/v/bin/python": "->/opt/conda/bin/python", "/v/pyvenv.cfg": f"home = {home}\n"}
    found = find_interpreter(tree_of({**CONDA, **files}), ["/v/bin"])
    assert (found.prefix, str(found.version)) == ("/v", "3.11.9")


def test_a_virtual_environment_over_debian() -> None:
    files = {"/v/bin/python3": "->/usr/bin/python3", "/v/pyvenv.cfg": "home = /usr/bin\n", "/v/lib64": "->lib"}
    found = find_interpreter(tree_of({**DEBIAN, **files}), ["/v/bin"])
    assert (found.path, str(found.version)) == ("/v/bin/python3", "3.11.2")
    assert found.site_dirs == ("/v/lib/python3.11/site-packages",)


def test_a_virtual_environment_that_shows_the_system_s_packages() -> None:
    config = "home = /usr/local/bin\nversion = 3.12.7\nInclude-System-Site-Packages = True\n"
    files = {"/v/bin/python": "->/usr/local/bin/python", "/v/pyvenv.cfg": config}
    found = find_interpreter(tree_of({**OFFICIAL, **files}), ["/v/bin"])
    assert found.site_dirs[0] == "/v/lib/python3.12/site-packages"
    assert "/usr/local/lib/python3.12/site-packages" in found.site_dirs


def test_links_without_pyvenv_lead_to_the_real_prefix() -> None:
    tree = tree_of({**CONDA, "/usr/local/bin/python": "->/opt/conda/bin/python"})
    found = find_interpreter(tree, ["/usr/local/bin"])
    assert (found.path, found.prefix) == ("/opt/conda/bin/python", "/opt/conda")


def test_a_prefix_has_no_links_in_it() -> None:
    tree = tree_of({**CONDA, "/opt/py": "->conda"})
    assert find_interpreter(tree, ["/opt/py/bin"]).prefix == "/opt/conda"


def test_a_second_conda_environment_is_not_asked_for_the_version() -> None:
    other = {"/opt/conda/envs/old/conda-meta/python-3.8.1-0.json": conda_record("3.8.1")}
    assert str(find_interpreter(tree_of({**other, **CONDA}), ["/opt/conda/bin"]).version) == "3.11.9"


def test_python_2_is_passed_over() -> None:
    files = {"/usr/bin/python2.7": "", "/usr/bin/python": "->python2.7"}
    assert find_interpreter(tree_of({**files, **DEBIAN}), ["/usr/bin"]).path == "/usr/bin/python3"


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("version = 3.11.9", "3.11.9"),
        ("version_info = 3.11.9.final.0", "3.11.9"),
        ("version_info = 3.13.0rc1", "3.13.0rc1"),
        ("VERSION=3.11.9", "3.11.9"),
    ],
)
def test_versions_in_pyvenv(written: str, version: str) -> None:
    tree = tree_of({"/v/bin/python": "", "/v/pyvenv.cfg": f"{written}\n"})
    assert str(find_interpreter(tree, ["/v/bin"]).version) == version


@pytest.mark.parametrize(("written", "version"), [("3.14.0rc2", "3.14.0rc2"), ("3.11.9+", "3.11.9")])
def test_versions_in_headers(written: str, version: str) -> None:
    tree = tree_of({"/p/bin/python": "", "/p/include/python3.14/patchlevel.h": patchlevel(written)})
    assert str(find_interpreter(tree, ["/p/bin"]).version) == version


def test_the_header_of_the_interpreter_s_own_minor_version_counts() -> None:
    headers = {f"/p/include/python3.{minor}/patchlevel.h": patchlevel(f"3.{minor}.1") for minor in (9, 10, 12)}
    tree = tree_of({"/p/bin/python3.10": "", "/p/bin/python3": "->python3.10", **headers})
    assert str(find_interpreter(tree, ["/p/bin"]).version) == "3.10.1"


@pytest.mark.parametrize(
    "files", [{}, {"/p/pyvenv.cfg": "version = 3.11\n"}, {"/p/include/python3.11/patchlevel.h": patchlevel("three")}]
)
def test_a_version_that_cannot_be_told_says_what_was_looked_for(files: dict[str, str]) -> None:
    with pytest.raises(BaseImageError) as caught:
        find_interpreter(tree_of({"/p/bin/python3.11": "", "/p/bin/python": "->python3.11", **files}), ["/p/bin"])
    assert "(/p/bin/python)" in caught.value.what
    assert "/p/conda-meta/python-3*.json" in caught.value.why
    assert "/p/include/python3.11/patchlevel.h" in caught.value.why
    assert caught.value.fix


def test_debian_without_a_package_database_says_so() -> None:
    files = {path: content for path, content in DEBIAN.items() if "dpkg" not in path}
    with pytest.raises(BaseImageError, match=r"package python3\.11-minimal in /var/lib/dpkg/status"):
        find_interpreter(tree_of(files), ["/usr/bin"])


def test_no_python_names_the_path() -> None:
    with pytest.raises(BaseImageError, match="its PATH, /opt/bin:/usr/bin"):
        find_interpreter(tree_of({"/usr/local/bin/python3": ""}), ["/opt/bin", "/usr/bin"])


def test_a_dangling_python_is_named() -> None:
    with pytest.raises(BaseImageError, match="/v/bin/python is a link to something that is not in the image"):
        find_interpreter(tree_of({"/v/bin/python": "->/gone/python3"}), ["/v/bin"])


def test_a_lib_that_loops() -> None:
    tree = tree_of({**CONDA, "/opt/conda/lib": "->lib64", "/opt/conda/lib64": "->lib"})
    with pytest.raises(BaseImageError, match="loop of symbolic links"):
        find_interpreter(tree, ["/opt/conda/bin"])


@pytest.mark.parametrize(
    ("written", "upstream"),
    [
        ("3.11.2-6+deb12u5", "3.11.2"),
        ("3.8.10-0ubuntu1~20.04.9", "3.8.10"),
        ("1:3.11.9-1+jammy1", "3.11.9"),
        ("3.13.0~rc2-1", "3.13.0rc2"),
        ("garbage", ""),
    ],
)
def test_debian_versions(written: str, upstream: str) -> None:
    for path in ("/var/lib/dpkg/status", "/var/lib/dpkg/status.d/python3.11-minimal"):
        tree = tree_of({path: f"Package: python3.11\nVersion: {written}\n"})
        assert dpkg_version(tree, "python3.11") == upstream
