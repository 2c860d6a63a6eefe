"""A picture with a line above it and a row of buttons below it, each with a key of its own."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import anywidget
import traitlets
from PIL import Image

from lib.widgets.pictures import png, still_bundle

__all__ = ["Choice", "QuestionBoard"]


@dataclass(frozen=True)
class Choice:
    """A button.

    Attributes:
        label: what it says, and what `QuestionBoard` calls it.
        key: as the browser calls it, such as "1", "a" or "Backspace"; it does the same as a click.
        off: whether it does nothing now.
    """

    label: str
    key: str
    off: bool = False


class QuestionBoard(anywidget.AnyWidget):
    """Shows a question and tells which button was pressed. It decides nothing.

    Where widgets cannot be shown, its picture stands in.

    Plain buttons of a notebook would do, but for the keys: with one of them in focus, JupyterLab takes "a" and "b"
    for a new cell and "d d" for the end of this one.

    Args:
        choices: the buttons.
        press: called with the label of the one that was clicked; its errors are shown in the line.

    Attributes:
        line: the text above the picture, read aloud by screen readers.
        alt: what the picture is, for those who do not see it; it must not give the answer away.
        size: width and height of the picture, in CSS pixels.
        table: what the link below the buttons saves as a CSV file; "" for no link.
        table_name: of that file.
    """

    _esm = (files(__package__) / "question_board.js").read_text(encoding="utf-8")
    _css = (files(__package__) / "question_board.css").read_text(encoding="utf-8")

    line = traitlets.Unicode("").tag(sync=True)
    picture = traitlets.Bytes(b"").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)
    size = traitlets.List([0, 0]).tag(sync=True)
    choices = traitlets.List(trait=traitlets.Dict()).tag(sync=True)
    table = traitlets.Unicode("").tag(sync=True)
    table_name = traitlets.Unicode("answers.csv").tag(sync=True)

    def __init__(self, choices: Sequence[Choice], press: Callable[[str], None]) -> None:
        self._press = press
        super().__init__()
        self.offer(choices)
        self.on_msg(self._hear)

    def show(self, picture: Image.Image, alt: str) -> None:
        """Show another picture, pixel by pixel."""
        self.picture, self.size, self.alt = png(picture), list(picture.size), alt

    def offer(self, choices: Sequence[Choice]) -> None:
        """Change the buttons."""
        self.choices = [asdict(choice) for choice in choices]

    def click(self, label: str) -> None:
        """What a click on a button does."""
        try:
            if any(choice["label"] == label and not choice["off"] for choice in self.choices):
                self._press(label)
        except Exception as error:  # a widget's exceptions are seen by nobody
            self.line = f"{type(error).__name__}: {error}"

    def _hear(self, _: Any, message: Mapping[str, Any], __: Sequence[Any]) -> None:
        if message.get("type") == "press":
            self.click(str(message.get("label")))

    def _repr_mimebundle_(self, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle: Any = super()._repr_mimebundle_(**arguments)
        if bundle is None or not self.picture:
            return bundle  # type: ignore[no-any-return]
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        words = f"{self.line} {self.alt}. Answers: {', '.join(choice['label'] for choice in self.choices)}"
        return still_bundle(data, Image.open(io.BytesIO(self.picture)), words), metadata

    def __repr__(self) -> str:
        return f"QuestionBoard({', '.join(choice['label'] for choice in self.choices)})"
