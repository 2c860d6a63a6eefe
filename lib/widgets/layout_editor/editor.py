"""A label map that is painted in the notebook; every edit is in Python before the hand has left the mouse.

    editor = LayoutEditor(photo.layout, photo=photo.image)
    editor                                   # the last line of a cell shows it
    editor.map                               # the label map as it is now
    editor.state.fill((3, 3), "sky")         # the same tools from Python; then editor.refresh()

The browser draws at once, sends each finished operation, and `LayoutState` carries out the same one here. A checksum
of the map goes along: where the two differ, Python's map is sent back. So a hand can go on painting while a cell
runs; what it painted arrives when the cell is done.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import anywidget
import traitlets
from PIL import Image, ImageDraw
from torch import Tensor

from lib.images import to_pil
from lib.labelmaps import DISTINCT_COLOURS, LabelMap
from lib.widgets.layout_state import LayoutEditError, LayoutState
from lib.widgets.pictures import png, still_bundle

__all__ = ["LayoutEditor"]

_PARTS = ("layout_core.mjs", "layout_session.mjs", "layout_hand.mjs", "layout_keys.mjs", "layout_stage.js",
          "layout_editor.js")  # fmt: skip
SHOWN = 460
"""Longest side on the screen with the default zoom, in CSS pixels."""
MOST_BYTES = 30_000_000
"""Largest file that is accepted from the browser."""


def _front_end() -> str:
    """The parts of the front end as the one module that a notebook loads: it cannot resolve relative imports."""
    here = files(__package__)
    source = "\n".join((here / part).read_text(encoding="utf-8") for part in _PARTS)
    source = re.sub(r"^import .*;$", "", source, flags=re.MULTILINE)
    return re.sub(r"^export (?!default)(?:\{.*\};$)?", "", source, flags=re.MULTILINE)


class LayoutEditor(anywidget.AnyWidget):
    """The editor of one label map. Where widgets cannot be shown, a picture of the map stands in.

    Args:
        layout: the map to begin with, or the state of another editor.
        photo: (3, H, W) in [-1, 1], shown under the map; of any size.
        source: what the eraser and "Reset" go back to; default the layout.
        zoom: screen pixels for a pixel of the map; default about 460 for the long side.
        opacity: of the map over the photo, from 0 to 1.

    Attributes:
        state: every operation, for scripts; call `refresh` after using it.
    """

    _esm = _front_end()
    _css = (files(__package__) / "layout_editor.css").read_text(encoding="utf-8")

    zoom = traitlets.Float().tag(sync=True)
    opacity = traitlets.Float(0.6).tag(sync=True)
    photo = traitlets.Bytes(b"").tag(sync=True)
    # Counts the pushes to the browser; what is sent in its place is the state at that moment.
    snapshot = traitlets.Int(0).tag(sync=True, to_json=lambda _, editor: editor._message())

    def __init__(
        self, layout: LabelMap | LayoutState, photo: Tensor | None = None, *, source: LabelMap | None = None,
        zoom: float | None = None, opacity: float = 0.6,
    ) -> None:  # fmt: skip
        self.state = layout if isinstance(layout, LayoutState) else LayoutState(layout, source=source)
        self._seen: dict[str, int] = {}
        self._listeners: list[Callable[[], None]] = []
        longest = max(self.state.width, self.state.height)
        super().__init__(
            zoom=zoom or max(1.0, SHOWN / longest), opacity=opacity, photo=b"" if photo is None else png(to_pil(photo))
        )
        self.on_msg(self._hear)

    @property
    def map(self) -> LabelMap:
        """The label map as it is now."""
        return self.state.map

    def refresh(self) -> None:
        """Show in the browser what a script did to `state`, and tell those who watch the map."""
        self.snapshot += 1
        self._tell()

    def replace(self, layout: LabelMap | LayoutState, photo: Tensor | None = None) -> None:
        """Edit another map, with its own history; its size may differ."""
        self.state = layout if isinstance(layout, LayoutState) else LayoutState(layout)
        self.zoom = max(1.0, SHOWN / max(self.state.width, self.state.height))
        self.photo = b"" if photo is None else png(to_pil(photo))
        self.refresh()

    def on_edit(self, listener: Callable[[], None]) -> None:
        """Call ``listener()`` after each change of the map, by hand or by `refresh`."""
        self._listeners.append(listener)

    def picture(self) -> Image.Image:
        """The map over the photo as a still picture, with the names of the classes below."""
        shown = (round(self.state.width * self.zoom), round(self.state.height * self.zoom))
        layer = self.state.map.to_pil().convert("RGB").resize(shown, Image.Resampling.NEAREST)
        if self.photo:
            photo = Image.open(io.BytesIO(self.photo)).resize(shown, Image.Resampling.BICUBIC)
            layer = Image.blend(photo, layer, self.opacity)
        return _with_legend(layer, self.state.map)

    def say(self, text: str) -> None:
        """Show a sentence in the editor's status line."""
        self.send({"type": "say", "text": text})

    def _message(self) -> dict[str, Any]:
        """Everything that the browser needs to go on from here."""
        state = self.state
        return {
            "width": state.width, "height": state.height, "data": state.map.index.tobytes(),
            "source": state.source.tobytes(), "depth": list(state.depth), "seen": dict(self._seen),
            "palette": _entries(state.palette.names, state.palette.colours),
            "original": _entries(state.original.names, state.original.colours),
            "spare": [list(colour) for colour in DISTINCT_COLOURS],
        }  # fmt: skip

    def _hear(self, _: Any, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        try:
            if message.get("type") == "operation":
                self._operate(message)
            elif message.get("type") == "import":
                self._import(str(message.get("name", "file")), buffers)
            elif message.get("type") == "export":
                self.send({"type": "file", "name": "layout.png"}, [self.state.export_map()])
        except Exception as error:  # a widget's exceptions are seen by nobody
            self.say(str(error) or type(error).__name__)
            self.snapshot += 1  # the browser goes back to what is true here

    def _operate(self, message: Mapping[str, Any]) -> None:
        client, number = str(message["client"]), int(message["number"])
        self._seen[client] = number
        self.state.apply(message["op"])
        self.send({"type": "done", "client": client, "number": number})
        if message.get("crc") != self.state.checksum:
            self.snapshot += 1
        self._tell()

    def _import(self, name: str, buffers: Sequence[Any]) -> None:
        if not buffers or len(buffers[0]) > MOST_BYTES:
            raise LayoutEditError(f"{name} is empty or larger than {MOST_BYTES // 1_000_000} MB; export it smaller.")
        note = self.state.import_map(bytes(buffers[0]))
        self.refresh()
        self.say(f"loaded {name}. {note}".strip())

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _repr_mimebundle_(self, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle: Any = super()._repr_mimebundle_(**arguments)
        if bundle is None:
            return None
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return still_bundle(data, self.picture(), repr(self)), metadata

    def __repr__(self) -> str:
        state = self.state
        return f"LayoutEditor({state.width} x {state.height} px, {', '.join(state.palette.names)})"


def _entries(names: Sequence[str], colours: Sequence[Sequence[int]]) -> list[list[Any]]:
    return [[name, list(colour)] for name, colour in zip(names, colours, strict=True)]


def _with_legend(picture: Image.Image, layout: LabelMap) -> Image.Image:
    """Chips and names of the classes in rows under the picture."""
    draw = ImageDraw.Draw(picture)
    places, x, y = [], 0, picture.height + 6
    for name, colour in zip(layout.palette.names, layout.palette.colours, strict=True):
        wide = 34 + round(draw.textlength(name, font_size=14))
        if x and x + wide > picture.width:
            x, y = 0, y + 22
        places.append((x, y, name, colour))
        x += wide
    sheet = Image.new("RGB", (picture.width, y + 22), "white")
    sheet.paste(picture)
    draw = ImageDraw.Draw(sheet)
    for x, y, name, colour in places:
        draw.rectangle((x, y, x + 16, y + 16), fill=colour, outline="#555555")
        draw.text((x + 22, y + 8), name, fill="black", font_size=14, anchor="lm")
    return sheet
