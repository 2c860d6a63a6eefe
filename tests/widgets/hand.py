"""What a person does in the studio, with a mouse, fingers, keys and files; and what they see."""

from __future__ import annotations

import base64
import importlib.util
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lib.data.photos import load_photo
from lib.labelmaps import LabelMap
from tests.widgets.lab import PATIENCE, run_cell

Place: TypeAlias = tuple[float, float]
State: TypeAlias = tuple[int, int, int, int]

CHECK = "studio.wait(60)\nprint(studio.editor.state.checksum, *studio.editor.state.depth, len(studio.board.versions))"
"""The cell that `Hand.state` runs."""
CHAPTER = "13_the_layout_studio.ipynb"
SHORT = ("from lib.widgets.studio import Studio\nstudio = Studio('flower')\nstudio", CHECK)
"""A notebook of two cells."""

# The canvas keeps colours of half transparent pixels inexactly: each is the class whose chip is nearest.
_MAP = """() => {
  const canvas = document.querySelector("canvas.le-map"), { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const chips = [...document.querySelectorAll("[data-cls] span")].map((node) => node.style.background)
    .map((text) => text.match(/\\d+/g).map(Number));
  const seen = new Map(), index = new Uint8Array(width * height);
  for (let p = 0; p < index.length; p++) {
    const rgb = [data[4 * p], data[4 * p + 1], data[4 * p + 2]], key = String(rgb);
    if (!seen.has(key)) {
      const far = chips.map((chip) => chip.reduce((sum, v, k) => sum + (v - rgb[k]) ** 2, 0));
      seen.set(key, far.indexOf(Math.min(...far)));
    }
    index[p] = seen.get(key);
  }
  return [width, height, Array.from(index)];
}"""
_PICTURE = """async () => {
  const bytes = new Uint8Array(await (await fetch(document.querySelector(".pb-after").src)).arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}"""


class Hand:
    """A hand in a notebook that shows a studio.

    Args:
        page: of the browser.
        check: number of the cell that holds `CHECK`.
    """

    def __init__(self, page: Any, check: int) -> None:
        self.page, self.check = page, check

    # ------------------------------------------------------------------------------------------- seeing

    def painted(self, how: str = "painted") -> None:
        """Wait until the picture of the last edit is there; ``how`` is a word of the line below it."""
        self.page.wait_for_function(
            "(how) => (document.querySelector('.pb-said')?.innerText ?? '').includes(how)"
            " && !document.querySelector('.pb-busy')",
            arg=how,
        )

    def state(self) -> State:
        """Checksum of the map, steps back, steps forward, versions: as the kernel sees them when all is painted."""
        crc, back, forth, versions = map(int, run_cell(self.page, self.check).split())
        return crc, back, forth, versions

    def until(self, fits: Callable[[State], bool]) -> State:
        """The state as soon as it fits: a file takes its time to be read."""
        end = time.monotonic() + PATIENCE
        while not fits(now := self.state()):
            assert time.monotonic() < end, now
            self.page.wait_for_timeout(200)
        return now

    def map(self) -> npt.NDArray[np.uint8]:
        """The classes (H, W) on the canvas, after it has been drawn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        width, height, index = self.page.evaluate(_MAP)
        return np.array(index, dtype=np.uint8).reshape(height, width)

    def sees(self, fits: Callable[[npt.NDArray[np.uint8]], bool]) -> bool:
        """Whether the canvas comes to show a map that fits."""
        end = time.monotonic() + PATIENCE / 4
        while not (found := bool(fits(self.map()))) and time.monotonic() < end:
            self.page.wait_for_timeout(100)
        return found

    def picture(self) -> npt.NDArray[np.float64]:
        """What is painted, (H, W, 3) in 0..255."""
        image = Image.open(io.BytesIO(base64.b64decode(self.page.evaluate(_PICTURE))))
        return np.asarray(image.convert("RGB"), dtype=np.float64)

    def at_rest(self) -> npt.NDArray[np.float64]:
        """The picture when no better one follows: after the draft has been refined."""
        self.state()
        self.painted("refined")
        return self.picture()

    def says(self) -> str:
        """The status line of the editor."""
        return str(self.page.locator(".le-status").inner_text())

    # -------------------------------------------------------------------------------------------- doing

    def open_photo(self, name: str) -> LabelMap:
        """Choose a bundled photo and go back to its layout; gives it, at the size of the studio."""
        layout = load_photo(name, side=256, multiple=16).layout
        self.page.get_by_label("Photo", exact=True).select_option(label=name)
        self.page.wait_for_function(
            "(shape) => { const map = document.querySelector('canvas.le-map');"
            " return Math.abs(map.height / map.width - shape) < 0.02; }",
            arg=layout.height / layout.width,
        )
        self.act("reset")
        self.painted()
        return layout

    def tool(self, name: str, cls: str | None = None) -> None:
        """Choose a tool, and a class by its name."""
        if cls is not None:
            self.page.get_by_role("radio", name=cls, exact=True).click()
        self.page.locator(f"[data-tool={name}]").click()

    def act(self, name: str) -> None:
        """Press one of the buttons "undo", "redo", "reset", "duplicate", "delete", "add"."""
        self.page.locator(f"[data-act={name}]").click()

    def on_screen(self, *places: Place) -> list[Place]:
        """Where pixels of the map are on the screen, once the notebook has ended to scroll to the cell that runs."""
        canvas, box = self.page.locator(".le-over"), None
        for _ in range(50):
            canvas.scroll_into_view_if_needed()
            before, box = box, canvas.bounding_box()
            if box == before:
                break
            self.page.wait_for_timeout(100)
        assert box is not None
        width, height = self.page.locator("canvas.le-map").evaluate("(node) => [node.width, node.height]")
        return [(box["x"] + x * box["width"] / width, box["y"] + y * box["height"] / height) for x, y in places]

    def drag(self, *places: Place) -> None:
        """Press at the first place, given in pixels of the map, and let go at the last."""
        there = self.on_screen(*places)
        self.page.mouse.move(*there[0])
        self.page.mouse.down()
        for place in there[1:]:
            self.page.mouse.move(*place, steps=6)
        self.page.mouse.up()

    def tap(self, *places: Place) -> None:
        """Click at places one after the other."""
        for place in places:
            self.drag(place)

    def touch(self, kind: str, *places: Place) -> None:
        """Fingers on pixels of the map: "Start" and "Move" say where all are, "End" and "Cancel" take them away."""
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(self.on_screen(*places))]
        self.page.devtools.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})


def barriers(page: Any, *widgets: str) -> list[Any]:
    """What axe-core finds in the widgets."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("pip install axe-playwright-python brings axe-core")
    page.add_script_tag(path=Path(next(iter(spec.submodule_search_locations))) / "axe.min.js")
    script = "async (s) => (await axe.run(s)).violations.map((v) => [v.id, v.nodes[0].html])"
    return [one for widget in widgets for one in page.evaluate(script, widget)]
