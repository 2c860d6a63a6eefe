"""Drawing with signed distances: shapes, soft edges, noise and a canvas that keeps the label map.

The picture is the square [-1, 1] x [-1, 1], x to the right and y down. A shape is its signed distance: negative
inside, zero on the outline, positive outside, in the same units. Distances compose (min is the union, max
the intersection), and the distance itself gives an edge that is exactly one pixel soft at any size.

All functions take coordinates ``x``, ``y`` of shape (B, H, W) or (1, H, W) and parameters of shape (B, 1, 1) or
plain numbers; everything broadcasts, nothing loops over pixels or pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Number = Tensor | float


def grid(size: int, *, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Pixel centres ``x``, ``y``, each (1, size, size), in (-1, 1)."""
    centres = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return x[None], y[None]


def column(value: Tensor) -> Tensor:
    """One number for each picture, (B,), as (B, 1, 1), so that it broadcasts over pixels."""
    return value.reshape(-1, 1, 1)


def turned(x: Tensor, y: Tensor, angle: Number, centre: tuple[Number, Number] = (0.0, 0.0)) -> tuple[Tensor, Tensor]:
    """Coordinates relative to `centre` in a frame turned by `angle` (radians, clockwise as y points down)."""
    angle = torch.as_tensor(angle, device=x.device)
    cos, sin = torch.cos(angle), torch.sin(angle)
    x, y = x - centre[0], y - centre[1]
    return cos * x + sin * y, cos * y - sin * x


def length(x: Tensor, y: Tensor) -> Tensor:
    """The length of (x, y); twice as fast as `torch.hypot`, which guards against overflow."""
    return (x * x + y * y).sqrt()


def circle(x: Tensor, y: Tensor, radius: Number) -> Tensor:
    """Signed distance to a circle round the origin."""
    return length(x, y) - radius


def ellipse(x: Tensor, y: Tensor, a: Number, b: Number, power: float = 2.0) -> Tensor:
    """Approximate distance to |x/a|^power + |y/b|^power = 1; exact on the outline, first order near it.

    The distance is (f - 1) / |grad f| for the norm f, so edges stay one pixel soft.
    """
    u, v = (x / a).abs() + 1e-6, (y / b).abs() + 1e-6
    norm = (u**power + v**power) ** (1 / power)
    scale = norm ** (1 - power)
    gradient = length(scale * u ** (power - 1) / a, scale * v ** (power - 1) / b)
    return (norm - 1) / gradient


def box(x: Tensor, y: Tensor, half_width: Number, half_height: Number, radius: Number = 0.0) -> Tensor:
    """Signed distance to a box round the origin with corners rounded by `radius`."""
    u, v = x.abs() - half_width + radius, y.abs() - half_height + radius
    outside = length(u.clamp(min=0), v.clamp(min=0))
    return outside + torch.maximum(u, v).clamp(max=0) - radius


def segment(x: Tensor, y: Tensor, a: tuple[Number, Number], b: tuple[Number, Number], radius: Number) -> Tensor:
    """Signed distance to the line from `a` to `b`, `radius` thick on each side, with round ends."""
    px, py = x - a[0], y - a[1]
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = ((px * dx + py * dy) / (dx * dx + dy * dy + 1e-12)).clamp(0, 1)
    return length(px - along * dx, py - along * dy) - radius


def polygon(x: Tensor, y: Tensor, corners: Sequence[tuple[Number, Number]]) -> Tensor:
    """Signed distance to a simple polygon, corners in order; one step for each edge."""
    distance: Tensor | None = None
    inside = torch.ones((), device=x.device)
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        edge = segment(x, y, (ax, ay), (bx, by), 0.0)
        distance = edge if distance is None else torch.minimum(distance, edge)
        crosses = (ay > y) != (by > y)
        left = x < ax + (y - ay) * (bx - ax) / (torch.as_tensor(by - ay, device=x.device) + 1e-12)
        inside = torch.where(crosses & left, -inside, inside)
    if distance is None:
        raise ValueError("A polygon needs corners.")
    return distance * inside


