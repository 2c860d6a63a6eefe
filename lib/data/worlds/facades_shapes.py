"""Small shapes, steps and choices that all parts of a street front are drawn with."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.data.worlds.draw import Number, cover


def ramp(value: Tensor, low: Number, high: Number) -> Tensor:
    """A straight step: 0 below `low`, 1 above `high`."""
    return ((value - low) / (high - low)).clamp(0, 1)


def repeated(x: Tensor, period: Number) -> Tensor:
    """Signed offset from the nearest multiple of `period`."""
    return x - torch.round(x / period) * period


def stroke(offset: Tensor, half_width: Number, pixel: float) -> Tensor:
    """Coverage of a line: `offset` from its middle. A line thinner than a pixel is fainter, never thicker."""
    half = torch.as_tensor(half_width, device=offset.device)
    return torch.minimum(cover(offset.abs() - half, pixel), (2 * half / pixel).clamp(max=1))


# A select on a mask that varies from pixel to pixel costs many times an addition on a CPU, so masks are floats
# here and choices are sums.


def only(distance: Tensor, there: Tensor) -> Tensor:
    """The shape where `there` is 1; nothing where it is 0."""
    return distance + (1 - there) * 9


def either(mask: Tensor, a: Number, b: Number) -> Tensor:
    """`a` where the mask is 1, `b` where it is 0."""
    return b + mask * (a - b)


def less(a: Number, b: Number) -> Tensor:
    """1 where a < b, else 0, as floats; a difference below 1e-9 counts as none."""
    return (torch.as_tensor(b - a) * 1e9).clamp(0, 1)


def rectangle(u: Tensor, v: Tensor, half_width: Number, half_height: Number) -> Tensor:
    """A box with square corners round the origin; negative inside, as a signed distance."""
    return torch.maximum(u.abs() - half_width, v.abs() - half_height)
