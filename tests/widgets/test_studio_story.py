"""The layout studio in a real JupyterLab: a reader opens chapter 13, moves the flower, and tries everything else."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib.labelmaps import read_label_map
from lib.widgets.project import Project
from tests.widgets.hand import CHAPTER, SHORT, Hand, barriers
from tests.widgets.lab import CHROMIUM, ROOT, open_notebook, run_cell, start_cell

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="pip install playwright drives Chromium"),
]


@pytest.fixture(scope="module", autouse=True)
def flower(hand: Hand) -> None:
    """Whatever was done in the same window before."""
    hand.open_photo("flower")


def test_the_flower_moves_to_the_left_and_comes_back(hand: Hand) -> None:
    start, before = hand.state(), hand.at_rest()
    hand.tool("select")
    hand.drag((88, 70), (48, 72))  # on the outer petals; what they enclose goes along
    moved, after = hand.state(), hand.at_rest()
    assert moved[0] != start[0] and moved[1] == start[1] + 1 and moved[3] == start[3] + 1  # one step, one new picture
    left = np.s_[40:110, 40:60]  # leaves, where the flower is now
    assert np.abs(after - before)[left].mean() > 30
    hand.drag((48, 72), (60, 72))  # the same flower again: the step is amended
    assert hand.state()[1] == moved[1]
    hand.act("undo")
    assert hand.state()[0] == start[0] and hand.state()[2] == 1
    assert np.abs(hand.at_rest() - before).mean() < 3 < np.abs(after - before).mean()


def test_every_shape_paints_what_it_encloses(hand: Hand) -> None:
    names = hand.page.locator("[role=radio]").all_inner_texts()
    start = hand.state()

    def at(x: int, y: int) -> str:
        return names[hand.map()[y, x]]

    hand.tool("lasso", "bud")
    hand.drag((10, 10), (50, 12), (48, 40), (12, 38), (10, 12))
    assert hand.sees(lambda now: names[now[25, 30]] == "bud") and at(60, 25) != "bud"
    hand.tool("polygon", "heart")
    hand.tap((10, 60), (50, 60), (30, 95))
    hand.tap((10, 60))  # the first corner again closes it
    assert hand.sees(lambda now: names[now[70, 30]] == "heart") and at(12, 90) != "heart"
    hand.tool("rectangle", "bud")
    hand.drag((200, 100), (240, 140))
    assert hand.sees(lambda now: names[now[100, 200]] == names[now[140, 240]] == "bud") and at(199, 100) != "bud"
    hand.tool("ellipse", "heart")
    hand.drag((180, 20), (240, 60))
    assert hand.sees(lambda now: names[now[40, 210]] == "heart") and at(181, 21) != "heart"
    hand.tool("pick")
    hand.tap((220, 120))  # the rectangle
    assert hand.page.get_by_role("radio", name="bud", exact=True).get_attribute("aria-checked") == "true"
    hand.tool("fill")
    hand.tap((210, 40))  # the ellipse
    assert hand.sees(lambda now: names[now[40, 200]] == "bud")
    hand.tool("eraser")
    hand.drag((205, 40), (215, 40))
    assert hand.sees(lambda now: names[now[40, 210]] != "bud") and at(190, 40) == "bud"
    end = hand.state()
    assert end[0] == zlib.crc32(hand.map().tobytes()) != start[0] and end[1] == start[1] + 6
    hand.act("reset")
    assert hand.state()[0] == start[0]


def test_what_is_held_is_scaled_turned_mirrored_doubled_and_deleted(hand: Hand) -> None:
    page, start = hand.page, hand.state()
    hand.tool("polygon", "bud")
    hand.tap((180, 20), (220, 20), (180, 50))
    page.keyboard.press("Enter")
    bud = 5
    assert hand.sees(lambda now: now[22, 182] == bud)
    drawn = hand.map() == bud
    hand.tool("select")
    hand.tap((185, 25))
    scale, turn = page.get_by_label("scale %"), page.get_by_label("turn °")
    hand.drag((221, 51), (231, 58.5))  # the lower right corner of the box, from its centre half as far again
    assert 140 < float(scale.input_value()) < 160
    assert hand.sees(lambda now: (now == bud).sum() > 1.8 * drawn.sum())
    scale.fill("100")
    scale.press("Enter")
    zoom = page.locator(".le-over").bounding_box()["width"] / 256
    hand.drag((200.5, 20 - 14 / zoom), (230, 35.5))  # the round handle, to the right of the centre
    assert 80 < float(turn.input_value()) < 100
    turn.fill("0")
    turn.press("Enter")
    assert hand.sees(lambda now: np.array_equal(now == bud, drawn))
    page.get_by_role("button", name="Mirror left and right").click()
    page.get_by_role("button", name="Mirror top and bottom").click()
    mirrored = drawn[20:51, 180:221][::-1, ::-1]
    assert hand.sees(lambda now: np.array_equal((now == bud)[20:51, 180:221], mirrored))
    hand.act("duplicate")
    assert hand.says() == "duplicated" and hand.sees(lambda now: (now == bud).sum() > 1.2 * drawn.sum())
    hand.act("delete")
    assert hand.says() == "deleted"
    hand.tap((220, 50))
    hand.act("delete")
    hand.act("reset")
    assert hand.state()[0] == start[0]
    hand.tap((88, 70))
    hand.drag((88, 70), (420, 70))  # out of the map
    hand.act("delete")
    assert "Nothing of the selection" in hand.says()
    hand.act("reset")


def test_a_zoomed_paper_is_panned_by_mouse_and_keys_and_follows_the_cursor(hand: Hand) -> None:
    page = hand.page
    frame, canvas = page.locator(".le-frame"), page.locator(".le-over")

    def scroll() -> list[float]:
        left_top: list[float] = frame.evaluate("(node) => [node.scrollLeft, node.scrollTop]")
        return left_top

    page.get_by_label("photo beside").check()
    for _ in range(6):
        page.get_by_role("button", name="Zoom in").click()
    hand.tool("hand")
    hand.drag((60, 60), (20, 40))
    panned = scroll()
    assert panned[0] > 50 and panned[1] > 20
    assert page.locator(".le-second").evaluate("(node) => [node.scrollLeft, node.scrollTop]") == panned
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert scroll() < panned
    hand.tool("brush")
    canvas.focus()
    for _ in range(32):
        page.keyboard.press("Shift+ArrowRight")
    assert "255, " in hand.says()
    right, width = scroll()[0] + frame.evaluate("(node) => node.clientWidth"), canvas.bounding_box()["width"]
    assert right > width * 255.5 / 256  # the cursor is in sight
    for _ in range(6):
        page.get_by_role("button", name="Zoom out").click()
    page.get_by_label("photo beside").uncheck()


def test_keys_do_all_of_it_and_reach_no_cell(hand: Hand) -> None:
    page, before = hand.page, hand.state()
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    canvas = page.locator(".le-over")
    canvas.focus()
    for key in ("Escape", "b", "6", "Shift+ArrowUp", "]", "Space", "d", "d", "x"):
        page.keyboard.press(key)
    after = hand.state()
    assert after[0] != before[0] and page.locator(".jp-Notebook .jp-Cell").count() == cells
    canvas.focus()
    page.keyboard.press("Control+z")
    assert hand.state()[0] == before[0]
    canvas.focus()
    for key in ("v", "Space", *["Control+Shift+ArrowLeft"] * 12, "Shift+Space"):
        page.keyboard.press(key)
    assert len(hand.says().removeprefix("selected: ").split(", ")) == 2
    page.keyboard.press("Escape")


def test_painting_goes_on_while_a_cell_runs(hand: Hand) -> None:
    page, before = hand.page, hand.state()
    hand.tool("brush", "bud")
    assert "*" in start_cell(page, hand.check + 1).inner_text()
    hand.drag((10, 20), (60, 30))
    hand.drag((10, 60), (60, 70))
    hand.act("undo")
    assert "undo done" in hand.says()  # at once, although Python is asleep
    page.locator(".le-busy", has_text="Waiting for the busy kernel: 3 edits").wait_for()
    (page.folder / "enough").touch()
    after = hand.state()  # runs when the other cell is done
    assert after[0] != before[0] and after[1:3] == (before[1] + 1, 1)
    assert page.locator(".le-busy").inner_text() == ""
    hand.act("undo")
    assert hand.state()[0] == before[0]


def test_a_finger_paints_two_move_the_paper_and_a_palm_leaves_nothing(hand: Hand) -> None:
    page = hand.page
    page.devtools = page.context.new_cdp_session(page)
    before, canvas = hand.state(), page.locator(".le-over")
    hand.tool("brush", "bud")
    hand.touch("Start", (20, 30))
    hand.touch("Move", (60, 60))
    hand.touch("Cancel")  # the system took the finger for a palm
    hand.touch("Start", (20, 30))
    hand.touch("Start", (20, 30), (120, 30))
    wide = canvas.bounding_box()["width"]
    hand.touch("Move", (20, 30), (180, 30))
    hand.touch("End")
    assert canvas.bounding_box()["width"] > 1.3 * wide and hand.state() == before  # larger, and nothing painted
    hand.touch("Start", (20, 30))
    hand.touch("Move", (60, 60))
    hand.touch("End")
    assert hand.state()[0] != before[0] and hand.state()[1] == before[1] + 1
    hand.act("undo")
    for kind, (x, y) in zip(
        ("Pressed", "Moved", "Released"), hand.on_screen((20, 30), (60, 60), (60, 60)), strict=True
    ):
        pen = {"type": f"mouse{kind}", "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        page.devtools.send("Input.dispatchMouseEvent", pen | {"pointerType": "pen", "force": 0.5})
    assert hand.state()[0] != before[0]
    hand.act("undo")
    assert hand.state()[0] == before[0]


def test_a_new_class_gets_a_colour_of_its_own_and_a_word_about_the_model(hand: Hand) -> None:
    page, start = hand.page, hand.state()
    page.get_by_text("Edit the classes").click()
    page.get_by_label("name", exact=True).fill("boat")
    hand.act("add")
    page.get_by_role("radio", name="boat").wait_for()
    chips = page.locator("[role=radio] span").evaluate_all("(nodes) => nodes.map((n) => n.style.background)")
    assert len(set(chips)) == len(chips) == 7
    hand.tool("rectangle")
    hand.drag((10, 10), (40, 40))
    hand.painted("has not seen the class 'boat'")
    for name, taken in (("leaf", True), ("ship", False)):
        page.get_by_label("name", exact=True).fill(name)
        hand.act("rename")
        assert ("name and a colour of its own" in hand.says()) == taken
    page.get_by_text("Edit the classes").click()
    hand.act("reset")
    assert hand.state()[0] == start[0] and page.locator("[role=radio]").count() == 6


def test_the_slider_uncovers_the_photo_and_the_strip_goes_back(hand: Hand) -> None:
    page = hand.page
    slider, tags = page.locator(".pb-slide input"), [page.locator(".pb-left"), page.locator(".pb-right")]
    hand.act("reset")
    hand.painted()
    source = hand.state()[0]
    hand.tool("rectangle", "leaf")
    hand.drag((60, 20), (190, 130))
    assert hand.state()[0] != source
    for key, photo, painted in (("Home", False, True), ("ArrowRight", True, True), ("End", True, False)):
        slider.press(key)
        assert [tag.is_visible() for tag in tags] == [photo, painted]
        shown = page.locator(".pb-before").evaluate("(node) => node.style.clipPath")
        assert re.match(r"inset\(0(px)? (100|99|0)%", shown) and ("100%" in shown) != photo
    label = page.locator(".pb-slide").inner_text().split()
    assert label == ["painted", "photo"]  # the knob is at "photo" when the photo is shown
    slider.press("Home")
    versions = page.locator(".pb-strip button")
    versions.nth(versions.count() - 2).click()
    assert hand.until(lambda now: now[0] == source)[1] > 0


def test_menus_change_layout_and_photo_again_and_again(hand: Hand) -> None:
    page = hand.page
    photo, layout = page.get_by_label("Photo", exact=True), page.get_by_label("Layout", exact=True)
    hand.act("reset")
    source, found = hand.state()[0], []
    for _ in range(2):
        layout.select_option(label="two")
        found.append(hand.until(lambda now: now[0] != source)[0])
        hand.act("reset")
        hand.until(lambda now: now[0] == source)
    assert found[0] == found[1]
    for name, size in (("coffee", (192, 256)), ("rocket", (256, 240)), ("flower", (160, 256))):
        photo.select_option(label=name)
        canvas = "document.querySelector('canvas.le-map')"
        page.wait_for_function(f"(size) => {canvas}.height === size[0] && {canvas}.width === size[1]", arg=size)
        hand.painted()
        hand.tool("brush")
        page.locator("[data-cls='2']").click()
        hand.drag((20, 20), (100, 90))
        assert hand.state()[0] == zlib.crc32(hand.map().tobytes()) and hand.map().shape == size
        assert hand.at_rest().shape == (*size, 3)
        shown = page.locator(".le-map, .le-over, .le-paper .le-photo").evaluate_all(
            "(n) => n.map((one) => one.getBoundingClientRect().width)"
        )
        assert max(shown) - min(shown) < 1  # the photo lies under its map
    hand.act("undo")
    assert hand.state()[0] == source


def test_files_go_out_and_come_in(hand: Hand, tmp_path: Path) -> None:
    page = hand.page
    page.locator(".layout-editor input[type=file]").set_input_files(ROOT / "assets/layouts/flower/trio.png")
    page.wait_for_function("() => /loaded trio/.test(document.querySelector('.le-status').innerText)")
    crc = hand.state()[0]
    for button, name in (("Export PNG", "layout.png"), ("Save picture", "flower.png"), ("Save project", "flower.zip")):
        with page.expect_download() as found:
            page.get_by_role("button", name=button).click()
        found.value.save_as(tmp_path / name)
    trio = read_label_map(ROOT / "assets/layouts/flower/trio.png").resized(160, 256)
    assert np.array_equal(read_label_map(tmp_path / "layout.png").index, trio.index)
    assert Image.open(tmp_path / "flower.png").size == (256, 160)
    assert np.array_equal(Project.load(tmp_path / "flower.zip").layout.index, trio.index)
    hand.act("reset")
    assert hand.state()[0] != crc
    page.locator(".picture-board input[type=file]").set_input_files(tmp_path / "flower.zip")
    hand.until(lambda now: now[:3] == (crc, 0, 0))


def test_nobody_is_left_out(hand: Hand) -> None:
    hand.tool("select")
    hand.page.locator(".le-over").focus()
    hand.page.keyboard.press("Space")
    assert not barriers(hand.page, ".layout-editor", ".picture-board")


def stored(file: Path, cell: int) -> list[dict[str, Any]]:
    """What a saved notebook holds of a cell; nothing while it is being written."""
    with contextlib.suppress(json.JSONDecodeError):
        outputs: list[dict[str, Any]] = json.loads(file.read_text())["cells"][cell]["outputs"]
        return outputs
    return []


def test_everything_is_there_after_a_reload(hand: Hand) -> None:
    page = hand.page
    crc = hand.state()[0]
    page.locator(".le-over").focus()
    page.keyboard.press("Control+s")
    file = page.folder / "chapters" / CHAPTER
    hand.until(lambda _: bool(stored(file, hand.check - 1)))
    page.reload()
    page.locator(".jp-Notebook .jp-Cell").nth(hand.check).scroll_into_view_if_needed()
    page.wait_for_selector(".layout-editor .le-over")
    assert hand.state()[0] == crc == zlib.crc32(hand.map().tobytes())
    hand.tool("fill")
    page.locator("[data-cls='5']").click()
    hand.tap((3, 3))  # what the hand does is still heard
    assert hand.state()[0] != crc


@pytest.mark.skipif(
    importlib.util.find_spec("notebook") is None, reason="Notebook 7 is not installed: pip install notebook"
)
def test_the_studio_works_in_notebook_7(book: Any) -> None:
    page = book.context.new_page()
    open_notebook(page, book.address, "chapters/short.ipynb", view="notebooks")
    run_cell(page, 0)
    page.wait_for_selector(".layout-editor .le-over")
    hand = Hand(page, 1)
    hand.painted()
    start = hand.state()
    hand.tool("select")
    hand.drag((88, 70), (48, 72))
    assert hand.state()[0] == zlib.crc32(hand.map().tobytes()) != start[0] and hand.state()[3] == start[3] + 1
    page.locator(".le-over").focus()
    for key in ("Escape", "d", "d", "Control+z"):
        page.keyboard.press(key)
    assert hand.state()[0] == start[0] and page.locator(".jp-Notebook .jp-Cell").count() == len(SHORT)
    page.locator(".le-over").focus()
    page.keyboard.press("Control+s")
    file = book.folder / "chapters" / "short.ipynb"
    hand.until(lambda _: bool(stored(file, 0)))
    saved = stored(file, 0)[0]["data"]
    assert 10_000 < len(saved["image/jpeg"]) < 100_000 and re.match(r"Studio\(flower", "".join(saved["text/plain"]))
    page.close()
