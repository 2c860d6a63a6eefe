"""The widgets in a real JupyterLab: a reader moves the flower, takes it back, goes on after a reload, and votes."""

from __future__ import annotations

import importlib.util
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image

from lib.labelmaps import read_label_map
from lib.widgets.project import Project
from tests.widgets.lab import CHROMIUM, PATIENCE, ROOT, browser, open_notebook, run_cell, server

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="pip install playwright drives Chromium"),
]
CELLS = (
    "from lib.widgets.studio import Studio\nstudio = Studio('flower')\nstudio",
    "studio.wait(60)\nprint(studio.editor.state.checksum, *studio.editor.state.depth, len(studio.board.versions))",
    "import time\nfrom pathlib import Path\nwhile not Path('enough').exists(): time.sleep(0.05)",
)

STUDIES = (
    """
import torch
from pathlib import Path
from lib.widgets.mos import RatingSession
from lib.widgets.mos_view import rating_view
from lib.widgets.ranking import RankingSession
from lib.widgets.ranking_view import ranking_view
def paint(image, method="left"): return torch.full((3, 24, 32), 0.1 * len(image + method) - 1)
def again(kind, file, *about):
    return kind.load(file) if Path(file).exists() else kind(*about, seed=1, rater="Ann Bo")""",
    "rating = again(RatingSession, 'rating.json', ['cat', 'brick'], ['nearest', 'SRGAN'])\n"
    "rating_view(rating, paint, save=Path('rating.json'))",
    "ranking = again(RankingSession, 'ranking.json', ['cat', 'brick'], ['SinGAN', 'SPADE', 'ours'])\n"
    "ranking_view(ranking, paint, paint, save=Path('ranking.json'))",
    "import json; print(json.dumps([[score for _, score in rating.ratings], [who for _, who in ranking.rankings]]))",
    "from lib.widgets.sliders import Range, SliderBoard\n"
    "ranges = {'light': Range(-1, 1, 0, 0.1), 'hair': Range.of('grey', 'blond')}\n"
    "board = SliderBoard(lambda at: torch.full((3, 8, 8), at['light'] / 2), ranges)\nboard",
    "board.wait(); print(json.dumps([board.values, board.picture.mean().item()]))",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder, home = tmp_path_factory.mktemp("book"), tmp_path_factory.mktemp("home")
    for name, cells in (("story", CELLS), ("studies", STUDIES)):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, folder / f"{name}.ipynb")
    with server(folder, home) as address, browser(home) as there:
        open_notebook(there, address, "story.ipynb")
        run_cell(there, 0)
        there.wait_for_selector(".layout-editor .le-over")
        there.folder, there.address = folder, address
        painted(there)
        yield there


def painted(page: Any) -> None:
    page.wait_for_function("() => /^painted in/.test(document.querySelector('.pb-said')?.innerText ?? '')")
    page.wait_for_function("() => !document.querySelector('.pb-busy')")


def state(page: Any) -> tuple[int, int, int, int]:
    """Checksum of the map, steps back, steps forward, versions: as the kernel sees them."""
    crc, back, forth, versions = map(int, run_cell(page, 1).split())
    return crc, back, forth, versions


def until(page: Any, fits: Callable[[tuple[int, int, int, int]], bool]) -> tuple[int, int, int, int]:
    """The state as soon as it fits: a file takes its time to be read."""
    end = time.monotonic() + PATIENCE
    while not fits(now := state(page)):
        assert time.monotonic() < end, now
        page.wait_for_timeout(200)
    return now


def on_screen(page: Any, *places: tuple[float, float]) -> list[tuple[float, float]]:
    """Where pixels of the map are on the screen."""
    canvas = page.locator(".le-over")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    return [(box["x"] + x * box["width"] / 256, box["y"] + y * box["height"] / 160) for x, y in places]


def drag(page: Any, *places: tuple[float, float]) -> None:
    """Press at the first place, given in pixels of the map, and let go at the last."""
    there = on_screen(page, *places)
    page.mouse.move(*there[0])
    page.mouse.down()
    for place in there[1:]:
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
    page.wait_for_function("() => /\\| Busy/.test(document.body.innerText)")
    drag(page, (10, 20), (60, 30))
    drag(page, (10, 60), (60, 70))
    page.locator("[data-act=undo]").click()
    assert "undo done" in page.locator(".le-status").inner_text()  # at once, although Python is asleep
    (page.folder / "enough").touch()
    after = state(page)  # runs when the other cell is done
    assert after[0] != before[0] and after[1:3] == (before[1] + 1, 1)
    page.locator("[data-act=undo]").click()
    assert state(page)[0] == before[0]


def touch(page: Any, kind: str, *places: tuple[float, float]) -> None:
    """Fingers on pixels of the map: "Start" and "Move" say where all of them are, "End" and "Cancel" take them away."""
    points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(on_screen(page, *places))]
    page.devtools.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})


