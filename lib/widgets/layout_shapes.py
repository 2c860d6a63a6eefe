"""The pixels that a brush, a shape, a flood or a moved region covers: masks (H, W), from whole numbers alone.

``layout_editor/layout_core.mjs`` computes the same masks in the browser, where the hand cannot wait for Python.
Both use only arithmetic that is exact in double precision, so that they agree pixel for pixel on every machine.
A point is (x, y): column and row of a pixel, which may lie outside the map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["Index", "Mask", "Point", "brushed", "ellipse", "flood", "healed", "moved", "polygon", "rectangle", "region"]

Index: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]
Point: TypeAlias = tuple[int, int]
Size: TypeAlias = tuple[int, int]

GRID = 65536
"""Entries of a rotation are rounded to this fraction; products with pixel positions are then exact."""


def brushed(size: Size, points: Sequence[Point], radius: int, *, square: bool = False) -> Mask:
    """What a brush covers that is drawn along a polyline.

    Args:
        size: (H, W).
        points: one or more.
        radius: 0 is a single pixel; a disc holds the pixels with distance^2 <= radius^2 + radius.
        square: a square of side 2 radius + 1 instead of the disc.
    """
    mask = np.zeros(size, dtype=np.bool_)
    line = _polyline(points)
    low, high = line.min(axis=0) - radius, line.max(axis=0) + radius + 1
    left, top = int(low[0]), int(low[1])
    canvas = np.ones((int(high[1]) - top, int(high[0]) - left), dtype=np.bool_)  # False on the line
    canvas[line[:, 1] - top, line[:, 0] - left] = False
    if square:
        covered = ~canvas if radius == 0 else ndimage.maximum_filter(~canvas, 2 * radius + 1)
    else:
        far = ndimage.distance_transform_edt(canvas)
        covered = far * far <= radius * radius + radius + 0.5
    _lay(mask, covered, left, top)
    return mask


def rectangle(size: Size, box: tuple[int, int, int, int]) -> Mask:
    """The pixels from (x0, y0) to (x1, y1), both included, in either order."""
    x0, y0, x1, y1 = _ordered(box)
    mask = np.zeros(size, dtype=np.bool_)
    mask[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = True
    return mask


def ellipse(size: Size, box: tuple[int, int, int, int]) -> Mask:
    """The ellipse that touches the sides of a rectangle."""
    x0, y0, x1, y1 = _ordered(box)
    width, height = x1 - x0 + 1, y1 - y0 + 1
    across = (2 * np.arange(size[1], dtype=np.int64) - (x0 + x1)) * height
    down = (2 * np.arange(size[0], dtype=np.int64) - (y0 + y1)) * width
    mask: Mask = across[None] ** 2 + down[:, None] ** 2 <= (width * height) ** 2
    return mask


def polygon(size: Size, points: Sequence[Point]) -> Mask:
    """The inside of a closed polygon by the even-odd rule, and its outline."""
    mask = np.zeros(size, dtype=np.bool_)
    columns = np.arange(size[1], dtype=np.float64)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        top, bottom = max(min(y0, y1), 0), min(max(y0, y1), size[0])
        if top < bottom:
            rows = np.arange(top, bottom, dtype=np.float64)
            crossing = x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
            mask[top:bottom] ^= columns[None] < crossing[:, None]
    return mask | brushed(size, [*points, points[0]], 0)


def flood(index: Index, at: Point) -> Mask:
    """The connected region (four neighbours) of one class round a pixel of the map."""
    labelled, _ = ndimage.label(index == index[at[1], at[0]])
    mask: Mask = labelled == labelled[at[1], at[0]]
    return mask


def region(index: Index, at: Sequence[Point], *, inside: bool) -> Mask:
    """The union of the regions round some pixels; with ``inside`` also everything that they enclose."""
    mask = np.zeros(index.shape, dtype=np.bool_)
    for point in at:
        mask |= flood(index, point)
    if inside:
        mask = ndimage.binary_fill_holes(mask)
    return mask


def healed(index: Index, hole: Mask) -> Index:
    """The map with each pixel of the hole in the class of the nearest pixel outside; ties go to the lower class.

    A hole that covers the whole map stays as it is.
    """
    result = index.copy()
    if hole.all() or not hole.any():
        return result
    # The nearest pixel outside lies within the hole's box, grown by one pixel.
    window = _box(hole, grow=1)
    labels, holes = index[window], hole[window]
    nearest = np.full(labels.shape, np.inf)
    chosen = labels.copy()
    for number in np.unique(labels[~holes]):
        far = ndimage.distance_transform_edt(holes | (labels != number))
        closer = holes & (np.rint(far * far) < nearest)
        chosen[closer] = number
        nearest[closer] = np.rint(far * far)[closer]
    result[window] = chosen
    return result


def moved(
    index: Index, mask: Mask, onto: Index, *, dx: int, dy: int, scale: float, angle: float, flip: tuple[bool, bool]
) -> Index:
    """The map ``onto`` with the masked part of ``index`` laid over it, moved, scaled, turned and mirrored.

    Args:
        dx, dy: move in pixels.
        scale: factor about the centre of the part's box.
        angle: degrees clockwise about that centre.
        flip: left-right, top-bottom; before the turn.
    """
    if not mask.any():
        return onto
    rows, columns = np.nonzero(mask)
    cx = (int(columns.min()) + int(columns.max())) / 2
    cy = (int(rows.min()) + int(rows.max())) / 2
    along, across = (_on_grid(f(math.radians(angle)) / scale) for f in (math.cos, math.sin))
    u = np.arange(index.shape[1])[None] - cx - dx
    v = np.arange(index.shape[0])[:, None] - cy - dy
    x = np.floor((-1 if flip[0] else 1) * (along * u + across * v) + cx + 0.5).astype(np.intp)
    y = np.floor((-1 if flip[1] else 1) * (along * v - across * u) + cy + 0.5).astype(np.intp)
    there = (x >= 0) & (y >= 0) & (x < index.shape[1]) & (y < index.shape[0])
    there[there] = mask[y[there], x[there]]
    result = onto.copy()
    result[there] = index[y[there], x[there]]
    return result


def _on_grid(value: float) -> float:
    return math.floor(value * GRID + 0.5) / GRID


def _polyline(points: Sequence[Point]) -> npt.NDArray[np.int64]:
    """Every pixel (N, 2) of the lines between the points: as many steps as the longer side has."""
    corners = np.asarray(points, dtype=np.int64).reshape(-1, 2)
    step = np.diff(corners, axis=0)
    count = np.abs(step).max(axis=1, initial=0)
    start, step, steps = (np.repeat(a, count, axis=0) for a in (corners[:-1], step, count[:, None]))
    place = np.arange(len(start))[:, None] - np.repeat(np.cumsum(count) - count, count)[:, None]
    # floor(i d / n + 1/2) in whole numbers
    walked = start + (2 * place * step + steps) // np.maximum(2 * steps, 1)
    line: npt.NDArray[np.int64] = np.concatenate([walked, corners[-1:]])
    return line


def _lay(mask: Mask, covered: Mask, left: int, top: int) -> None:
    """Copy ``covered`` into ``mask`` with its corner at (left, top), as far as it lies inside."""
    height, width = mask.shape
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + covered.shape[0], height), min(left + covered.shape[1], width)
    if y0 < y1 and x0 < x1:
        mask[y0:y1, x0:x1] = covered[y0 - top : y1 - top, x0 - left : x1 - left]


def _box(mask: Mask, *, grow: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = max(int(rows[0]) - grow, 0), max(int(columns[0]) - grow, 0)
    return slice(top, int(rows[-1]) + 1 + grow), slice(left, int(columns[-1]) + 1 + grow)


def _ordered(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
