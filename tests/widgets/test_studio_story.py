"""The studio in a real JupyterLab: a reader moves the flower, takes it back, and goes on after a reload."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image

from lib.labelmaps import read_label_map
from lib.widgets.project import Project
from tests.widgets.lab import CHROMIUM, ROOT, browser, open_notebook, run_cell, server

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="pip install playwright drives Chromium"),
]
CELLS = (
    "from lib.widgets.studio import Studio\nstudio = Studio('flower')\nstudio",
    "studio.wait(60)\nprint(studio.editor.state.checksum, *studio.editor.state.depth, len(studio.board.versions))",
    "import time; time.sleep(4)",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder, home = tmp_path_factory.mktemp("book"), tmp_path_factory.mktemp("home")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "story.ipynb")
    with server(folder, home) as address, browser(home) as there:
        open_notebook(there, address, "story.ipynb")
        run_cell(there, 0)
        there.wait_for_selector(".layout-editor .le-over")
        there.folder = folder
        painted(there)
        yield there


def painted(page: Any) -> None:
    page.wait_for_function("() => /^painted in/.test(document.querySelector('.pb-said')?.innerText ?? '')")
    page.wait_for_function("() => !document.querySelector('.pb-busy')")


def state(page: Any) -> tuple[int, int, int, int]:
    """Checksum of the map, steps back, steps forward, versions: as the kernel sees them."""
    crc, back, forth, versions = map(int, run_cell(page, 1).split())
    return crc, back, forth, versions


def drag(page: Any, *places: tuple[float, float]) -> None:
    """Press at the first place, given in pixels of the map, and let go at the last."""
    canvas = page.locator(".le-over")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    on_screen = [(box["x"] + x * box["width"] / 256, box["y"] + y * box["height"] / 160) for x, y in places]
    page.mouse.move(*on_screen[0])
    page.mouse.down()
    for place in on_screen[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def test_the_flower_moves_to_the_left_and_comes_back(page: Any) -> None:
    start = state(page)
    page.locator("[data-tool=select]").click()
    drag(page, (88, 70), (48, 72))  # on the outer petals; what they enclose goes along
    moved = state(page)
    assert moved[0] != start[0] and moved[1] == 1 and moved[3] == start[3] + 1  # one step, one new picture
    drag(page, (48, 72), (60, 72))  # the same flower again: the step is amended
    assert state(page)[1] == 1
    page.locator("[data-act=undo]").click()
    assert state(page)[0] == start[0] and state(page)[2] == 1


def test_keys_do_all_of_it_and_reach_no_cell(page: Any) -> None:
    before, cells = state(page), page.locator(".jp-Notebook .jp-Cell").count()
    canvas = page.locator(".le-over")
    canvas.focus()
    for key in ("Escape", "b", "6", "Shift+ArrowUp", "]", "Space", "d", "d", "x"):
        page.keyboard.press(key)
    after = state(page)
    assert after[0] != before[0] and page.locator(".jp-Notebook .jp-Cell").count() == cells
    canvas.focus()
    page.keyboard.press("Control+z")
    assert state(page)[0] == before[0]


def test_painting_goes_on_while_a_cell_runs(page: Any) -> None:
    before = state(page)
    page.locator("[data-tool=brush]").click()
    page.locator("[data-cls='5']").click()
    page.locator(".jp-Notebook .jp-Cell").nth(2).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(500)
    drag(page, (10, 20), (60, 30))
    drag(page, (10, 60), (60, 70))
    page.locator("[data-act=undo]").click()
    assert "undo done" in page.locator(".le-status").inner_text()  # at once, although Python is asleep
    after = state(page)  # runs when the other cell is done
    assert after[0] != before[0] and after[1:3] == (before[1] + 1, 1)
    page.locator("[data-act=undo]").click()
    assert state(page)[0] == before[0]


def test_files_go_out_and_come_in(page: Any, tmp_path: Path) -> None:
    page.locator(".layout-editor input[type=file]").set_input_files(ROOT / "assets/layouts/flower/trio.png")
    page.wait_for_function("() => /loaded trio/.test(document.querySelector('.le-status').innerText)")
    crc = state(page)[0]
    for button, name in (("Export PNG", "layout.png"), ("Save picture", "flower.png"), ("Save project", "flower.zip")):
        with page.expect_download() as found:
            page.get_by_role("button", name=button).click()
        found.value.save_as(tmp_path / name)
    trio = read_label_map(ROOT / "assets/layouts/flower/trio.png").resized(160, 256)
    assert np.array_equal(read_label_map(tmp_path / "layout.png").index, trio.index)
    assert Image.open(tmp_path / "flower.png").size == (256, 160)
    assert np.array_equal(Project.load(tmp_path / "flower.zip").layout.index, trio.index)
    page.locator("[data-act=reset]").click()
    assert state(page)[0] != crc
    page.locator(".picture-board input[type=file]").set_input_files(tmp_path / "flower.zip")
    page.wait_for_timeout(500)
    assert state(page)[:3] == (crc, 0, 0)


def test_nobody_is_left_out(page: Any) -> None:
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("pip install axe-playwright-python brings axe-core")
    page.add_script_tag(path=Path(next(iter(spec.submodule_search_locations))) / "axe.min.js")
    page.locator("[data-tool=select]").click()
    page.locator(".le-over").focus()
    page.keyboard.press("Space")
    for widget in (".layout-editor", ".picture-board"):
        found = page.evaluate("async (s) => (await axe.run(s)).violations.map((v) => [v.id, v.nodes[0].html])", widget)
        assert not found


def test_everything_is_there_after_a_reload(page: Any) -> None:
    page.locator(".le-over").focus()
    page.keyboard.press("Control+s")
    page.wait_for_timeout(2000)
    saved = json.loads((page.folder / "story.ipynb").read_text())["cells"][0]["outputs"][0]["data"]
    assert len(saved["image/png"]) > 10_000 and re.match(r"Studio\(flower", "".join(saved["text/plain"]))
    crc = state(page)[0]
    page.reload()
    page.wait_for_selector(".layout-editor .le-over", timeout=60_000)
    assert state(page)[0] == crc
    page.locator("[data-tool=fill]").click()
    page.locator("[data-cls='5']").click()
    drag(page, (3, 3))  # what the hand does is still heard
    assert state(page)[0] != crc