def test_a_finger_paints_two_move_the_paper_and_a_palm_leaves_nothing(page: Any) -> None:
    page.devtools = page.context.new_cdp_session(page)
    before, canvas = state(page), page.locator(".le-over")
    page.locator("[data-tool=brush]").click()
    page.locator("[data-cls='5']").click()
    touch(page, "Start", (20, 30))
    touch(page, "Move", (60, 60))
    touch(page, "Cancel")  # the system took the finger for a palm
    touch(page, "Start", (20, 30))
    touch(page, "Start", (20, 30), (120, 30))
    wide = canvas.bounding_box()["width"]
    touch(page, "Move", (20, 30), (180, 30))
    touch(page, "End")
    assert canvas.bounding_box()["width"] > 1.3 * wide and state(page) == before  # larger, and nothing painted
    touch(page, "Start", (20, 30))
    touch(page, "Move", (60, 60))
    touch(page, "End")
    assert state(page)[0] != before[0] and state(page)[1] == before[1] + 1
    page.locator("[data-act=undo]").click()
    for kind, (x, y) in zip(
        ("Pressed", "Moved", "Released"), on_screen(page, (20, 30), (60, 60), (60, 60)), strict=True
    ):
        pen = {"type": f"mouse{kind}", "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        page.devtools.send("Input.dispatchMouseEvent", pen | {"pointerType": "pen", "force": 0.5})
    assert state(page)[0] != before[0]
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
    until(page, lambda now: now[:3] == (crc, 0, 0))


def barriers(page: Any, *widgets: str) -> list[Any]:
    """What axe-core finds in the widgets."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("pip install axe-playwright-python brings axe-core")
    page.add_script_tag(path=Path(next(iter(spec.submodule_search_locations))) / "axe.min.js")
    script = "async (s) => (await axe.run(s)).violations.map((v) => [v.id, v.nodes[0].html])"
    return [one for widget in widgets for one in page.evaluate(script, widget)]


def test_nobody_is_left_out(page: Any) -> None:
    page.locator("[data-tool=select]").click()
    page.locator(".le-over").focus()
    page.keyboard.press("Space")
    assert not barriers(page, ".layout-editor", ".picture-board")


def stored(page: Any) -> list[dict[str, Any]]:
    """What the saved notebook holds of the studio's cell."""
    outputs: list[dict[str, Any]] = json.loads((page.folder / "story.ipynb").read_text())["cells"][0]["outputs"]
    return outputs


def test_everything_is_there_after_a_reload(page: Any) -> None:
    page.locator(".le-over").focus()
    page.keyboard.press("Control+s")
    until(page, lambda _: bool(stored(page)))
    saved = stored(page)[0]["data"]
    assert 10_000 < len(saved["image/jpeg"]) < 100_000 and re.match(r"Studio\(flower", "".join(saved["text/plain"]))
    crc = state(page)[0]
    page.reload()
    page.wait_for_selector(".layout-editor .le-over")
    assert state(page)[0] == crc
    page.locator("[data-tool=fill]").click()
    page.locator("[data-cls='5']").click()
    drag(page, (3, 3))  # what the hand does is still heard
    assert state(page)[0] != crc


@pytest.fixture(scope="module")
def study(page: Any) -> Iterator[Any]:
    """A notebook with a rating and a ranking, beside the studio's."""
    own = page.context.new_page()
    open_notebook(own, page.address, "studies.ipynb")
    for number in range(3):
        run_cell(own, number)
    own.rating, own.ranking = (own.locator(".question-board").nth(number) for number in (0, 1))
    yield own
    own.close()


def says(board: Any, text: str) -> None:
    board.locator(".qb-line", has_text=text).wait_for()


def test_raters_vote_with_mouse_and_keys(study: Any) -> None:
    study.rating.get_by_role("button", name="4 good").click()
    says(study.rating, "2 of 4")
    for key, text in (("2", "3 of 4"), ("Backspace", "2 of 4"), ("Enter", "1 of 4"), ("5", "2 of 4")):
        study.keyboard.press(key)  # Enter presses the button in focus, which is "back"
        says(study.rating, text)
    study.ranking.locator("img").click()
    for key, text in (("b", "So far: B"), ("a", "2 of 2"), ("c", "So far: C"), ("d", "So far: C"), ("d", "So far: C")):
        study.keyboard.press(key)
        says(study.ranking, text)
    assert study.locator(".jp-Notebook .jp-Cell").count() == len(STUDIES)  # no key has reached the notebook
    assert not barriers(study, ".question-board")
    assert [len(given) for given in json.loads(run_cell(study, 3))] == [1, 1]


def test_sliders_move_with_keys_and_repaint(study: Any) -> None:
    run_cell(study, 4)
    light, hair = study.get_by_label("light"), study.get_by_label("hair")
    light.focus()
    for key in ("ArrowRight", "ArrowRight", "d", "d"):
        study.keyboard.press(key)
    hair.press("ArrowRight")
    assert hair.get_attribute("aria-valuetext") == "blond" and not barriers(study, ".slider-board")
    values, mean = json.loads(run_cell(study, 5))
    assert values == {"light": 0.2, "hair": 1} and round(mean, 4) == 0.1
    study.get_by_role("button", name="reset").click()
    assert json.loads(run_cell(study, 5))[0] == {"light": 0, "hair": 0}
    assert study.locator(".jp-Notebook .jp-Cell").count() == len(STUDIES)


def test_raters_go_on_another_day_and_save_their_answers(study: Any, tmp_path: Path) -> None:
    for number in (1, 2):
        run_cell(study, number)  # the answers are read from the files
    says(study.rating, "2 of 4")
    assert not study.get_by_role("link", name="Save the answers").count()  # it would tell who painted what
    for text in ("3 of 4", "4 of 4", "SRGAN"):
        study.rating.get_by_role("button", name="1 bad").click()
        says(study.rating, text)
    says(study.ranking, "2 of 2")
    for letter in "AC":
        study.ranking.get_by_role("button", name=letter, exact=True).click()
    says(study.ranking, "Done")
    scores, orders = json.loads(run_cell(study, 3))
    assert scores == [5, 1, 1, 1] and len(orders) == 2
    for board, kind, rows in ((study.rating, "rating", 4), (study.ranking, "ranking", 6)):
        with study.expect_download() as found:
            board.get_by_role("link", name="Save the answers as CSV").click()
        found.value.save_as(tmp_path / kind)
        assert found.value.suggested_filename == f"{kind}_session_Ann_Bo.csv"
        assert len((tmp_path / kind).read_text().splitlines()) == rows + 1