def smooth_union(a: Tensor, b: Tensor, width: Number) -> Tensor:
    """Union of two shapes with a fillet about `width` wide (polynomial smooth minimum)."""
    share = (0.5 + 0.5 * (b - a) / width).clamp(0, 1)
    return torch.lerp(b, a, share) - width * share * (1 - share)


def cover(distance: Tensor, pixel: float, soft: Number = 0.0) -> Tensor:
    """How much of a pixel the shape covers, in [0, 1]. `pixel` is 2 / size; `soft` blurs the edge further."""
    return (0.5 - distance / (pixel + soft)).clamp(0, 1)


def hashed(i: Tensor, j: Tensor, seed: Tensor) -> Tensor:
    """A repeatable number in [0, 1) for each lattice point (i, j) and seed; int64 in, float32 out.

    Integer mixing, so every device gives the same bits.
    """
    mask = 0xFFFFFFFF
    h = (i * 0x27D4EB2D + j * 0x165667B1 + seed * 0x9E3779B1) & mask
    h = ((h ^ (h >> 15)) * 0x2C1B3C6D) & mask
    h = ((h ^ (h >> 12)) * 0x297A2D39) & mask
    return ((h ^ (h >> 15)) >> 8).float() * (1 / 2**24)


def value_noise(x: Tensor, y: Tensor, seed: Tensor) -> Tensor:
    """Smooth noise in [0, 1] with one independent value at each integer point. `seed` is int64 (B, 1, 1)."""
    i, j = torch.floor(x), torch.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    i, j = i.long(), j.long()
    top = torch.lerp(hashed(i, j, seed), hashed(i + 1, j, seed), u)
    bottom = torch.lerp(hashed(i, j + 1, seed), hashed(i + 1, j + 1, seed), u)
    return torch.lerp(top, bottom, v)


def fractal_noise(x: Tensor, y: Tensor, seed: Tensor, octaves: int = 3) -> Tensor:
    """Sum of `octaves` of value noise, each twice as fine and half as strong; in [0, 1], mean 1/2."""
    total = torch.zeros((), device=x.device)
    for octave in range(octaves):
        total = total + value_noise(x * 2**octave, y * 2**octave, seed + 101 * octave) * 0.5**octave
    return total / (2 - 2.0 ** (1 - octaves))


class Canvas:
    """A picture under construction together with its label map; the last shape painted lies on top.

    Attributes:
        image: (B, 3, H, W) in [0, 1], linear in the painted colours.
        labels: (B, H, W) uint8, the class that owns more than half of the pixel.
    """

    def __init__(self, count: int, size: int, *, device: torch.device | str = "cpu") -> None:
        self.image = torch.zeros(count, 3, size, size, device=device)
        self.labels = torch.zeros(count, size, size, dtype=torch.uint8, device=device)

    def paint(self, coverage: Tensor, colour: Tensor, label: int | None = None) -> None:
        """Put `colour` where `coverage` is 1, blend where it is between.

        Args:
            coverage: (B, H, W) in [0, 1].
            colour: (B, 3), or (B, 3, H, W) for a shaded or textured one.
            label: the class of the covered pixels; None leaves the label map as it is (shade, freckles).
        """
        if colour.dim() == 2:
            colour = colour[:, :, None, None]
        self.image = torch.lerp(self.image, colour.expand_as(self.image), coverage[:, None].expand_as(self.image))
        if label is not None:
            inside = (coverage > 0.5).to(torch.uint8)
            self.labels = self.labels + inside * (label - self.labels)  # bytes wrap: three times as fast as where

    def shade(self, factor: Tensor) -> None:
        """Multiply the picture by `factor` (B, H, W): shadows, light, vignettes."""
        self.image = self.image * factor[:, None]

    def finished(self) -> dict[str, Tensor]:
        """``image`` in [-1, 1] and ``labels``."""
        return {"image": self.image.clamp(0, 1) * 2 - 1, "labels": self.labels}
