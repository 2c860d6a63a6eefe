"""The three inputs that every competitor shares: a photo, its layout, and the layout to paint."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["PaintError", "check_inputs", "one_hot_layouts"]


class PaintError(ValueError):
    """A photo or layout cannot be painted from. The message says why and how to mend it."""


def check_inputs(photo: Tensor, layout: Tensor, target: Tensor, *, least: int = 1) -> None:
    """Raise unless a competitor can paint ``target`` from ``photo`` and ``layout``.

    Args:
        photo: (3, H, W) in [-1, 1], floating point.
        layout: (H, W) class indices, integers from 0.
        target: (H', W') class indices of the same palette; each of its classes stands in ``layout``.
        least: smallest side in pixels that the competitor can use.

    Raises:
        PaintError: something of the above does not hold.
    """
    if photo.ndim != 3 or photo.shape[0] != 3 or not photo.is_floating_point():
        raise PaintError(f"The photo must be floating point (3, H, W), got {photo.dtype} {tuple(photo.shape)}.")
    for name, labels in (("layout", layout), ("target", target)):
        if labels.ndim != 2 or labels.is_floating_point() or labels.dtype == torch.bool:
            raise PaintError(
                f"The {name} must hold class indices, whole numbers (height, width), "
                f"got {labels.dtype} {tuple(labels.shape)}."
            )
        if min(labels.shape) < least:
            raise PaintError(f"The {name} is {tuple(labels.shape)}; its sides must be at least {least} pixels.")
        if int(labels.min()) < 0:
            raise PaintError(f"The {name} holds the class {int(labels.min())}; number the classes from 0.")
    if layout.shape != photo.shape[1:]:
        raise PaintError(
            f"The layout {tuple(layout.shape)} does not fit the photo {tuple(photo.shape[1:])}; "
            "give both the same height and width."
        )
    if not bool(torch.isfinite(photo).all()):
        raise PaintError("The photo holds NaN or infinite values; read it again with read_image.")
    unknown = sorted(set(target.unique().tolist()) - set(layout.unique().tolist()))
    if unknown:
        raise PaintError(
            f"The target asks for the classes {unknown}, which the photo's layout does not show; "
            "use only classes that the photo has."
        )


def one_hot_layouts(layout: Tensor, target: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Both layouts as one-hot maps (1, K, H, W) with the same K, one more than the largest index of either."""
    classes = 1 + max(int(layout.max()), int(target.max()))
    first, second = (F.one_hot(labels.long(), classes).permute(2, 0, 1)[None].to(dtype) for labels in (layout, target))
    return first, second
