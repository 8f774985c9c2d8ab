from __future__ import annotations

import json

import pytest
from packaging.version import Version

from rayimage.base.distributions import read_distributions
from rayimage.model.inventory import Distribution, InstalledFile
from tests.unit.base.test_interpreter import tree_of

SITE = "/p/lib/python3.11/site-packages"


def read(files: dict[str, str], *site_dirs: str) -> tuple[dict[str, Distribution], list[str]]:
    warnings: list[str] = []
    found = read_distributions(tree_of(files), site_dirs or (SITE,), "/p", warnings.append)
    return {dist.name: dist for dist in found}, warnings


def metadata(name: str, version: str, *lines: str) -> str:
    return "\n".join(
        ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, "", "Requires-Dist: text"]
    )


def test_a_wheel_s_distribution() -> None:
    info = f"{SITE}/Flask_Cors-4.0.dist-info"
    found, warnings = read(
        {
            f"{info}/METADATA": metadata(
                "Flask-Cors", "4.0", "Requires-Dist: flask>=0.9", 'Requires-Dist: x[y]<2;\n  extra == "z"'
            ),
            f"{info}/INSTALLER": "uv\n",
            f"{info}/RECORD": "flask_cors/__init__.py,sha256=AbC_-x,12\n"
            "flask_cors/__pycache__/__init__.cpython-311.pyc,,\n"
            "../../../bin/cors,sha256=D,1\n"
            '"odd, name.py",sha256=E,1\n'
            "legacy.py,md5=F,1\n"
            "/etc/absolute,,\n"
            ",,\n\n",
        }
    )
    assert warnings == []
    assert found == {
        "flask-cors": Distribution(
            name=found["flask-cors"].name,
            version=Version("4.0"),
            requires=("flask>=0.9", 'x[y]<2; extra == "z"'),
            installer="uv",
            dist_info=info,
            files=(
                InstalledFile("/etc/absolute"),
                InstalledFile("/p/bin/cors", "sha256=D"),
                InstalledFile(f"{SITE}/flask_cors/__init__.py", "sha256=AbC_-x"),
                InstalledFile(f"{SITE}/flask_cors/__pycache__/__init__.cpython-311.pyc"),
                InstalledFile(f"{SITE}/legacy.py"),
                InstalledFile(f"{SITE}/odd, name.py", "sha256=E"),
            ),
        )
    }


def test_conda_s_record_stands_in_for_an_absent_one() -> None:
    files = [
        "lib/python3.11/site-packages/tqdm/std.py",
        "lib/python3.11/site-packages/tqdm-4.67.dist-info/METADATA",
        "bin/tqdm",
    ]
    found, _ = read(
        {
            f"{SITE}/tqdm-4.67.dist-info/METADATA": metadata("tqdm", "4.67"),
            f"{SITE}/tqdm-4.67.dist-info/INSTALLER": "conda\n",
            "/p/conda-meta/tqdm-4.67-pyhd8.json": json.dumps({"name": "tqdm", "version": "4.67", "files": files}),
            "/p/conda-meta/broken.json": "{",
        }
    )
    assert found["tqdm"].is_conda
    assert [file.path for file in found["tqdm"].files] == sorted(f"/p/{file}" for file in files)


def test_conda_is_recognised_without_an_installer_file() -> None:
    files = ["lib/python3.11/site-packages/old-1.egg-info/PKG-INFO", "lib/python3.11/site-packages/old.py"]
    found, _ = read(
        {
            f"{SITE}/old-1.egg-info/PKG-INFO": metadata("old", "1"),
            "/p/conda-meta/old-1-0.json": json.dumps({"name": "old", "version": "1", "files": files}),
        }
    )
    assert found["old"].is_conda
    assert len(found["old"].files) == 2


def test_a_conda_package_that_pip_replaced_is_pip_s() -> None:
    files = ["lib/python3.11/site-packages/a-1.dist-info/METADATA"]
    found, _ = read(
        {
            f"{SITE}/a-2.dist-info/METADATA": metadata("a", "2"),
            f"{SITE}/a-2.dist-info/INSTALLER": "pip",
            "/p/conda-meta/a-1-0.json": json.dumps({"name": "a", "version": "1", "files": files}),
        }
    )
    assert (str(found["a"].version), found["a"].installer, found["a"].files) == ("2", "pip", ())


