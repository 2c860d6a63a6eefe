"""Label maps: class indices with a palette, read from whatever a drawing program saved.

A :class:`LabelMap` is exact: one class index a pixel, one colour a class. :func:`read_label_map` makes one
from an indexed PNG, a colour PNG with soft edges, an RGBA layer or a JPEG; :func:`read_layouts` reads a
source layout and its targets with one shared palette.
"""

from __future__ import annotations

import io
import json
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from lib.images import ImageSource, describe_source, write_atomically
from lib.label_files import NAMES_KEY, Colour, RawLabels, decode
from lib.snapping import NEAR, Codes, Colours, LabelError, assign, find_class_colours

__all__ = [
    "DISTINCT_COLOURS",
    "LabelError",
    "LabelMap",
    "LabelReport",
    "Palette",
    "inspect_label_map",
    "read_label_map",
    "read_layouts",
]

LabelSource: TypeAlias = "ImageSource | LabelMap"

MATCH = 80.0
"""A target colour this close to a source class (Euclidean) is that class, painted slightly off."""
WARN_SHARE = 0.001
"""Snapping that changes more than this share of the pixels is worth a warning."""

_SINGLE = "The label map has a single class; paint at least two regions in different colours."
_BASIC: dict[str, Colour] = {
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "red": (255, 0, 0),
    "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0), "cyan": (0, 255, 255),
    "magenta": (255, 0, 255), "orange": (255, 147, 0), "brown": (139, 69, 19), "purple": (128, 0, 128),
    "pink": (255, 170, 190), "teal": (0, 128, 128), "dark green": (0, 128, 0), "dark red": (128, 0, 0),
    "navy": (0, 0, 128), "olive": (128, 128, 0), "sky blue": (90, 160, 255),
}  # fmt: skip


DISTINCT_COLOURS: tuple[Colour, ...] = (
    (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 62, 128), (213, 94, 0),
    (204, 121, 167), (255, 255, 255), (136, 0, 238), (119, 34, 0), (170, 255, 153), (85, 68, 85), (153, 119, 255),
    (68, 0, 153), (221, 34, 68),
)  # fmt: skip
"""For classes without a colour of their own; Okabe and Ito's, which colour-blind readers see apart, come first."""


