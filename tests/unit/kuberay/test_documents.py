from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.errors import KubeRayError
from rayimage.kuberay.documents import parse, ray_documents

FILE = Path("deploy/c.yaml")


def titles(text: str) -> list[str]:
    return [document.title for document in ray_documents(parse(text.encode(), FILE))]


@pytest.mark.parametrize("version", ["ray.io/v1", "ray.io/v1alpha1", "ray.io/v2"])
def test_any_version_of_the_api(version: str) -> None:
    assert titles(f"apiVersion: {version}\nkind: RayCluster\nmetadata: {{name: a}}\n") == ["RayCluster/a"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "---\n---\n",
        "- a\n- b\n",
        "plain text\n",
        "kind: RayCluster\nmetadata: {name: a}\n",
        "apiVersion: cluster.ray.io/v1\nkind: RayCluster\n",
        "apiVersion: {{ .v }}\nkind: RayCluster\n",
        "apiVersion: ray.io/v1\nmetadata: {name: a}\n",
        "apiVersion: v1\napiVersion: v1\nkind: Pod\n",
        "? {{ .key }}\n: value\n",
    ],
)
def test_what_is_no_ray_document(text: str) -> None:
    assert titles(text) == []


def test_names_in_several_documents() -> None:
    text = """\
apiVersion: ray.io/v1
kind: RayJob
metadata: {generateName: nightly-}
---
kind: RayCluster
apiVersion: ray.io/v1
metadata: {{ .Meta }}
...
---
{"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "json"}}
"""
    assert titles(text) == ["RayJob/nightly-*", "RayCluster/(unnamed)", "RayService/json"]


@pytest.mark.parametrize("header", ["apiVersion: v1\nkind: List\n", "apiVersion: ray.io/v1\nkind: RayClusterList\n"])
def test_items_of_a_list(header: str) -> None:
    text = f"{header}items:\n- {{apiVersion: v1, kind: Pod}}\n- apiVersion: ray.io/v1\n  kind: RayCluster\n- text\n"
    documents = ray_documents(parse(text.encode(), FILE))
    assert [(document.title, document.place.path) for document in documents] == [("RayCluster/(unnamed)", "items[1]")]


def test_a_list_inside_itself_ends() -> None:
    assert titles("&a\nkind: List\nitems: [*a]\n") == []


@pytest.mark.parametrize("key", ["apiVersion", "kind", "metadata"])
def test_repeated_key_that_says_what_it_is(key: str) -> None:
    value = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": "{}"}[key]
    with pytest.raises(KubeRayError, match=rf"c\.yaml:4: cannot edit {key}: the key appears twice"):
        titles(f"apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {{}}\n{key}: {value}\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [\n", 3),
        ("a: 1\nb: }\n", 2),
        ("a: b\n c: d\n", 2),
        ("a: *nowhere\n", 1),
        ("a: 1\nb: \x01\n", 2),
        ("a:\n\t- b\n", 2),
        ("a: " + "[" * 300, 1),
    ],
)
def test_not_yaml_names_file_and_line(text: str, line: int) -> None:
    with pytest.raises(KubeRayError) as caught:
        parse(text.encode(), FILE)
    assert caught.value.what == f"deploy/c.yaml:{line}: not YAML"
    assert caught.value.why
    assert caught.value.fix == "correct the YAML"


@pytest.mark.parametrize("text", ["%YAML 1.3\n---\na: b\n", "%YAML x\n---\na: b\n"])
def test_what_the_parser_itself_stumbles_over(text: str) -> None:
    with pytest.raises(KubeRayError, match="not YAML"):
        parse(text.encode(), FILE)


@pytest.mark.parametrize(
    "text",
    ["a: 1\n{{- if .x }}\nb: 2\n{{- end }}\n", "a: {{ .x }}:{{ .y }}\n", "a: 1\n{% if x %}\nb: 1\n{% endif %}\n"],
)
def test_a_template_must_be_rendered_first(text: str) -> None:
    with pytest.raises(KubeRayError, match="template expressions") as caught:
        parse(text.encode(), FILE)
    assert "render the template" in caught.value.fix
    assert "values file" in caught.value.fix


@pytest.mark.parametrize("data", [b"a: 1\nb: \xff\n", "a: 1\nb: é\n".encode("latin-1")])
def test_not_utf8(data: bytes) -> None:
    with pytest.raises(KubeRayError, match=r"deploy/c\.yaml:2: not UTF-8 text"):
        parse(data, FILE)


def test_utf16_is_named_as_such() -> None:
    with pytest.raises(KubeRayError, match="not UTF-8 text"):
        parse("a: 1\n".encode("utf-16"), FILE)


def test_positions_count_characters_after_the_byte_order_mark() -> None:
    source = parse("\ufeffé: 🙂\r\nimage: 'x'\r\n".encode(), FILE)
    (_, image) = source.roots[0].value[1]
    assert source.text[image.start_mark.index : image.end_mark.index] == "'x'"
    assert source.encode(source.text) == "\ufeffé: 🙂\r\nimage: 'x'\r\n".encode()


def test_tabs_between_tokens_are_allowed_and_kept() -> None:
    source = parse(b"a:\t1\t# c\nb: \t'x'\n", FILE)
    assert source.text == "a:\t1\t# c\nb: \t'x'\n"
    (_, value) = source.roots[0].value[1]
    assert source.text[value.start_mark.index : value.end_mark.index] == "'x'"


def test_an_anchor_may_be_defined_again() -> None:
    assert len(parse(b"a: &x 1\nb: &x 2\nc: *x\n", FILE).roots) == 1
