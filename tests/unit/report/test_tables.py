from __future__ import annotations

import pytest

from rayimage.image.plan import LayerKind, LayerSpec
from rayimage.model.content import Outcome
from rayimage.model.platform import Platform
from rayimage.report.tables import print_table, show_built, show_plans, summary
from tests.support.values import digest
from tests.unit.report.samples import built, console, layer, plan, spec

ARM64 = Platform("linux", "arm64")
BASE = layer("base layer", 5_000_000, LayerKind.BASE, cached=True)
NUMPY, TORCH = layer("numpy 2.0", cached=True), layer("torch 2.9", 900_000_000)


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


class TestTable:
    def test_no_blanks_at_the_end_and_no_markup(self) -> None:
        out, text = console()
        print_table(out, {"a": "left", "b": "right"}, [("[bold]x", "1"), ("", "22")])
        assert text.getvalue() == "a         b\n[bold]x   1\n         22\n"

    @pytest.mark.parametrize("width", [30, 40, 100])
    def test_the_content_gives_way_and_nothing_is_lost(self, width: int) -> None:
        out, text = console(width)
        words = "several words of content"
        print_table(out, {"kind": "left", "content": "wrap", "size": "right"}, [("wheels", words, "12.3 MB")])
        assert all(len(line) <= width for line in text.getvalue().splitlines())
        assert "wheels" in text.getvalue()
        assert "12.3 MB" in text.getvalue()
        assert all(word in text.getvalue() for word in words.split())


class TestPlans:
    def test_shared_layers_are_one_row_in_the_order_of_layers(self) -> None:
        out, text = console()
        code = spec("code in /app", LayerKind.CODE)
        plans = [plan("head", spec("numpy 2.0"), code), plan("worker", spec("torch 2.9"), spec("numpy 2.0"), code)]
        show_plans(out, plans, {digest("numpy 2.0"): 1000})
        found = rows(text.getvalue())
        assert found[0] == [f"head linux/amd64 on ray:x ({digest('base').short})"]
        assert found[3:] == [
            ["wheels", "numpy 2.0", "1.0 kB", "head, worker", "cached"],
            ["wheels", "torch 2.9", "worker", "to build"],
            ["code", "code in /app", "head, worker", "to build"],
            ["2 of 3 layers to build"],
        ]

    def test_nothing_to_build(self) -> None:
        out, text = console()
        show_plans(out, [plan("head", spec("numpy 2.0"))], {digest("numpy 2.0"): 1000})
        assert text.getvalue().endswith("every layer is built already\n")

    def test_project_wheels_have_no_key_and_are_not_mixed_up(self) -> None:
        out, text = console()
        keyless = LayerSpec(kind=LayerKind.CODE, title="the project's wheel", key=None)
        show_plans(out, [plan("head", keyless), plan("worker", keyless)], {})
        assert text.getvalue().count("\ncode") == 2

    def test_platforms_are_named_when_there_are_several(self) -> None:
        out, text = console()
        show_plans(out, [plan("head", spec("a 1")), plan("head", spec("a 1"), platform=ARM64)], {})
        assert "head linux/amd64, head linux/arm64" in text.getvalue()

    def test_many_images(self) -> None:
        out, text = console()
        plans = [plan(f"role{n}", spec("a 1"), *([spec("b 1")] if n else [])) for n in range(5)]
        show_plans(out, plans, {})
        assert "  all  " in text.getvalue()
        assert "  role1 and 3 more  " in text.getvalue()

    def test_a_narrow_terminal_keeps_what_matters(self) -> None:
        out, text = console(50)
        show_plans(out, [plan("head", spec("a 1, b 2, c 3, d 4, e 5, f 6"))], {})
        assert "a 1, b 2, c 3 and 3 more" in text.getvalue()
        assert "to build" in text.getvalue()
        assert "wheels" not in text.getvalue()


class TestBuilt:
    def show(self, outcomes: dict[str, Outcome], *, unchanged: bool = False, width: int = 140) -> str:
        out, text = console(width)
        images = [built("head", BASE, NUMPY), built("worker", BASE, NUMPY, TORCH)]
        found = {digest(title): outcome for title, outcome in outcomes.items()}
        show_built(out, images, found, sent="uploaded", unchanged=unchanged)
        return text.getvalue()

    def test_only_what_is_new(self) -> None:
        text = self.show({"base layer": Outcome.EXISTS, "numpy 2.0": Outcome.EXISTS, "torch 2.9": Outcome.UPLOADED})
        assert rows(text)[1:] == [
            ["wheels", "torch 2.9", "900 MB", "worker", "uploaded"],
            ["and 2 layers unchanged, 5.0 MB"],
        ]

    def test_nothing_is_new(self) -> None:
        assert self.show(dict.fromkeys(("base layer", "numpy 2.0", "torch 2.9"), Outcome.EXISTS)) == ""

    def test_all_of_it(self) -> None:
        text = self.show(dict.fromkeys(("base layer", "numpy 2.0", "torch 2.9"), Outcome.EXISTS), unchanged=True)
        assert [row[1] for row in rows(text)[1:]] == ["1 layer of ray:x", "numpy 2.0", "torch 2.9"]
        assert text.count("already there") == 3

    def test_mounted_is_worth_a_row(self) -> None:
        text = self.show({"base layer": Outcome.MOUNTED, "numpy 2.0": Outcome.EXISTS, "torch 2.9": Outcome.EXISTS})
        assert rows(text)[1] == ["base", "1 layer of ray:x", "5.0 MB", "head, worker", "mounted"]

    def test_without_a_store_what_was_made(self) -> None:
        assert rows(self.show({}))[1] == ["wheels", "torch 2.9", "900 MB", "worker", "built"]


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ({}, "loaded in 1.5 s"),
        ({"torch 2.9": Outcome.UPLOADED}, "900 MB loaded, 5.0 MB there already, in 1.5 s"),
        ({"torch 2.9": Outcome.EXISTS}, "everything is there already, in 1.5 s"),
        (
            dict.fromkeys(("base layer", "torch 2.9", "config worker linux/amd64"), Outcome.UPLOADED),
            "905 MB loaded, in 1.5 s",
        ),
    ],
)
def test_summary(outcomes: dict[str, Outcome], said: str) -> None:
    image = built("worker", BASE, TORCH)
    found = {digest(title): outcome for title, outcome in outcomes.items()}
    assert (
        summary([image], found, sent="loaded", times={"plan": 0.04, "push": 1.46})
        == f"worker 905 MB: {said} (push 1.5)"
    )
