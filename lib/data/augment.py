"""Joint augmentation of a photo and its layout: one random grid warps both, in batch and on the device.

A single photo becomes a data set of (photo, layout) pairs. The image is sampled bilinearly, the labels by
nearest neighbour, because a blend of two labels is a third label that nobody drew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class WarpConfig:
    """Ranges of the random warp at strength 1; at strength 0 every range is empty.

    Raises:
        ValueError: a range is impossible, e.g. a zoom below 1.
    """

    zoom: float = 1.5  # largest magnification; drawn log-uniformly from [1/zoom, zoom], so in and out alike
    stretch: float = 1.2  # largest anisotropic stretch of x against y, log-uniform in [1/stretch, stretch]
    shift: float = 0.15  # largest translation, as a fraction of each side
    rotation: float = 8.0  # largest rotation, degrees
    flip: float = 0.5  # probability of a left-right mirror
    tps: float = 0.3  # largest move of a thin-plate control point, in units of the control spacing
    tps_points: int = 4  # control points per side

    def __post_init__(self) -> None:
        if self.zoom < 1 or self.stretch < 1:
            raise ValueError(f"zoom and stretch are ratios >= 1, got {self.zoom} and {self.stretch}.")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip is a probability in [0, 1], got {self.flip}.")
        if self.shift < 0 or self.rotation < 0:
            raise ValueError(f"shift and rotation must be >= 0, got {self.shift} and {self.rotation}.")
        if not 0 <= self.tps <= 0.4:  # at 0.5 two neighbouring control points can meet
            raise ValueError(f"tps must be in [0, 0.4], or the picture folds over; got {self.tps}.")
        if self.tps_points < 2:
            raise ValueError(f"tps_points must be at least 2 per side, got {self.tps_points}.")


def random_grid(
    batch: int,
    height: int,
    width: int,
    strength: float,
    config: WarpConfig | None = None,
    *,
    generator: torch.Generator,
    device: torch.device | str | None = None,
) -> Tensor:
    """Random sampling grids: where each output pixel looks in the input.

        grid(p) = flip * R(theta) * diag(scale) * (p + tps(p)) + shift

    Coordinates run over [-1, 1] from edge to edge of the image (``align_corners=False``). The rotation acts
    in pixel units, so a rotated square stays a square on a wide image.

    Args:
        batch, height, width: shape of the output.
        strength: in [0, 1]; scales every range of ``config``. At 0 the grid is exactly the identity.
        config: ranges at full strength; the default ``WarpConfig()``.
        generator: the only source of randomness; it may live on the CPU or on the device.
        device: where the grid is needed; the generator's device by default.

    Returns:
        (B, H, W, 2) float32, last axis (x, y), for ``warp_image`` and ``warp_layout``.

    Raises:
        ValueError: strength outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be in [0, 1], got {strength}.")
    config = config or WarpConfig()
    home = generator.device
    target = torch.device(device) if device is not None else home

    def uniform(*shape: int) -> Tensor:  # in [-1, 1)
        return (2 * torch.rand(*shape, generator=generator, device=home) - 1).to(target)

    matrix = _affine(uniform(batch, 3), uniform(batch), strength, config, width / height)
    shift = 2 * config.shift * strength * uniform(batch, 1, 2)
    spacing = 2 / (config.tps_points - 1)
    moves = config.tps * strength * spacing * uniform(batch, config.tps_points**2, 2)
    points = identity_grid(height, width, target).reshape(1, -1, 2) + tps_displacement(moves, height, width)
    # Sum of products instead of matmul: exact at the identity, and never rounded to TF32 or bf16.
    moved = (points.unsqueeze(-2) * matrix.unsqueeze(1)).sum(dim=-1) + shift  # (B, HW, 2)
    return moved.reshape(batch, height, width, 2)


