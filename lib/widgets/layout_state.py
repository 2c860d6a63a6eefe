"""Editing a label map: every operation in plain Python, so that an edit can be scripted, tested and repeated.

    state = LayoutState(photo.layout)
    bloom = state.select((64, 30), (64, 40))               # the regions under these pixels and what they enclose
    state.move(bloom, dx=-30)                              # the place it leaves goes to the nearest class
    state.brush([(20, 70), (60, 75)], "leaf", radius=4)
    state.undo()
    picture = analogist.paint(state.map)

A point is (x, y), column and row of a pixel. A class is its name or its number; `SOURCE` paints what the source
layout has there. Each method builds an *operation*, a dictionary of plain values, and gives it to `apply`; the
editor in the browser sends the same dictionaries.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from lib.images import ImageSource, write_atomically
from lib.label_files import Colour
from lib.labelmaps import LabelError, LabelMap, Palette, read_label_map
from lib.widgets.layout_checks import LayoutEditError, Reader
from lib.widgets.layout_shapes import (
    Index,
    Mask,
    Point,
    brushed,
    ellipse,
    flood,
    healed,
    moved,
    polygon,
    rectangle,
    region,
)

__all__ = ["NEAREST", "SOURCE", "LayoutEditError", "LayoutState", "Selection"]

SOURCE = "source"
"""Paints what the source layout has at each pixel: an eraser."""
NEAREST = "nearest"
"""For the area that a moved region leaves: each pixel takes the nearest class."""
HISTORY = 200
"""Steps that can be undone."""

Class: TypeAlias = "int | str"
Operation: TypeAlias = "Mapping[str, Any]"

_CODES = {SOURCE: -1, NEAREST: -2}


@dataclass(frozen=True)
class Selection:
    """Connected regions, each named by a pixel in it: what `LayoutState.move` and `delete` act on.

    Attributes:
        at: one pixel (x, y) of each region.
        inside: with everything that the regions enclose, of whatever class.
    """

    at: tuple[Point, ...]
    inside: bool = True


@dataclass(frozen=True, eq=False)
class _Step:
    """What one step of the history restores. Arrays are shared, never changed."""

    index: Index
    palette: Palette

    def same_as(self, other: _Step) -> bool:
        return self.palette == other.palette and np.array_equal(self.index, other.index)


class LayoutState:
    """A label map that is being edited, with its history.

    Args:
        layout: the map to begin with; also the source, unless one is given.
        source: what `reset` and the eraser go back to; of the same size. The layout may name the classes
            differently and have more of them.

    Raises:
        LayoutEditError: source and layout do not fit.
    """

    def __init__(self, layout: LabelMap, *, source: LabelMap | None = None) -> None:
        source = source or layout
        if source.index.shape != layout.index.shape or source.classes > layout.classes:
            raise LayoutEditError("The source layout must have the size and the classes of the layout to edit.")
        self.source = source.index
        self._now = _Step(layout.index, layout.palette)
        self._undo: list[_Step] = []
        self._redo: list[_Step] = []
        self.original = source.palette

    @property
    def map(self) -> LabelMap:
        """The label map as it is now."""
        return LabelMap(self._now.index, self._now.palette)

    @property
    def palette(self) -> Palette:
        """Names and colours as they are now."""
        return self._now.palette

    @property
    def height(self) -> int:
        """Rows in pixels."""
        return int(self._now.index.shape[0])

    @property
    def width(self) -> int:
        """Columns in pixels."""
        return int(self._now.index.shape[1])

    @property
    def depth(self) -> tuple[int, int]:
        """How many steps can be undone, and redone."""
        return len(self._undo), len(self._redo)

    @property
    def checksum(self) -> int:
        """CRC-32 of the map: the editor in the browser compares it with its own."""
        return zlib.crc32(self._now.index.tobytes())

    # ------------------------------------------------------------------------------------------- painting

    def brush(self, points: Sequence[Point], cls: Class, *, radius: int = 4, square: bool = False) -> None:
        """Paint along a line through the points; radius 0 is a single pixel."""
        self.apply({"op": "brush", "points": points, "cls": self._code(cls), "radius": radius, "square": square})

    def erase(self, points: Sequence[Point], *, radius: int = 4, square: bool = False) -> None:
        """Bring the source layout back along a line."""
        self.brush(points, SOURCE, radius=radius, square=square)

    def fill(self, at: Point, cls: Class) -> None:
        """Give the connected region under a pixel another class."""
        self.apply({"op": "fill", "at": at, "cls": self._code(cls)})

    def polygon(self, points: Sequence[Point], cls: Class) -> None:
        """Paint the inside of a closed polygon; many points make a lasso."""
        self.apply({"op": "polygon", "points": points, "cls": self._code(cls)})

    def rectangle(self, start: Point, end: Point, cls: Class) -> None:
        """Paint the rectangle between two corners, both included."""
        self.apply({"op": "rectangle", "box": [*start, *end], "cls": self._code(cls)})

    def ellipse(self, start: Point, end: Point, cls: Class) -> None:
        """Paint the ellipse in the rectangle between two corners."""
        self.apply({"op": "ellipse", "box": [*start, *end], "cls": self._code(cls)})

    def pick(self, at: Point) -> str:
        """The name of the class under a pixel."""
        x, y = self._reader({"at": at}).pixel("at")
        return self.palette.names[int(self._now.index[y, x])]

    # -------------------------------------------------------------------------------------------- regions

    def select(self, *at: Point, inside: bool = True) -> Selection:
        """The connected regions under some pixels, for `move`, `duplicate` and `delete`.

        Raises:
            LayoutEditError: no pixel, or one outside the map.
        """
        pixels = self._reader({"at": at}).pixels("at")
        return Selection(tuple(pixels), inside)

    def mask(self, selection: Selection) -> Mask:
        """The selected pixels (H, W)."""
        return region(self._now.index, selection.at, inside=selection.inside)

    def move(
        self, selection: Selection, *, dx: int = 0, dy: int = 0, scale: float = 1.0, angle: float = 0.0,
        flip: tuple[bool, bool] = (False, False), copy: bool = False, vacated: Class = NEAREST, amend: bool = False,
    ) -> Selection:  # fmt: skip
        """Move, scale, turn and mirror a selection, about the centre of its box.

        Args:
            dx, dy: pixels to the right and down.
            scale: factor, 0.05 to 20.
            angle: degrees clockwise.
            flip: left-right, top-bottom.
            copy: leave the original where it is.
            vacated: the class of the place that it leaves; default the nearest one, pixel by pixel.
            amend: undo the last step first: a second thought about the same move, still one step of the history.

        Returns:
            The selection for a further ``move(..., amend=True)``.
        """
        self.apply({
            "op": "move", "at": selection.at, "inside": selection.inside, "dx": dx, "dy": dy, "scale": scale,
            "angle": angle, "flip": flip, "copy": copy, "vacated": self._code(vacated), "amend": amend,
        })  # fmt: skip
        return selection

    def duplicate(self, selection: Selection, *, dx: int, dy: int, scale: float = 1.0, angle: float = 0.0) -> None:
        """Lay a copy of the selection elsewhere."""
        self.move(selection, dx=dx, dy=dy, scale=scale, angle=angle, copy=True)

    def delete(self, selection: Selection, *, vacated: Class = NEAREST) -> None:
        """Remove a selection."""
        self.apply(
            {"op": "delete", "at": selection.at, "inside": selection.inside, "vacated": self._code(vacated)}
        )  # fmt: skip

    # -------------------------------------------------------------------------------- palette and history

    def add_class(self, name: str, colour: Colour) -> int:
        """Append a class and return its number. A model that is already trained cannot paint it."""
        self.apply({"op": "add", "name": name, "colour": colour})
        return len(self.palette) - 1

    def rename_class(self, cls: Class, name: str) -> None:
        """Call a class something else."""
        self.apply({"op": "rename", "cls": self._code(cls), "name": name})

    def recolour_class(self, cls: Class, colour: Colour) -> None:
        """Show a class in another colour, three whole numbers from 0 to 255."""
        self.apply({"op": "recolour", "cls": self._code(cls), "colour": colour})

    def undo(self) -> bool:
        """Go one step back; False where there is none."""
        return _shift(self._undo, self._redo, self)

    def redo(self) -> bool:
        """Take an undo back; False where there is none."""
        return _shift(self._redo, self._undo, self)

    def reset(self) -> None:
        """Go back to the source layout and its palette, as one step that can be undone."""
        self.apply({"op": "reset"})

    def replace(self, layout: LabelMap) -> None:
        """Put another map of the same size in, as one step.

        Raises:
            LayoutEditError: another size, or fewer classes than the source layout uses.
        """
        if layout.index.shape != self._now.index.shape:
            raise LayoutEditError(
                f"The map is {layout.width} x {layout.height} px, the editor {self.width} x {self.height}; resize it."
            )
        if layout.classes <= int(self.source.max()):
            raise LayoutEditError("The map lacks classes of the source layout; read it with the editor's palette.")
        self._commit(_Step(layout.index, layout.palette))

    # ---------------------------------------------------------------------------------------------- files

    def import_map(self, source: ImageSource | LabelMap) -> str:
        """Put a drawn map in, from whatever a drawing program saved, as one step; resized to the editor's size.

        Returns:
            What the reader had to clean, in one sentence, or "".

        Raises:
            LabelError, ImageError: the file is no label map in the editor's classes.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            layout = read_label_map(source, palette=self.palette, size=(self.height, self.width))
        self.replace(layout)
        return " ".join(str(warning.message) for warning in caught)

    def export_map(self, path: str | Path | None = None) -> bytes:
        """The map as an indexed PNG that holds the class names, and reads back exactly; also written to ``path``."""
        data = self.map.to_png()
        if path is not None:
            write_atomically(path, data)
        return data

    # ----------------------------------------------------------------------------------------- operations

    def apply(self, operation: Operation) -> None:
        """Carry out one operation, as a method above built it or as the browser sent it.

        Raises:
            LayoutEditError: an unknown operation, or a value that makes no sense; nothing is changed then.
        """
        reader = self._reader(operation)
        name = reader.word("op")
        if name in ("undo", "redo"):
            _ = self.undo() if name == "undo" else self.redo()
        elif name in _PAINTS:
            self._paint(_PAINTS[name](self, reader), reader.code("cls", lowest=-1))
        elif name in _CHANGES:
            _CHANGES[name](self, reader)
        else:
            raise LayoutEditError(f"There is no operation {name!r}; use one of {', '.join((*_PAINTS, *_CHANGES))}.")

    def _paint(self, mask: Mask, code: int) -> None:
        index = self._now.index.copy()
        index[mask] = self.source[mask] if code == _CODES[SOURCE] else code
        self._commit(replace(self._now, index=index))

    def _move(self, reader: Reader) -> None:
        amend = reader.flag("amend")
        if amend and not self._undo:
            raise LayoutEditError("There is no last move to change; move the selection first, without amend.")
        base = self._undo[-1] if amend else self._now
        pixels, code = reader.pixels("at"), reader.code("vacated", lowest=-2)
        how = {"dx": reader.whole("dx"), "dy": reader.whole("dy"), "scale": reader.number("scale", 0.05, 20.0),
               "angle": reader.number("angle", -3600.0, 3600.0), "flip": reader.flags("flip")}  # fmt: skip
        mask = region(base.index, pixels, inside=reader.flag("inside"))
        onto = base.index if reader.flag("copy") else self._without(base.index, mask, code)
        index = moved(base.index, mask, onto, **how)  # type: ignore[arg-type]
        if amend:
            self._now = self._undo.pop()
        self._commit(_Step(index, base.palette), always=amend)

    def _delete(self, reader: Reader) -> None:
        mask = region(self._now.index, reader.pixels("at"), inside=reader.flag("inside"))
        index = self._without(self._now.index, mask, reader.code("vacated", lowest=-2))
        self._commit(replace(self._now, index=index))

    def _without(self, index: Index, mask: Mask, code: int) -> Index:
        """The map after a region has left it."""
        if code == _CODES[NEAREST]:
            return healed(index, mask)
        left = index.copy()
        left[mask] = self.source[mask] if code == _CODES[SOURCE] else code
        return left

    def _name(self, reader: Reader) -> None:
        names, colours = list(self.palette.names), list(self.palette.colours)
        what = reader.word("op")
        if what == "add":
            names.append(reader.word("name"))
            colours.append(reader.colour("colour"))
        elif what == "rename":
            names[reader.code("cls", lowest=0)] = reader.word("name")
        else:
            colours[reader.code("cls", lowest=0)] = reader.colour("colour")
        try:
            self._commit(replace(self._now, palette=Palette(tuple(names), tuple(colours))))
        except LabelError as error:
            raise LayoutEditError(str(error)) from error

    def _reset(self, _: Reader) -> None:
        self._commit(_Step(self.source, self.original))

    def _commit(self, step: _Step, *, always: bool = False) -> None:
        """Make a step, unless it changes nothing."""
        if not always and step.same_as(self._now):
            return
        step.index.setflags(write=False)
        self._undo = [*self._undo[1 - HISTORY :], self._now]
        self._redo = []
        self._now = step

    def _reader(self, operation: Operation) -> Reader:
        return Reader(operation, self.width, self.height, len(self.palette))

    def _code(self, cls: Class) -> int:
        """The number of a class in an operation.

        Raises:
            LayoutEditError: there is no class of this name.
        """
        if not isinstance(cls, str):
            return cls
        if cls in self.palette.names:
            return self.palette.names.index(cls)
        if cls in _CODES:
            return _CODES[cls]
        raise LayoutEditError(f"There is no class {cls!r}; the classes are {', '.join(self.palette.names)}.")


def _shift(out_of: list[_Step], into: list[_Step], state: LayoutState) -> bool:
    if not out_of:
        return False
    into.append(state._now)
    state._now = out_of.pop()
    return True


_PAINTS: Mapping[str, Callable[[LayoutState, Reader], Mask]] = {
    "brush": lambda s, r: brushed(s.source.shape, r.points("points"), r.radius("radius"), square=r.flag("square")),
    "fill": lambda s, r: flood(s._now.index, r.pixel("at")),
    "polygon": lambda s, r: polygon(s.source.shape, r.points("points")),
    "rectangle": lambda s, r: rectangle(s.source.shape, r.box("box")),
    "ellipse": lambda s, r: ellipse(s.source.shape, r.box("box")),
}
_CHANGES: Mapping[str, Callable[[LayoutState, Reader], None]] = {
    "move": LayoutState._move,
    "delete": LayoutState._delete,
    "add": LayoutState._name,
    "rename": LayoutState._name,
    "recolour": LayoutState._name,
    "reset": LayoutState._reset,
}
