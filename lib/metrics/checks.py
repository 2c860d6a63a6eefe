"""What every measure asks of its pictures before it gives a number."""

from __future__ import annotations

import torch
from torch import Tensor

_SLACK = 1e-3  # what rounding may add to a picture that was clamped


class MeasureError(ValueError):
    """A measure was given something that it cannot judge. The message says what and how to mend it."""


def check_images(images: Tensor, *, low: float = -1.0, high: float = 1.0, name: str = "images") -> Tensor:
    """Return the pictures as float32 after checking shape (B, 1 or 3, H, W) and range.

    A measure that got another range than it assumes still returns a number: that is why this is an error.

    Raises:
        MeasureError: another shape, whole numbers, NaN or infinity, or values outside [low, high].
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[0] == 0:
        raise MeasureError(f"The {name} must have shape (B, 1 or 3, H, W) with B >= 1, not {tuple(images.shape)}.")
    if not images.is_floating_point():
        raise MeasureError(f"The {name} hold {images.dtype}; scale them to floats in [{low:g}, {high:g}] first.")
    images = images.detach().float()
    least, most = (float(value) for value in torch.aminmax(images))
    if not (low - _SLACK <= least and most <= high + _SLACK):  # false for NaN too
        raise MeasureError(
            f"The {name} have values from {least:.3g} to {most:.3g}, outside [{low:g}, {high:g}]; "
            "clamp them, or scale them to that range."
        )
    return images


def as_rgb(images: Tensor) -> Tensor:
    """(B, 1 or 3, H, W) -> (B, 3, H, W); one channel is repeated."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def check_rows(rows: Tensor, least: int, name: str) -> Tensor:
    """Return feature vectors (N, D) in float64 after checking that there are enough of them.

    Raises:
        MeasureError: another shape, fewer than `least` vectors, or values that are not finite.
    """
    if rows.ndim != 2 or rows.shape[0] < least:
        raise MeasureError(f"The {name} must be at least {least} feature vectors (N, D), not {tuple(rows.shape)}.")
    rows = rows.detach()
    rows = (rows.cpu() if rows.device.type == "mps" else rows).double()  # Apple's GPUs have no float64
    if not bool(rows.isfinite().all()):
        raise MeasureError(f"The {name} hold NaN or infinity; look for a training that has diverged.")
    return rows