def warp_image(image: Tensor, grid: Tensor, *, mode: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """Sample an image at a grid; outside, the image is reflected at its edges.

    Args:
        image: (B, C, H, W) floating point, or (1, C, H, W) shared by the batch of grids.
        grid: (B, h, w, 2) from ``random_grid``; differentiable.
        mode: ``bilinear`` stays in the range of the input; ``bicubic`` is sharper and is clamped to it.

    Returns:
        (B, C, h, w), dtype of ``image``.
    """
    low_high = image.detach().aminmax() if mode == "bicubic" else None
    out = _sample(image, grid, mode)
    return out if low_high is None else out.clamp(low_high.min, low_high.max)


def warp_layout(one_hot: Tensor, grid: Tensor) -> Tensor:
    """Sample a one-hot layout (B or 1, K, H, W) by nearest neighbour; the result is one-hot again."""
    return _sample(one_hot, grid, "nearest")


def identity_grid(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Centres of the pixels in [-1, 1] coordinates: (H, W, 2), last axis (x, y)."""
    ys = (2 * torch.arange(height, device=device, dtype=torch.float32) + 1) / height - 1
    xs = (2 * torch.arange(width, device=device, dtype=torch.float32) + 1) / width - 1
    return torch.stack(torch.meshgrid(ys, xs, indexing="ij")[::-1], dim=-1)


def tps_displacement(moves: Tensor, height: int, width: int) -> Tensor:
    """Thin-plate spline through given moves of an n x n control grid that spans the image.

    The spline is the smoothest field (least bending energy) that moves every control point as told. It is
    linear in the moves, so one matrix, computed in closed form, serves the whole batch.

    Args:
        moves: (B, n*n, 2), the move (x, y) of each control point in [-1, 1] coordinates, row-major.
        height, width: size of the image.

    Returns:
        (B, H*W, 2), the move of each pixel.

    Raises:
        ValueError: the number of control points is not a square.
    """
    points = math.isqrt(moves.shape[1])
    if points**2 != moves.shape[1]:
        raise ValueError(f"The control grid must be square, got {moves.shape[1]} points.")
    basis = _tps_basis(height, width, points).to(moves.device)
    with torch.autocast(moves.device.type, enabled=False):
        return torch.einsum("pc,bcx->bpx", basis, moves.float())


def jacobian_determinant(grid: Tensor) -> Tensor:
    """Area magnification of a grid, by finite differences; a fold-over is where its sign changes.

    Args:
        grid: (B, H, W, 2).

    Returns:
        (B, H-1, W-1), 1 for the identity, negative for a mirrored picture.
    """
    height, width = grid.shape[1:3]
    dx = (grid[:, :-1, 1:] - grid[:, :-1, :-1]) * (width / 2)
    dy = (grid[:, 1:, :-1] - grid[:, :-1, :-1]) * (height / 2)
    return dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]


def _affine(u: Tensor, coin: Tensor, strength: float, config: WarpConfig, aspect: float) -> Tensor:
    """(B, 2, 2) matrices; in [-1, 1): ``u`` (B, 3) for zoom, stretch, rotation; ``coin`` (B,) to flip."""
    zoom = torch.exp(-math.log(config.zoom) * strength * u[:, 0])  # a grid that shrinks magnifies the picture
    stretch = torch.exp(0.5 * math.log(config.stretch) * strength * u[:, 1])
    angle = math.radians(config.rotation) * strength * u[:, 2]
    mirror = torch.where(0.5 * (coin + 1) < config.flip * strength, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    sx, sy = zoom * stretch, zoom / stretch
    # x is measured in half widths and y in half heights; the aspect ratio turns both into pixels and back.
    row_x = torch.stack([mirror * cos * sx, -mirror * sin * sy / aspect], dim=-1)
    row_y = torch.stack([sin * sx * aspect, cos * sy], dim=-1)
    return torch.stack([row_x, row_y], dim=1)


@lru_cache(maxsize=32)
def _tps_basis(height: int, width: int, points: int) -> Tensor:
    """(H*W, n*n): how much each pixel follows each control point. Solved once, in float64, on the CPU."""
    side = torch.linspace(-1, 1, points, dtype=torch.float64)
    control = torch.stack(torch.meshgrid(side, side, indexing="ij")[::-1], dim=-1).reshape(-1, 2)
    count = points**2
    system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
    system[:count, :count] = _tps_kernel(control, control)
    system[:count, count:] = _affine_terms(control)
    system[count:, :count] = _affine_terms(control).T
    unit_moves = torch.eye(count + 3, count, dtype=torch.float64)  # right-hand sides
    weights = torch.linalg.solve(system, unit_moves)
    pixels = identity_grid(height, width).double().reshape(-1, 2)
    basis: Tensor = torch.cat([_tps_kernel(pixels, control), _affine_terms(pixels)], dim=1) @ weights
    return basis.float()


def _tps_kernel(a: Tensor, b: Tensor) -> Tensor:
    """U(r) = r^2 log r^2, the fundamental solution of the biharmonic equation, with U(0) = 0."""
    squared = (a[:, None] - b[None]).square().sum(dim=-1)
    return torch.xlogy(squared, squared)


def _affine_terms(points: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(points[:, :1]), points], dim=1)


def _sample(image: Tensor, grid: Tensor, mode: str) -> Tensor:
    if image.ndim != 4 or grid.ndim != 4 or grid.shape[-1] != 2 or image.shape[0] not in (1, grid.shape[0]):
        raise ValueError(
            "Warping needs an image (B, C, H, W) and a grid (B, h, w, 2), "
            f"got {tuple(image.shape)} and {tuple(grid.shape)}."
        )
    # Half-precision coordinates would be off by whole pixels, so the sampling is always float32.
    shared = image.float().expand(grid.shape[0], -1, -1, -1)
    warped = F.grid_sample(shared, grid.float(), mode=mode, padding_mode="reflection", align_corners=False)
    return warped.to(image.dtype)