@dataclass(frozen=True)
class Palette:
    """The classes of a label map: ``K`` names and ``K`` different colours, each channel in 0..255."""

    names: tuple[str, ...]
    colours: tuple[Colour, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) == len(self.colours) <= 256:
            raise LabelError(
                f"A palette needs as many names as colours, 1 to 256; got {len(self.names)} names and "
                f"{len(self.colours)} colours."
            )
        if any(len(colour) != 3 or not all(0 <= v <= 255 for v in colour) for colour in self.colours):
            raise LabelError("A palette colour is three whole numbers from 0 to 255.")
        if len(set(self.colours)) < len(self.colours) or len(set(self.names)) < len(self.names):
            raise LabelError("Two classes of the palette share a name or a colour; give each class its own.")

    def __len__(self) -> int:
        return len(self.names)

    def as_array(self) -> Colours:
        """Return the colours as ``(K, 3)`` uint8."""
        return np.array(self.colours, dtype=np.uint8).reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """One class index a pixel: ``index (H, W)`` is read-only uint8 with values below ``len(palette)``."""

    index: npt.NDArray[np.uint8]
    palette: Palette

    def __post_init__(self) -> None:
        index = np.array(self.index)
        if index.ndim != 2 or index.size == 0 or not np.issubdtype(index.dtype, np.integer):
            raise LabelError(f"A label map is a whole-number array (H, W), got {index.dtype} {index.shape}.")
        if index.min() < 0 or index.max() >= len(self.palette):
            raise LabelError(
                f"The label map holds the classes {index.min()} to {index.max()}, but the palette has only "
                f"0 to {len(self.palette) - 1}; add the missing classes to the palette."
            )
        index = index.astype(np.uint8)
        index.setflags(write=False)
        object.__setattr__(self, "index", index)

    @property
    def height(self) -> int:
        """Rows in pixels."""
        return int(self.index.shape[0])

    @property
    def width(self) -> int:
        """Columns in pixels."""
        return int(self.index.shape[1])

    @property
    def classes(self) -> int:
        """``K``, the number of classes in the palette; some may have no pixel here."""
        return len(self.palette)

    def shares(self) -> tuple[float, ...]:
        """Return the part of the pixels each class covers, ``K`` numbers that add up to 1."""
        counts = np.bincount(self.index.ravel(), minlength=self.classes)
        return tuple(float(count) for count in counts / self.index.size)

    def one_hot(self, device: torch.device | str | None = None) -> Tensor:
        """Return ``(1, K, H, W)`` float32, one where the pixel is of the class."""
        index = torch.tensor(self.index, device=device)
        classes = torch.arange(self.classes, dtype=index.dtype, device=device)
        return (index == classes[:, None, None])[None].float()

    def resized(self, height: int, width: int) -> LabelMap:
        """Return the map at another size: each new pixel takes the class under its centre (nearest)."""
        if min(height, width) < 1:
            raise LabelError(f"A label map cannot be resized to {height}x{width}; both sides must be at least 1.")
        rows = ((np.arange(height) + 0.5) * self.height / height).astype(np.intp)
        columns = ((np.arange(width) + 0.5) * self.width / width).astype(np.intp)
        return LabelMap(self.index[rows[:, None], columns], self.palette)

    def require_size(self, height: int, width: int, owner: str = "the photo") -> None:
        """Raise :class:`LabelError` unless the map has exactly the size of ``owner``."""
        if (self.height, self.width) != (height, width):
            raise LabelError(
                f"The label map is {self.width}x{self.height} pixels but {owner} is {width}x{height}; "
                f"pass size=({height}, {width}) to resize it, or export both at one size."
            )

    def to_pil(self) -> Image.Image:
        """Return the map as an indexed image (mode ``P``)."""
        picture = Image.fromarray(np.array(self.index))
        picture.putpalette(self.palette.as_array().tobytes())
        return picture

    def to_rgb(self) -> Tensor:
        """Return the map in its palette's colours, ``(3, H, W)`` in ``[-1, 1]``."""
        rgb = self.palette.as_array()[self.index].astype(np.float32)
        return torch.from_numpy(rgb.transpose(2, 0, 1) / np.float32(127.5) - 1).contiguous()

    def to_png(self) -> bytes:
        """Return an indexed PNG with the class names in a text chunk; it reads back exactly."""
        chunk = PngImagePlugin.PngInfo()
        chunk.add_text(NAMES_KEY, json.dumps(self.palette.names))  # ASCII: tEXt holds no other alphabets
        buffer = io.BytesIO()
        self.to_pil().save(buffer, format="PNG", pnginfo=chunk, optimize=True)
        return buffer.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`to_png` to a file, all or nothing."""
        write_atomically(path, self.to_png())


@dataclass(frozen=True)
class LabelReport:
    """What a reader found: raw colours, the classes kept with their shares, and the pixels snapped."""

    raw_colours: int
    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    shares: tuple[float, ...]
    snapped: int
    pixels: int

    @property
    def snapped_share(self) -> float:
        """Part of the pixels whose colour was not exactly that of their class."""
        return self.snapped / self.pixels

    def __str__(self) -> str:
        kept = ", ".join(f"{name} {share:.1%}" for name, share in zip(self.names, self.shares, strict=True))
        return (
            f"{self.raw_colours} raw colours -> {len(self.names)} classes ({kept}); "
            f"{self.snapped} of {self.pixels} pixels snapped ({self.snapped_share:.2%})"
        )


# ---------------------------------------------------------------------------------------------- reading


def read_label_map(
    source: LabelSource,
    *,
    palette: Palette | None = None,
    size: tuple[int, int] | None = None,
    max_classes: int = 16,
) -> LabelMap:
    """Read a label map, snapping blended and compressed colours to the few true classes.

    ``palette`` reads the file as a *target*: its colours must be those of the palette, or close to them.
    ``size`` is ``(height, width)`` to resize to (nearest). Warns once if snapping changed more than 0.1 % of
    the pixels. Raises :class:`LabelError` for a photo, a single class without a palette, too many classes or
    a class that the palette lacks, and :class:`lib.images.ImageError` for a file that is no image.
    """
    return _read_and_warn(source, palette, size, max_classes)


def inspect_label_map(source: LabelSource, *, palette: Palette | None = None, max_classes: int = 16) -> LabelReport:
    """Report what :func:`read_label_map` finds and changes, without a warning."""
    return _read(source, palette, max_classes)[1]


def read_layouts(
    source: LabelSource,
    targets: Sequence[LabelSource],
    *,
    size: tuple[int, int] | None = None,
    max_classes: int = 16,
) -> tuple[LabelMap, list[LabelMap]]:
    """Read a source layout and its targets with the palette found on the source.

    Raises :class:`LabelError` if a class of the source has no pixel (nothing could be learned for it), or if
    the sizes differ and ``size=(height, width)`` does not ask for a resize.
    """
    layout = _read_and_warn(source, None, size, max_classes)
    if layout.classes < 2:
        raise LabelError(_SINGLE)
    empty = [name for name, share in zip(layout.palette.names, layout.shares(), strict=True) if share == 0]
    if empty:
        raise LabelError(
            f"The class '{empty[0]}' has no pixel in the source layout, so nothing can be learned for it; "
            "paint it there or remove it from the palette."
        )
    read = [_read_and_warn(target, layout.palette, size, max_classes) for target in targets]
    for target in read:
        target.require_size(layout.height, layout.width, owner="the source layout")
    return layout, read


def _read_and_warn(
    source: LabelSource, palette: Palette | None, size: tuple[int, int] | None, max_classes: int
) -> LabelMap:
    layout, report = _read(source, palette, max_classes)
    if report.snapped_share > WARN_SHARE:
        # Level 3 is whoever called the public reader.
        warnings.warn(f"{describe_source(source)} was cleaned as a label map: {report}.", stacklevel=3)
    return layout if size is None else layout.resized(*size)


def _read(source: LabelSource, palette: Palette | None, max_classes: int) -> tuple[LabelMap, LabelReport]:
    names = palette.names if palette else ()
    known = [int(name.removeprefix("class ")) for name in names if re.fullmatch(r"class \d+", name)]
    raw = _from_label_map(source) if isinstance(source, LabelMap) else decode(source, max_classes, known)
    try:
        layout = _as_source(raw, max_classes) if palette is None else _as_target(raw, palette, max_classes)
    except LabelError as error:
        if isinstance(source, str | os.PathLike):
            raise LabelError(f"'{Path(source).name}': {error}") from error
        raise
    by_colour = raw.names is None and raw.numbers is None
    changed = (raw.table[raw.codes] != layout.palette.as_array()[layout.index]).any(axis=2) & by_colour
    report = LabelReport(
        raw_colours=len(raw.table),
        names=layout.palette.names,
        colours=layout.palette.colours,
        shares=layout.shares(),
        snapped=int(changed.sum()),
        pixels=layout.index.size,
    )
    return layout, report


def _from_label_map(layout: LabelMap) -> RawLabels:
    return RawLabels(layout.index.astype(np.intp), layout.palette.as_array(), names=layout.palette.names)


# -------------------------------------------------------------------------------------- classes of a map


def _as_source(raw: RawLabels, max_classes: int) -> LabelMap:
    """Take the classes from the map itself."""
    if raw.names is not None:
        return _checked(raw.codes, raw.names, raw.table)
    if raw.numbers is not None:
        if len(raw.numbers) < 2:
            raise LabelError(_SINGLE)
        return _checked(raw.codes, tuple(f"class {number}" for number in raw.numbers), raw.table)
    rows, _ = find_class_colours(raw.codes, raw.table, max_classes=max_classes)
    rows = np.sort(rows) if raw.ordered else rows
    if len(rows) < 2:
        raise LabelError(_SINGLE)
    colours = raw.table[rows]
    return _checked(assign(raw.codes, raw.table, colours), _colour_names(colours), colours)


def _as_target(raw: RawLabels, palette: Palette, max_classes: int) -> LabelMap:
    """Read the map with the classes of ``palette``, by name, by number or by colour."""
    if raw.names is not None and set(raw.names) <= set(palette.names):
        to_class = np.array([palette.names.index(name) for name in raw.names], dtype=np.intp)
        return LabelMap(to_class[raw.codes].astype(np.uint8), palette)
    if raw.numbers is not None:
        return LabelMap(_classes_of_numbers(raw, raw.numbers, palette)[raw.codes].astype(np.uint8), palette)
    rows, claimed = find_class_colours(raw.codes, raw.table, max_classes=max(max_classes, len(palette)))
    to_class = _match(raw.table[rows], claimed / raw.codes.size, palette)
    # Classes too small here to have solid areas of their own may still be painted as thin lines.
    rest = np.setdiff1d(np.arange(len(palette)), to_class)
    colours = np.concatenate([raw.table[rows], palette.as_array()[rest]])
    classes = np.concatenate([to_class, rest])[assign(raw.codes, raw.table, colours)]
    return LabelMap(classes.astype(np.uint8), palette)


def _classes_of_numbers(raw: RawLabels, numbers: tuple[int, ...], palette: Palette) -> npt.NDArray[np.intp]:
    classes = []
    for code, number in enumerate(numbers):
        if f"class {number}" in palette.names:
            classes.append(palette.names.index(f"class {number}"))
        elif number < len(palette):
            classes.append(number)
        else:
            raise LabelError(
                f"Label unseen in the source: index {number} covers {np.mean(raw.codes == code):.1%} of the "
                f"target; the source has the classes 0 to {len(palette) - 1}; repaint it with one of those."
            )
    return np.array(classes, dtype=np.intp)


def _match(colours: Colours, shares: npt.NDArray[np.float64], palette: Palette) -> npt.NDArray[np.intp]:
    """Return the class of each of ``colours (M, 3)``: the nearest, if it is near and clearly the nearest."""
    difference = colours[:, None].astype(np.float32) - palette.as_array()[None]
    distance = np.linalg.norm(difference, axis=2)  # (M, K)
    first, second = np.sort(np.pad(distance, ((0, 0), (0, 1)), constant_values=1e3), axis=1).T[:2]
    unseen = np.flatnonzero((first > MATCH) | ((first > NEAR / 2) & (first > second / 2)))
    if len(unseen):
        known = ", ".join(f"{name} {colour}" for name, colour in zip(palette.names, palette.colours, strict=True))
        colour = tuple(colours[unseen[0]].tolist())
        raise LabelError(
            f"Label unseen in the source: colour {colour} covers {shares[unseen[0]]:.1%} of the target; "
            f"repaint it in a colour of the source ({known}), or paint that class in the source too."
        )
    nearest: npt.NDArray[np.intp] = distance.argmin(axis=1)
    return nearest


def _checked(classes: Codes, names: tuple[str, ...], colours: Colours) -> LabelMap:
    palette = Palette(names, tuple((int(r), int(g), int(b)) for r, g, b in colours))
    return LabelMap(classes.astype(np.uint8), palette)


def _colour_names(colours: Colours) -> tuple[str, ...]:
    """Name each of ``colours (K, 3)`` after the nearest basic colour; repeats are numbered."""
    basic = np.array(list(_BASIC.values()), dtype=np.float32)
    names: list[str] = []
    for colour in colours:
        name = list(_BASIC)[int(np.linalg.norm(basic - colour, axis=1).argmin())]
        taken = sum(other.rstrip(" 0123456789") == name for other in names)
        names.append(f"{name} {taken + 1}" if taken else name)
    return tuple(names)
