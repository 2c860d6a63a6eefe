"""Decode the file of a label map into colour codes, before anything is said about its classes.

Drawing programs save label maps as indexed PNG, as greyscale numbers, as RGB or as layers with transparency.
Here each becomes a :class:`RawLabels`; :mod:`lib.labelmaps` decides which codes are classes.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from lib.images import ImageSource, open_image
from lib.snapping import Codes, Colours, LabelError

Colour: TypeAlias = tuple[int, int, int]

NAMES_KEY = "classes"
"""Keyword of the PNG text chunk that holds the class names, as a JSON list."""
_INDEX_COLOURS: tuple[Colour, ...] = (
    (60, 90, 160), (230, 160, 60), (90, 170, 90), (200, 80, 80), (150, 110, 190), (140, 100, 80),
    (230, 150, 200), (120, 120, 120), (200, 200, 80), (80, 190, 200), (30, 60, 30), (250, 220, 190),
    (20, 20, 60), (180, 230, 170), (110, 20, 60), (240, 240, 240),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class RawLabels:
    """A decoded file: ``codes (H, W)`` index the rows of ``table (C, 3)``.

    ``names`` (of our own files) or ``numbers`` (of greyscale indices) say what the rows are, where known.
    ``ordered`` keeps the order of the rows as the order of the classes.
    """

    codes: Codes
    table: Colours
    names: tuple[str, ...] | None = None
    numbers: tuple[int, ...] | None = None
    ordered: bool = False


def decode(source: ImageSource, max_classes: int, known: Collection[int] = ()) -> RawLabels:
    """Read a file into colour codes; greyscale values are class numbers if they look so or are ``known``."""
    if isinstance(source, np.ndarray) and source.ndim == 2 and source.dtype != np.bool_:
        source = _small_integers(source)
    picture = open_image(source)
    if picture.mode == "F":
        raise LabelError("The label map holds floating-point numbers; save class indices or flat colours instead.")
    if picture.mode == "P":
        return _from_palette(picture, max_classes)
    if picture.mode == "L" or picture.mode.startswith("I"):
        return _from_grey(np.asarray(picture).astype(np.intp), max_classes, known)
    if picture.has_transparency_data:
        # Soft edges of a layer keep their true colour under the alpha, so it is cut, not blended.
        rgba = np.asarray(picture.convert("RGBA"))
        return _from_rgb(np.where(rgba[:, :, 3:] >= 128, rgba[:, :, :3], np.uint8(255)))
    return _from_rgb(np.asarray(picture.convert("RGB")))


def _from_grey(values: Codes, max_classes: int, known: Collection[int]) -> RawLabels:
    """Read greyscale as class numbers (0, 1, 2, ... and 255 for void) or, failing that, as colours."""
    numbers, codes = np.unique(values, return_inverse=True)
    ordinary = numbers[numbers != 255]
    alike = len(ordinary) >= 2 and ordinary.max() < 64 and len(numbers) <= max_classes
    if alike or set(numbers.tolist()) <= set(known):
        colours = _index_colours(len(numbers))
        return RawLabels(codes.reshape(values.shape), colours, numbers=tuple(numbers.tolist()))
    grey = values if values.max() < 256 else values // 257  # 16 bits
    return _from_rgb(np.repeat(grey.clip(0, 255)[:, :, None], 3, axis=2).astype(np.uint8))


def _small_integers(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    if not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or values.max() > 255:
        raise LabelError(f"A label array (H, W) holds whole numbers from 0 to 255, got {values.dtype}; convert it.")
    return values.astype(np.uint8)


def _from_palette(picture: Image.Image, max_classes: int) -> RawLabels:
    """Read an indexed image: our own with names, one of class indices, or a quantised colour image."""
    index = np.asarray(picture).astype(np.intp)
    flat = np.array(picture.getpalette("RGB") or [], dtype=np.uint8)
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(flat) // 3] = flat[: len(flat) // 3 * 3].reshape(-1, 3)
    names = _names_in(picture)
    if names and index.max() < len(names):
        return RawLabels(index, colours[: len(names)], names=names)
    numbers, codes = np.unique(index, return_inverse=True)
    codes = codes.reshape(index.shape)
    used = colours[numbers]
    if len(numbers) <= max_classes and len(np.unique(used, axis=0)) < len(numbers):
        return RawLabels(codes, _index_colours(len(numbers)), numbers=tuple(numbers.tolist()))
    if len(numbers) <= max_classes and "transparency" not in picture.info:
        return RawLabels(codes, used, ordered=True)
    rgba = np.asarray(picture.convert("RGBA"))
    return _from_rgb(np.where(rgba[:, :, 3:] >= 128, rgba[:, :, :3], np.uint8(255)))


def _names_in(picture: Image.Image) -> tuple[str, ...] | None:
    """Return the class names that :meth:`LabelMap.save` wrote, if the file has them and they are sound."""
    try:
        names = json.loads(picture.info.get(NAMES_KEY, "null"))
    except (TypeError, ValueError):
        return None  # another program's chunk of the same name
    sound = isinstance(names, list) and 1 <= len(names) <= 256 and all(isinstance(name, str) for name in names)
    return tuple(names) if sound and len(set(names)) == len(names) else None


def _from_rgb(rgb: npt.NDArray[np.uint8]) -> RawLabels:
    """Code the colours of ``(H, W, 3)``."""
    packed = rgb[:, :, 0].astype(np.intp) << 16 | rgb[:, :, 1].astype(np.intp) << 8 | rgb[:, :, 2]
    # A table of all 2^24 colours is a few times faster than sorting the pixels of a large file.
    code_of = np.zeros(1 << 24, dtype=np.int32)
    code_of[packed] = 1
    colours = np.flatnonzero(code_of)
    code_of[colours] = np.arange(len(colours))
    table = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8)
    return RawLabels(code_of[packed].astype(np.intp), table)


def _index_colours(count: int) -> Colours:
    """Return ``count`` different colours for classes that come without one."""
    more = [(37 * k % 256, 91 * k % 256, 151 * k % 256) for k in range(count - len(_INDEX_COLOURS))]
    return np.array([*_INDEX_COLOURS, *more][:count], dtype=np.uint8)
