"""A generated picture with a before/after slider, a strip of earlier versions and buttons for files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import anywidget
import traitlets
from PIL import Image

from lib.widgets.pictures import jpeg

__all__ = ["THUMBNAIL", "PictureBoard"]

THUMBNAIL = 44
"""Height of a picture in the strip, in CSS pixels; `picture_board.css` has the same number."""


class PictureBoard(anywidget.AnyWidget):
    """What a studio shows of its picture. It decides nothing: what is pressed goes to ``hear``.

    Args:
        hear: called with a word and its detail: ("version", number), ("open", bytes), ("refine", None),
            ("picture", None), ("project", None).

    Attributes:
        caption: the line below, read aloud by screen readers.
        busy: whether a picture is on its way.
        size: width and height on the screen, in CSS pixels.
    """

    _esm = (files(__package__) / "picture_board.js").read_text(encoding="utf-8")
    _css = (files(__package__) / "picture_board.css").read_text(encoding="utf-8")

    before = traitlets.Bytes(b"").tag(sync=True)
    after = traitlets.Bytes(b"").tag(sync=True)
    versions = traitlets.List(trait=traitlets.Bytes()).tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)
    size = traitlets.List([256, 256]).tag(sync=True)

    def __init__(self, hear: Callable[[str, Any], None]) -> None:
        self._tell = hear
        super().__init__()
        self.on_msg(self._hear)

    def show(self, after: Image.Image) -> None:
        """Show a new picture. What is saved is not this JPEG, which is made and sent faster than a PNG."""
        self.after = jpeg(after)

    def offer(self, name: str, data: bytes) -> None:
        """Hand the reader a file to save."""
        self.send({"type": "file", "name": name}, [data])

    def _hear(self, _: Any, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        try:
            word = str(message.get("type"))
            detail = {"version": message.get("number"), "open": bytes(buffers[0]) if buffers else None}.get(word)
            self._tell(word, detail)
        except Exception as error:  # a widget's exceptions are seen by nobody
            self.caption = str(error) or type(error).__name__

    def __repr__(self) -> str:
        return f"PictureBoard({len(self.versions)} versions)"
