"""Reading an operation on a layout: it may come from a browser, a file or a script, so nothing in it is trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from lib.label_files import Colour
from lib.snapping import LabelError
from lib.widgets.layout_shapes import Point

__all__ = ["LayoutEditError", "Reader"]

MOST_POINTS = 20_000
LONGEST_NAME = 60


class LayoutEditError(LabelError):
    """An operation on a layout cannot be carried out. The message says why."""


class Reader:
    """The checked values of one operation on a map of ``width`` x ``height`` pixels and so many ``classes``."""

    def __init__(self, operation: Mapping[str, Any], width: int, height: int, classes: int) -> None:
        if not isinstance(operation, Mapping):
            raise LayoutEditError(f"An operation is a dictionary, not a {type(operation).__name__}.")
        self.operation, self.width, self.height, self.classes = operation, width, height, classes

    def word(self, key: str) -> str:
        """A short text that is not empty."""
        value = self._value(key)
        if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_NAME or not value.isprintable():
            raise LayoutEditError(f"{key} must be a text of 1 to {LONGEST_NAME} letters, not {value!r}.")
        return value.strip()

    def flag(self, key: str) -> bool:
        """True or False."""
        value = self._value(key)
        if not isinstance(value, bool):
            raise LayoutEditError(f"{key} must be True or False, not {value!r}.")
        return value

    def flags(self, key: str) -> tuple[bool, bool]:
        """Two truth values."""
        values = self._list(key, 2)
        if not all(isinstance(value, bool) for value in values):
            raise LayoutEditError(f"{key} must be two truth values, not {values!r}.")
        return values[0], values[1]

    def number(self, key: str, lowest: float, highest: float) -> float:
        """A finite number in a range."""
        value = self._value(key)
        if not _is_number(value, Real) or not lowest <= value <= highest:
            raise LayoutEditError(f"{key} must be a number from {lowest:g} to {highest:g}, not {value!r}.")
        return float(value)

    def whole(self, key: str) -> int:
        """A whole number of pixels, no larger than the map allows."""
        return self._pixels(self._value(key), key)

    def radius(self, key: str) -> int:
        """A whole number from 0 to the long side of the map."""
        value = self._pixels(self._value(key), key)
        if not 0 <= value <= max(self.width, self.height):
            raise LayoutEditError(f"{key} must be from 0 to {max(self.width, self.height)} px, not {value}.")
        return value

    def code(self, key: str, *, lowest: int) -> int:
        """The number of a class; -1 stands for the source layout and -2 for the nearest class, where allowed."""
        value = self._value(key)
        if not _is_number(value, Integral) or not lowest <= value < self.classes:
            raise LayoutEditError(f"There is no class {value!r} for this; the classes are 0 to {self.classes - 1}.")
        return int(value)

    def colour(self, key: str) -> Colour:
        """Three whole numbers from 0 to 255."""
        values = self._list(key, 3)
        if not all(_is_number(v, Integral) and 0 <= v <= 255 for v in values):
            raise LayoutEditError(f"A colour is three whole numbers from 0 to 255, not {values!r}.")
        return int(values[0]), int(values[1]), int(values[2])

    def points(self, key: str) -> list[Point]:
        """One point or more, also a little outside the map."""
        values = self._list(key)
        if not 1 <= len(values) <= MOST_POINTS:
            raise LayoutEditError(f"{key} must hold 1 to {MOST_POINTS} points, not {len(values)}.")
        return [self._point(value, key) for value in values]

    def pixel(self, key: str) -> Point:
        """A pixel of the map."""
        return self._inside(self._point(self._value(key), key))

    def pixels(self, key: str) -> list[Point]:
        """One pixel of the map or more."""
        return [self._inside(point) for point in self.points(key)]

    def box(self, key: str) -> tuple[int, int, int, int]:
        """Two corners as x0, y0, x1, y1."""
        values = self._list(key, 4)
        (x0, y0), (x1, y1) = self._point(values[:2], key), self._point(values[2:], key)
        return x0, y0, x1, y1

    def _inside(self, point: Point) -> Point:
        if not (0 <= point[0] < self.width and 0 <= point[1] < self.height):
            raise LayoutEditError(f"The pixel {point} lies outside the map of {self.width} x {self.height} px.")
        return point

    def _point(self, value: Any, key: str) -> Point:
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            raise LayoutEditError(f"A point in {key} is two whole numbers (x, y), not {value!r}.")
        return self._pixels(value[0], key), self._pixels(value[1], key)

    def _pixels(self, value: Any, key: str) -> int:
        reach = 4 * max(self.width, self.height)  # farther out nothing is seen, and masks would grow large
        if not _is_number(value, Real) or not math.isfinite(value):
            raise LayoutEditError(f"{key} must hold whole numbers of pixels, not {value!r}.")
        if value != int(value) or abs(value) > reach:
            raise LayoutEditError(f"{key} must hold whole numbers from {-reach} to {reach}, not {value!r}.")
        return int(value)

    def _list(self, key: str, length: int | None = None) -> list[Any]:
        value = self._value(key)
        if not isinstance(value, Sequence) or isinstance(value, str) or length not in (None, len(value)):
            raise LayoutEditError(f"{key} must be a list of {length or 'points'}, not {value!r}.")
        return list(value)

    def _value(self, key: str) -> Any:
        if key not in self.operation:
            raise LayoutEditError(f"The operation lacks {key!r}; it has {', '.join(map(str, self.operation))}.")
        return self.operation[key]


def _is_number(value: Any, kind: type) -> bool:
    """Python's or numpy's, but no truth value."""
    return isinstance(value, kind) and not isinstance(value, bool)