def test_an_egg_info_directory() -> None:
    info = f"{SITE}/old-1.0-py3.11.egg-info"
    found, _ = read(
        {
            f"{info}/PKG-INFO": metadata("old", "1.0"),
            f"{info}/requires.txt": 'six\n\n[fast]\nspeedups>1\n\n[:python_version < "3.8"]\nbackport\n',
            f"{info}/installed-files.txt": "../old.py\nPKG-INFO\n",
        }
    )
    assert [file.path for file in found["old"].files] == [f"{info}/PKG-INFO", f"{SITE}/old.py"]
    assert found["old"].requires[0] == "six"
    assert any("speedups" in line and 'extra == "fast"' in line for line in found["old"].requires)
    assert any("backport" in line and "python_version" in line for line in found["old"].requires)


def test_an_egg_info_file() -> None:
    found, warnings = read({f"{SITE}/PyYAML-6.0.egg-info": metadata("PyYAML", "6.0")})
    assert (found["pyyaml"].version, found["pyyaml"].files, warnings) == (Version("6.0"), (), [])


def test_the_last_of_two_in_a_directory_counts() -> None:
    found, warnings = read(
        {f"{SITE}/a-{version}.dist-info/METADATA": metadata("a", version) for version in ("1.0", "2.0")}
    )
    assert found["a"].version == Version("2.0")
    assert warnings == [f"the base has a twice: {SITE}/a-1.0.dist-info is ignored, {SITE}/a-2.0.dist-info counts"]


def test_the_first_directory_hides_the_second() -> None:
    files = {
        "/usr/local/lib/python3.11/dist-packages/a-1.dist-info/METADATA": metadata("a", "1"),
        "/usr/lib/python3/dist-packages/a-2.dist-info/METADATA": metadata("a", "2"),
        "/usr/lib/python3/dist-packages/b-2.dist-info/METADATA": metadata("b", "2"),
    }
    found, warnings = read(files, "/usr/local/lib/python3.11/dist-packages", "/usr/lib/python3/dist-packages", "/none")
    assert {name: str(dist.version) for name, dist in found.items()} == {"a": "1", "b": "2"}
    assert warnings == []


@pytest.mark.parametrize(
    "text",
    [
        "", "Name: a\n", "Version: 1\n", "Name: a\nVersion: unknown\n", "Name:\nVersion: 1\n",
        "Name: a\n --index-url=x\nVersion: 1\n", "Name: a @ https://example.com\nVersion: 1\n",
        f"Name: a\nVersion: {'9' * 5000}\n", "Name: ray\nVersion: 1\n",
    ],
)  # fmt: skip
def test_broken_metadata_is_ignored_with_a_warning(text: str) -> None:
    found, warnings = read({f"{SITE}/a-1.dist-info/METADATA": text})
    assert found == {}
    assert warnings == [f"{SITE}/a-1.dist-info of the base is ignored: it has no valid name and version"]


def test_what_pip_left_behind_is_ignored() -> None:
    assert read({f"{SITE}/~-1.dist-info/METADATA": metadata("numpy", "1")}) == ({}, [])


def test_other_site_directories_are_not_looked_at() -> None:
    assert read({"/other/site-packages/a-1.dist-info/METADATA": metadata("a", "1")}) == ({}, [])


def test_an_environment_that_is_made_of_links() -> None:
    links = {
        f"{SITE}/a-1.dist-info": "->/store/a/a-1.dist-info",
        f"{SITE}/b-1.dist-info/METADATA": "->/store/b.dist-info/METADATA",
    }
    texts = {"/store/a/a-1.dist-info/METADATA": metadata("a", "1"), "/store/b.dist-info/METADATA": metadata("b", "1")}
    found, warnings = read({**texts, **links})
    assert (found.keys(), warnings) == ({"a", "b"}, [])
    assert found["a"].dist_info == f"{SITE}/a-1.dist-info"


def test_files_are_where_links_lead() -> None:
    """A whiteout below ``lib64`` would make a directory of the link."""
    record = "../../../lib64/liba.so,,\na/x.py,,\n../../../loop/a/x,,\n"
    links = {"/p/lib64": "->lib", f"{SITE}/a": "->../b", "/p/loop": "->loop"}
    found, _ = read(
        {f"{SITE}/a-1.dist-info/METADATA": metadata("a", "1"), f"{SITE}/a-1.dist-info/RECORD": record, **links}
    )
    paths = [file.path for file in found["a"].files]
    assert paths == ["/p/lib/liba.so", "/p/lib/python3.11/b/x.py", "/p/loop/a/x"]


def test_a_record_that_is_no_csv() -> None:
    record = "a.py,,\nb.py," + "x" * 200_000 + "\n"
    found, _ = read({f"{SITE}/a-1.dist-info/METADATA": metadata("a", "1"), f"{SITE}/a-1.dist-info/RECORD": record})
    assert [file.path for file in found["a"].files] == [f"{SITE}/a.py"]
