"""Find the few true colours of a painted label map and give every pixel one of them.

A label map that went through a drawing program or JPEG has thousands of colours: edges are blended, flat
areas are slightly off. Two observations recover the classes. A class colour fills *solid areas*; a blend
never does. And a blended pixel belongs to a class that touches it: the brown line between red and green is
red or green, even if some other class is brown.

Colours are coded: ``codes (H, W)`` indexes the rows of ``table (C, 3)``, which holds 0..255.
"""

from __future__ import annotations

from itertools import combinations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Codes: TypeAlias = npt.NDArray[np.intp]
Colours: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]

FLAT = 20
"""Largest spread of a channel inside a 3x3 window that counts as one colour (JPEG leaves a few levels)."""
NEAR = 28.0
"""Colours closer than this (Euclidean distance of 0..255 channels) are one class, off by a brush or JPEG."""
BLEND = 24.0
"""A colour this close to the line between two others may be their blend."""
CRISP = 3.0
"""A pixel this close to its class colour counts as painted on purpose."""
MIN_SHARE = 0.001
"""A class in a map with blended colours needs solid areas that cover at least this share of the pixels."""
MIN_CORE = 9
"""...and at least this many solid pixels, which is a 5x5 square."""
MIN_CRISP_SHARE = 0.4
"""Below this share of crisp pixels the picture is a photo, not a label map."""


class LabelError(ValueError):
    """A label map cannot be used. The message says why and how to mend it."""


def find_class_colours(codes: Codes, table: Colours, *, max_classes: int) -> tuple[Codes, Codes]:
    """Return the rows of ``table`` that are class colours, largest area first, and each one's pixel count.

    Both arrays are ``(M,)``. Raises :class:`LabelError` for a photo and for more than ``max_classes``.
    """
    counts = np.bincount(codes.ravel(), minlength=len(table))
    core = np.bincount(codes[_solid(codes, table)], minlength=len(table))
    least = max(MIN_CORE, int(MIN_SHARE * codes.size))
    if len(table) <= max_classes:  # every colour may be a class: only those without any solid pixel are doubted
        rows, claimed = np.flatnonzero(counts), counts[counts > 0]
        doubtful = core[rows] == 0
        blend = _blends(table[rows], core[rows], doubtful)
        keep = ~(blend | (doubtful & (claimed < least))) if blend.any() else ~blend
    else:
        rows, claimed = _modes(table, core, limit=4 * max_classes)
        _refuse_photo(table, counts, rows[claimed >= least])
        # One exact colour stands out where someone painted; a soft brush or JPEG leaves a spread of them.
        doubtful = (claimed < 0.005 * codes.size) & (core[rows] < 0.5 * claimed)
        keep = (claimed >= least) & ~_blends(table[rows], claimed, doubtful)
    rows, claimed = rows[keep], claimed[keep]
    if len(rows) > max_classes:
        raise LabelError(
            f"The label map has {len(rows)} solid colours, more than max_classes={max_classes}; "
            "merge classes in the drawing or raise max_classes."
        )
    order = np.argsort(-claimed, kind="stable")
    return rows[order], claimed[order]


def assign(codes: Codes, table: Colours, colours: Colours) -> Codes:
    """Give each pixel the index of one of ``colours (M, 3)``; returns ``(H, W)``.

    Solid areas take their own colour. Every other pixel takes the nearest colour among the areas within two
    pixels of it, unless it shows a further class colour that is no blend of those areas, such as a thin line.
    """
    distance = np.linalg.norm(table[:, None].astype(np.float32) - colours[None].astype(np.float32), axis=2)  # (C, M)
    nearest: Codes = distance.argmin(axis=1)
    classes: Codes = nearest[codes]
    if not distance.min(axis=1).any():  # every colour is a class colour: nothing was blended
        return classes
    near = (distance.min(axis=1) <= NEAR)[codes]
    settled, present = _areas(classes, near, len(colours))
    if not settled.any():
        return classes
    ys, xs = np.nonzero(~settled)
    pixel_codes, around = codes[ys, xs], present[:, ys, xs].T  # (P,), (P, M)
    lonely = ~around.any(axis=1)
    if lonely.any():  # a wide blur: no area within reach, so take the two-pixel surroundings of the nearest one
        _, (near_y, near_x) = ndimage.distance_transform_edt(~settled, return_indices=True)
        around[lonely] = present[:, near_y[ys[lonely], xs[lonely]], near_x[ys[lonely], xs[lonely]]].T
    chosen = np.where(around, distance[pixel_codes], np.inf).argmin(axis=1)
    own = nearest[pixel_codes]
    other = near[ys, xs] & ~around[np.arange(len(own)), own]
    blend = _blend_of_surroundings(table[pixel_codes[other]], around[other], colours)
    keeps = np.flatnonzero(other)[~blend]
    chosen[keeps] = own[keeps]
    classes[ys, xs] = chosen
    return classes


