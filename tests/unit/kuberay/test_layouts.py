"""Whatever the layout of a file, only the intended characters change, and a second emission changes none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rayimage.kuberay import Images, diff, emit_bytes

FILE = Path("c.yaml")
RELEASE = Images(
    {"head": "registry:5000/x/head:2@sha256:" + "a" * 64, "worker": "x/worker:2"}, {"gpu": "worker"}, ray_version="2.10"
)
# What a writer may put into a file: "\0" marks the start and "\1" the end of a scalar of ours.
HEAD, WORKER, VERSION = "\0head\1", "\0worker\1", "\0version\1"


@dataclass(frozen=True)
class Style:
    """How one imagined author writes YAML."""

    indent: int
    dash: int
    flow: bool
    quote: str
    anchor: str
    gap: str
    comment: str
    newline: str
    bom: str
    end: str
    text: str

    def scalar(self, mark: str) -> str:
        """A scalar of ours, with whatever stands before it and its closing quote."""
        prefix = f"{self.anchor}{mark[1:-1]} " if self.anchor == "&" else self.anchor
        quote = self.quote or ('"' if mark == VERSION else "")
        return f"{prefix}{quote}{mark}{quote}"


STYLES = st.builds(
    Style,
    indent=st.integers(1, 6),
    dash=st.integers(0, 4),
    flow=st.booleans(),
    quote=st.sampled_from(["", "'", '"']),
    anchor=st.sampled_from(["", "&", "!!str "]),
    gap=st.sampled_from([" ", "   ", "\t", " \t "]),
    comment=st.sampled_from(["", " # image: a/b:1", "\t# é 🙂", ' # {"$imagepolicy": "a:b"}', "   "]),
    newline=st.sampled_from(["\n", "\r\n"]),
    bom=st.sampled_from(["", "\ufeff"]),
    end=st.sampled_from(["", "\n", "\n\n# the end", "\n---\nkind: Service\nimage: a/b:1\n", "\n...\n"]),
    text=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x1F600, exclude_categories=["C", "Z"]), max_size=8),
)


def pod(style: Style, image: str, depth: int) -> list[str]:
    """The lines of a pod template with Ray first and a sidecar after it."""
    if style.flow:
        containers = f"[{{name: ray, image: {style.scalar(image)}}}, {{image: a/b:1}}]"
        return [f"{' ' * depth}template:{style.gap}{{spec: {{containers: {containers}}}}}{style.comment}"]
    inner = depth + 2 * style.indent
    dash = " " * (inner + style.dash) + "-" + " " * style.indent
    body = " " * len(dash)
    return [
        f"{' ' * depth}template:",
        f"{' ' * (depth + style.indent)}spec:{style.comment}",
        f"{' ' * inner}containers:",
        f"{dash}name: ray",
        f"{body}image:{style.gap}{style.scalar(image)}{style.comment}",
        f"{body}command: ['image: a/b:1']",
        f"{dash}image: a/b:1",
    ]


def document(style: Style) -> str:
    """A RayCluster in the author's style, with marks where our scalars are."""
    step = " " * style.indent
    quoted = style.text.replace("'", "''")
    lines = [
        f"apiVersion:{style.gap}ray.io/v1",
        "kind: RayCluster",
        f"metadata: {{name: c, annotations: {{note: 'x{quoted}'}}}}",
        f"spec:{style.comment}",
        f"{step}rayVersion:{style.gap}{style.scalar(VERSION)}{style.comment}",
        f"{step}headGroupSpec:",
        *pod(style, HEAD, 2 * style.indent),
        f"{step}workerGroupSpecs:",
        f"{step}-   groupName: gpu",
        *pod(style, WORKER, style.indent + 4),
    ]
    return style.bom + style.newline.join(lines) + style.end.replace("\n", style.newline)


def filled(text: str, head: str, worker: str, version: str) -> bytes:
    return text.replace(HEAD, head).replace(WORKER, worker).replace(VERSION, version).encode()


@given(
    style=STYLES, old=st.sampled_from(["a/b:1", "rayproject/ray:2.9.0-py311", "registry:5000/x/head:1", "a/b@sha256:0"])
)
def test_only_the_intended_characters_change(style: Style, old: str) -> None:
    marked = document(style)
    emission = emit_bytes(filled(marked, old, old, "2.9.0"), RELEASE, file=FILE)
    assert emission.after == filled(marked, RELEASE.by_role["head"], RELEASE.by_role["worker"], "2.10")
    assert [change.new for change in emission.changes] == ["2.10", *RELEASE.by_role.values()]
    again = emit_bytes(emission.after, RELEASE, file=FILE)
    assert again.after == emission.after
    assert again.changes == ()
    assert diff(again) == ""
    assert diff(emission).count("\n+") >= len({change.line for change in emission.changes})
