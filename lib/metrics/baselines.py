"""Trivial competitors. A table that lacks them cannot say whether a network learned anything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

Mask = npt.NDArray[np.bool_]
Coordinates = npt.NDArray[np.float64]


def copy_source(image: Tensor, target: Tensor) -> Tensor:
    """The photo itself, whatever the target layout asks for: perfect appearance, no obedience.

    Args:
        image: (1, 3, h, w) in [-1, 1].
        target: one-hot target layout (1, K, H, W); only its size is used.
    """
    if image.shape[2:] == target.shape[2:]:
        return image.clone()
    return F.interpolate(image, size=target.shape[2:], mode="bilinear", align_corners=False, antialias=True)


def copy_paste(image: Tensor, layout: Tensor, target: Tensor) -> Tensor:
    """Cut out and paste: every target region is filled with source pixels of its class.

    Each connected region of the target is laid over the source region of the same class whose centre is
    nearest (small crumbs are skipped), box on box. A pixel that lands outside the class takes the nearest
    source pixel well inside it. Perfect obedience and real colours, but torn texture. A class without a pixel
    in the source keeps the photo's pixels.

    Args:
        image: (1, 3, h, w) in [-1, 1].
        layout: its one-hot layout (1, K, h, w).
        target: one-hot target layout (1, K, H, W).

    Returns:
        (1, 3, H, W), every pixel a pixel of the source.

    Raises:
        ValueError: the layout does not fit the photo, or the layouts differ in their number of classes.
    """
    if layout.shape[2:] != image.shape[2:]:
        raise ValueError(f"The layout {tuple(layout.shape)} does not fit the photo {tuple(image.shape)}.")
    if layout.shape[1] != target.shape[1]:
        raise ValueError(f"The layouts have {layout.shape[1]} and {target.shape[1]} classes; use one palette.")
    source_index, target_index = (t[0].argmax(dim=0).cpu().numpy() for t in (layout, target))
    height, width = target_index.shape
    rows = np.repeat(np.linspace(0, source_index.shape[0] - 1, height).round().astype(int)[:, None], width, 1)
    columns = np.repeat(np.linspace(0, source_index.shape[1] - 1, width).round().astype(int)[None], height, 0)
    for label in np.unique(target_index):
        inside = source_index == label
        if inside.any():
            _paste_class(inside, target_index == label, rows, columns)
    flat = torch.from_numpy((rows * source_index.shape[1] + columns).reshape(-1)).to(image.device)
    return image.flatten(2).index_select(2, flat).reshape(1, -1, height, width)


def _paste_class(source: Mask, target: Mask, rows: npt.NDArray[np.int_], columns: npt.NDArray[np.int_]) -> None:
    """Write into ``rows`` and ``columns`` the source pixel of every target pixel of one class."""
    # Pixels on the border are often mixed or mislabelled; repeated along a hole they would make a halo.
    core = ndimage.binary_erosion(source, iterations=2, border_value=1)
    known = core if core.any() else source
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    nearest = np.where(source, np.indices(source.shape), nearest)
    source_boxes, target_boxes = _region_boxes(source, crumbs=0.1), _region_boxes(target, crumbs=0.0)
    regions, _ = ndimage.label(target)
    for number, (low, high) in enumerate(target_boxes, start=1):
        ys, xs = np.nonzero(regions == number)
        centres = np.array([(a + b) / 2 for a, b in source_boxes])
        from_low, from_high = source_boxes[int(np.argmin(((centres - (low + high) / 2) ** 2).sum(axis=1)))]
        scale = (from_high - from_low) / np.maximum(high - low, 1)
        points = (np.stack([ys, xs]) - low[:, None]) * scale[:, None] + from_low[:, None]
        y, x = points.round().astype(int)
        rows[ys, xs], columns[ys, xs] = nearest[0][y, x], nearest[1][y, x]


def _region_boxes(mask: Mask, crumbs: float) -> list[tuple[Coordinates, Coordinates]]:
    """First and last pixel (y, x) of the connected regions, without those below ``crumbs`` of the largest."""
    regions, count = ndimage.label(mask)
    areas = ndimage.sum_labels(mask, regions, np.arange(1, count + 1))
    boxes = ndimage.find_objects(regions)
    return [
        (np.array([s.start for s in box], dtype=float), np.array([s.stop - 1 for s in box], dtype=float))
        for box, area in zip(boxes, areas, strict=True)
        if area >= crumbs * areas.max()
    ]
