"""The editor's Python half: what the browser sends, what it gets back, and what stands in for it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib.labelmaps import LabelMap, Palette
from lib.widgets import layout_editor as package
from lib.widgets.layout_editor import LayoutEditor
from lib.widgets.layout_editor.editor import _front_end
from lib.widgets.layout_state import LayoutState
from tests.scenes import PALETTE, labels, layout, photo


class Wire:
    """An editor whose messages to the browser are kept."""

    def __init__(self, **arguments: Any) -> None:
        self.editor = LayoutEditor(layout(), photo()[0], **arguments)
        self.sent: list[tuple[dict[str, Any], list[bytes]]] = []
        self.editor.send = lambda content, buffers=None: self.sent.append((content, buffers or []))
        self.number = 0

    def operate(self, operation: dict[str, Any], crc: int | None = None) -> None:
        self.number += 1
        message = {"type": "operation", "client": "tab", "number": self.number, "op": operation, "crc": crc}
        self.editor._hear(None, message, [])

    def said(self) -> str:
        return " ".join(content["text"] for content, _ in self.sent if content["type"] == "say")


FILL = {"op": "fill", "at": [0, 0], "cls": 2}


def after(operation: dict[str, Any]) -> LayoutState:
    state = LayoutState(layout())
    state.apply(operation)
    return state


def test_an_operation_arrives_is_confirmed_and_told() -> None:
    wire, told = Wire(), []
    wire.editor.on_edit(lambda: told.append(wire.editor.state.checksum))
    wire.operate(FILL, after(FILL).checksum)
    assert np.array_equal(wire.editor.map.index, after(FILL).map.index)
    assert wire.sent == [({"type": "done", "client": "tab", "number": 1}, [])]
    assert wire.editor.snapshot == 0 and told == [after(FILL).checksum]  # equal: nothing is sent back


def test_a_browser_that_went_astray_gets_the_whole_map() -> None:
    wire = Wire()
    wire.operate(FILL, crc=1)
    assert wire.editor.snapshot == 1
    state = wire.editor.get_state("snapshot")["snapshot"]
    assert bytes(state["data"]) == after(FILL).map.index.tobytes() and state["seen"] == {"tab": 1}
    assert state["depth"] == [1, 0] and (state["width"], state["height"]) == (48, 32)
    assert state["palette"][2] == ["ball", [220, 60, 40]]


@pytest.mark.parametrize("message", [
    {"type": "operation", "client": "tab", "number": 1, "op": {"op": "explode"}, "crc": 0},
    {"type": "operation"}, {"type": "import", "name": "notes.txt"}, {"type": "import", "name": "x"},
])  # fmt: skip
def test_errors_are_said_and_the_map_stays(message: dict[str, Any]) -> None:
    wire = Wire()
    wire.editor._hear(None, message, [memoryview(b"no picture")] if message.get("name") == "x" else [])
    assert wire.said() and wire.editor.snapshot == 1  # the browser draws what is true here
    assert np.array_equal(wire.editor.map.index, layout().index)


def test_files_go_out_and_come_in() -> None:
    wire = Wire()
    wire.operate(FILL)
    wire.editor._hear(None, {"type": "export"}, [])
    content, (data,) = wire.sent[-1]
    assert content["name"].endswith(".png") and Image.open(io.BytesIO(data)).mode == "P"
    other = Wire()
    other.editor._hear(None, {"type": "import", "name": "mine.png"}, [memoryview(data)])  # as the browser sends it
    assert np.array_equal(other.editor.map.index, wire.editor.map.index) and "mine.png" in other.said()
    assert other.editor.snapshot == 1 and other.editor.state.depth == (1, 0)


def test_scripts_and_hands_share_one_state() -> None:
    wire, told = Wire(), []
    wire.editor.on_edit(lambda: told.append(1))
    wire.editor.state.fill((0, 0), "ball")
    wire.editor.refresh()
    assert wire.editor.snapshot == 1 and told == [1]
    wire.operate({"op": "undo"}, LayoutState(layout()).checksum)
    assert np.array_equal(wire.editor.map.index, layout().index)


def test_another_map_has_a_history_of_its_own() -> None:
    wire = Wire()
    wire.operate(FILL)
    wire.editor.replace(layout(40, 64), photo(40, 64)[0])
    assert wire.editor.state.depth == (0, 0) and wire.editor.map.index.shape == (40, 64)
    assert wire.editor.get_state("snapshot")["snapshot"]["width"] == 64


def test_a_picture_stands_in_where_widgets_are_not_shown() -> None:
    editor = LayoutEditor(layout(), photo()[0], opacity=1.0, zoom=2.0)
    bundle = editor._repr_mimebundle_()
    assert bundle is not None and "application/vnd.jupyter.widget-view+json" in bundle[0]
    still = Image.open(io.BytesIO(base64.b64decode(bundle[0]["image/jpeg"]))).convert("RGB")
    assert still.width == 96 and still.height > 64  # and the names below it
    for at, colour in (((10, 10), PALETTE.colours[0]), ((10, 60), PALETTE.colours[1])):
        assert np.abs(np.subtract(still.getpixel(at), colour)).max() <= 4  # a JPEG
    assert repr(editor) == "LayoutEditor(48 x 32 px, sky, ground, ball)"  # no address: the same in every run


def test_the_front_end_is_one_module_and_its_parts_are_packaged() -> None:
    source = _front_end()
    assert not [line for line in source.splitlines() if line.startswith(("import ", "export {", "export class"))]
    assert source.count("export default") == 1
    folder = Path(package.__file__).parent
    rules = (folder.parents[2] / "pyproject.toml").read_text()
    parts = [file for file in folder.iterdir() if file.suffix in {".js", ".mjs", ".css"}]
    assert len(parts) == 7 and all(f'"*{file.suffix}"' in rules for file in parts)


def test_a_palette_of_many_classes_is_drawn_in_rows() -> None:
    names = tuple(f"a class with a long name {k}" for k in range(12))
    palette = Palette(names, tuple((20 * k, 7 * k, 200 - 9 * k) for k in range(12)))
    picture = LayoutEditor(LabelMap(labels(32, 48), palette), zoom=8.0).picture()
    assert picture.height > 32 * 8 + 6 * 22 and picture.width == 48 * 8