def _solid(codes: Codes, table: Colours) -> Mask:
    """Pixels whose 3x3 neighbourhood is of one colour, up to ``FLAT`` levels."""
    solid = np.ones(codes.shape, dtype=np.bool_)
    for channel in range(3):
        values = table[:, channel][codes].astype(np.int16)
        solid &= ndimage.maximum_filter(values, 3) - ndimage.minimum_filter(values, 3) <= FLAT
    return solid


def _modes(table: Colours, core: Codes, *, limit: int) -> tuple[Codes, Codes]:
    """Pick well-separated frequent colours greedily, by the solid pixels within ``NEAR`` of each."""
    points = table.astype(np.float32)
    left = core.copy()
    rows: list[int] = []
    claimed: list[int] = []
    while left.any() and len(rows) < limit:
        # Single colours of a JPEG area are rare; 8-level bins find where they pile up.
        bins = np.ravel_multi_index(tuple((table // 8).astype(np.intp).T), (32, 32, 32))
        best_bin = np.bincount(bins, weights=left).argmax()
        row = int(np.where(bins == best_bin, left, -1).argmax())
        ball = np.linalg.norm(points - points[row], axis=1) <= NEAR
        rows.append(row)
        claimed.append(int(left[ball].sum()))
        left[ball] = 0
    return np.array(rows, dtype=np.intp), np.array(claimed, dtype=np.intp)


def _refuse_photo(table: Colours, counts: Codes, rows: Codes) -> None:
    crisp = 0.0
    if len(rows):
        points = table.astype(np.float32)
        distance = np.stack([np.linalg.norm(points - points[row], axis=1) for row in rows]).min(axis=0)
        crisp = float(counts[distance <= CRISP].sum() / counts.sum())
    if crisp < MIN_CRISP_SHARE:
        raise LabelError(
            f"This looks like a photo, not a label map: it has {len(table)} colours and only {crisp:.0%} of "
            "it is painted in solid areas; paint each region in one flat colour and save as PNG."
        )


def _blends(colours: Colours, size: Codes, doubtful: Mask) -> Mask:
    """Which doubtful ``colours (N, 3)`` lie between two others that fill more solid pixels."""
    points = colours.astype(np.float32)
    blend = np.zeros(len(points), dtype=np.bool_)
    for c in np.flatnonzero(doubtful):
        larger = np.flatnonzero(size > size[c])
        blend[c] = any(_between(points[[c]], points[a], points[b])[0] for a, b in combinations(larger, 2))
    return blend


def _between(points: npt.NDArray[np.float32], a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> Mask:
    """Which ``points (P, 3)`` lie within ``BLEND`` of the segment from ``a`` to ``b``, away from its ends."""
    along = b - a
    t = ((points - a) @ along) / max(float(along @ along), 1.0)
    foot = a + np.clip(t, 0, 1)[:, None] * along
    off_line: Mask = np.linalg.norm(points - foot, axis=1) <= BLEND
    inside: Mask = (t > 0) & (t < 1)
    return off_line & inside


def _areas(classes: Codes, near: Mask, count: int) -> tuple[Mask, Mask]:
    """Return the settled pixels ``(H, W)`` and which classes' areas lie within two pixels ``(M, H, W)``.

    An area is what survives a 3x3 morphological opening: lines of one or two pixels do not.
    """
    settled = np.zeros(classes.shape, dtype=np.bool_)
    present = np.zeros((count, *classes.shape), dtype=np.bool_)
    for c in range(count):
        mask = (classes == c) & near
        # border_value=1: a region that touches the image border goes on behind it.
        core = ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1)
        area = ndimage.binary_dilation(core, np.ones((3, 3))) & mask
        settled |= area
        present[c] = ndimage.maximum_filter(area, 5)
    return settled, present


def _blend_of_surroundings(points: Colours, around: Mask, colours: Colours) -> Mask:
    """Which ``points (P, 3)`` blend two of the classes ``around (P, M)`` them."""
    blend = np.zeros(len(points), dtype=np.bool_)
    values, ends = points.astype(np.float32), colours.astype(np.float32)
    for a, b in combinations(range(len(colours)), 2):
        blend |= around[:, a] & around[:, b] & _between(values, ends[a], ends[b])
    return blend
