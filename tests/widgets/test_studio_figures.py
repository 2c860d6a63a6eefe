"""Real edits in the studio's own window, from an opened photo to the refined picture, and the book's pictures of them.

    KEEP_FIGURES=<folder> python -m pytest -n 0 --no-cov tests/widgets/test_studio_figures.py

draws ``assets/figures/studio_*.jpg`` anew. The folder keeps the model of the photo that is not the book's, which is
trained for some minutes at first. Without the variable the book's photos are edited, too, and nothing is kept.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.cbook
import nbformat
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lib.data.first_guess import first_guess
from lib.images import read_image
from lib.labelmaps import LabelMap
from lib.widgets.layout_state import LayoutState
from tests.widgets.hand import CHECK, Hand, Place
from tests.widgets.lab import CHROMIUM, ROOT, open_notebook, run_cell

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="pip install playwright drives Chromium"),
]
KEEP = os.environ.get("KEEP_FIGURES")
FIGURES = ROOT / "assets" / "figures"
MOST_BYTES = 300_000
OWN = """from lib.widgets.studio import Studio
studio = Studio("portrait.png", "layout.png", folder={!r})
studio"""


def shoot(hand: Hand, folder: Path, name: str) -> Path:
    """The studio as it is on the screen, without the notebook round it."""
    page = hand.page
    page.mouse.move(1, 1)
    parts = page.locator(".widget-dropdown, .layout-editor, .picture-board")
    parts.first.evaluate("(node) => node.scrollIntoView({ block: 'start' })")
    boxes = [box for box in (part.bounding_box() for part in parts.all()) if box is not None]
    left, top = (min(box[key] for box in boxes) - 6 for key in ("x", "y"))
    right = max(box["x"] + box["width"] for box in boxes) + 6
    bottom = max(box["y"] + box["height"] for box in boxes)
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    file = folder / f"studio_{name}.jpg"
    page.screenshot(path=file, type="jpeg", quality=88, clip=clip)
    return file


def keep(hand: Hand, folder: Path, name: str) -> None:
    """Look at the picture, and put it into the book if that is wanted."""
    hand.page.get_by_label("Opacity").fill("0.8")
    file = shoot(hand, folder, name)
    picture = Image.open(file)
    assert picture.width > 1000 and picture.height > 400 and file.stat().st_size < MOST_BYTES
    assert len(set(map(tuple, np.asarray(picture)[::9, ::9].reshape(-1, 3)))) > 500  # a photo is in it
    if KEEP:
        (FIGURES / file.name).write_bytes(file.read_bytes())


def places(layout: LabelMap, name: str) -> list[Place]:
    """A pixel in the middle of each region of a class, from the lowest region up."""
    regions, count = ndimage.label(layout.index == layout.palette.names.index(name))
    found = []
    for region in range(1, count + 1):
        rows, columns = np.nonzero(regions == region)
        nearest = np.hypot(rows - np.median(rows), columns - np.median(columns)).argmin()
        found.append((float(columns[nearest]) + 0.5, float(rows[nearest]) + 0.5))
    return sorted(found, key=lambda place: -place[1])


def set_number(hand: Hand, name: str, value: int) -> None:
    field = hand.page.get_by_label(name)
    field.fill(str(value))
    field.press("Enter")


def bloom(hand: Hand, layout: LabelMap) -> None:
    """The bloom goes to the left, and a smaller copy of it to the right."""
    hand.tool("select")
    hand.drag((88, 70), (42, 66))
    hand.act("duplicate")
    set_number(hand, "scale %", 60)
    before = hand.map()
    hand.drag((102, 79), (176, 54))
    assert (hand.map() != before).any()


def spoon(hand: Hand, layout: LabelMap) -> None:
    """The bowl of the spoon goes, then its handle, which is another region."""
    hand.tool("select")
    bowl, *rest = places(layout, "spoon")
    for place, vacated in ((bowl, "saucer shadow"), *((place, "wood") for place in rest)):
        hand.page.get_by_label("its place becomes").select_option(label=vacated)
        hand.tap(place)
        hand.act("delete")


def hair(hand: Hand, layout: LabelMap) -> None:
    """A larger copy of the hair is laid over it."""
    columns = np.nonzero(layout.index == layout.palette.names.index("hair"))[1]
    aside = max(4, round((columns.max() + 1 - columns.min()) / 4))
    hand.tool("select")
    hand.page.get_by_label("with what it encloses").uncheck()
    hand.tap((134, 50))
    hand.act("duplicate")
    set_number(hand, "scale %", 115)
    hand.drag((134 + aside, 50), (134, 44))
    hand.page.get_by_label("with what it encloses").check()


@pytest.mark.parametrize(("photo", "edit"), [("flower", bloom), ("coffee", spoon), ("astronaut", hair)])
def test_a_photo_of_the_book(hand: Hand, tmp_path: Path, photo: str, edit: Callable[[Hand, LabelMap], None]) -> None:
    layout = hand.open_photo(photo)
    before = hand.picture()
    edit(hand, layout)
    changed = hand.map() != layout.index
    after = hand.at_rest()
    difference = np.abs(after - before).mean(axis=2)
    assert 0.005 < changed.mean() < 0.4 and difference[changed].mean() > 2 * difference[~changed].mean()
    keep(hand, tmp_path, photo)


def mended_guess(photo: Path) -> LabelMap:
    """What the clustering finds in the portrait, with a few strokes of the hand."""
    state = LayoutState(first_guess(read_image(photo, side=256, multiple=16), 5))
    wall, uniform, flag, face = (state.pick(at) for at in ((230, 60), (60, 240), (40, 30), (130, 100)))
    for points, cls in (
        ([(0, 0), (110, 0), (104, 14), (86, 34), (82, 62), (76, 90), (80, 120), (94, 148), (90, 160), (20, 180),
          (0, 186)], flag),
        ([(82, 88), (96, 60), (110, 80), (100, 150), (94, 150), (80, 120)], face),
        ([(110, 0), (150, 0), (120, 12), (104, 16)], wall),
        ([(20, 180), (94, 148), (103, 152), (92, 168), (28, 188)], flag),
        ([(0, 184), (13, 190), (15, 225), (13, 255), (0, 255)], flag),
        ([(187, 75), (207, 75), (207, 92), (187, 92)], wall),
        ([(150, 84), (187, 78), (187, 100), (150, 98)], face),
    ):  # fmt: skip
        state.polygon(points, cls)
    for found, name in ((wall, "wall"), (uniform, "navy"), (flag, "flag"), (face, "face"), ("region 5", "white")):
        state.rename_class(found, name)
    return state.map


@pytest.mark.skipif(KEEP is None, reason="set KEEP_FIGURES to a folder: a model is trained for minutes and kept there")
def test_a_photo_that_is_not_the_books(book: Any, tmp_path: Path) -> None:
    folder, page = book.folder / "chapters", book.context.new_page()
    portrait = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    portrait.crop((0, 0, 512, 512)).save(folder / "portrait.png")
    (folder / "layout.png").write_bytes(mended_guess(folder / "portrait.png").to_png())
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (OWN.format(KEEP), CHECK)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "own.ipynb")
    open_notebook(page, book.address, "chapters/own.ipynb")
    run_cell(page, 0)
    page.wait_for_selector(".layout-editor .le-over")
    hand = Hand(page, 1)
    train = page.get_by_role("button", name="Train", exact=True)
    painted = page.locator(".pb-said", has_text="painted in").or_(page.locator(".pb-said", has_text="refined"))
    train.or_(painted).first.wait_for()
    if train.is_visible():  # there is no model in the folder yet
        train.click()
    painted.first.wait_for(timeout=3_600_000)
    before = hand.at_rest()
    hand.tool("fill", "wall")
    hand.tap((40, 30), (5, 220))  # the flag
    after = hand.at_rest()
    assert np.abs(after - before)[10:120, 5:60].mean() > 30
    keep(hand, tmp_path, "portrait")
    page.close()
