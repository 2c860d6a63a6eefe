"""Heal the seams of a copied picture in the gradient domain (after Perez et al. 2003, Poisson image editing).

Two chunks copied from different places of one sky meet in a step of brightness. The step is in no gradient of
the photo. So we ask for the picture whose differences between neighbours are those of the copy, except across
such a seam, where they are those of the photo on either side.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

TEAR = 1.5  # px; neighbours whose distance in the photo is off by more than this belong to two chunks


@torch.no_grad()
def heal_seams(copied: Tensor, image: Tensor, layout: Tensor, grid: Tensor, *, anchor: float = 1e-3) -> Tensor:
    """argmin_u  sum_edges (u_p - u_q - v_pq)^2 + anchor * sum_p (u_p - copied_p)^2, solved exactly.

    v is the difference of the copy, or across a seam inside one class the mean difference of the photo on its
    two sides. Seams between two classes are edges of the picture and stay.

    Args:
        copied: (B, 3, H, W), the photo sampled at ``grid``.
        image: (B, 3, h, w), the photo.
        layout: (B, K, H, W) one-hot labels that the copy is meant to have.
        grid: (B, H, W, 2).
        anchor: pull to the colours of the copy; brightness is evened out over about anchor ** -0.5 pixels.

    Returns:
        (B, 3, H, W) in [-1, 1].
    """
    labels = torch.einsum("bkhw,k->bhw", layout, torch.arange(layout.shape[1], device=layout.device).float())[:, None]
    size = grid.new_tensor([image.shape[-1] / 2, image.shape[-2] / 2])
    at = (grid * size).permute(0, 3, 1, 2)  # source position in pixels
    # Slopes of the photo, towards the next pixel to the right and below.
    slopes = torch.cat([F.pad(image.diff(dim=-1), (0, 1, 0, 0)), F.pad(image.diff(dim=-2), (0, 0, 0, 1))], dim=1)
    slopes = F.grid_sample(slopes, grid, mode="nearest", padding_mode="border", align_corners=False)
    divergence = torch.zeros_like(copied)
    for axis, slope in zip((-1, -2), slopes.chunk(2, dim=1), strict=True):
        step = at.new_tensor([1.0, 0.0] if axis == -1 else [0.0, 1.0]).view(1, 2, 1, 1)
        # abs: in a mirrored chunk the neighbour lies one pixel back, which is no tear.
        torn = (at.diff(dim=axis).abs() - step).abs().amax(dim=1, keepdim=True) > TEAR
        seam = torn & (labels.diff(dim=axis) == 0)
        length = copied.shape[axis] - 1
        sides = (slope.narrow(axis, 0, length) + slope.narrow(axis, 1, length)) / 2
        wanted = torch.where(seam, sides, copied.diff(dim=axis))
        divergence.narrow(axis, 0, length).add_(wanted)
        divergence.narrow(axis, 1, length).sub_(wanted)
    return _solve_poisson(anchor * copied - divergence, anchor).clamp(-1, 1)


def _solve_poisson(right: Tensor, anchor: float) -> Tensor:
    """u with (anchor + L) u = right, L the Laplacian of the pixel grid with free borders.

    The cosine transform diagonalises L. Two matrix products do it faster than an FFT of the mirrored picture.
    """
    height, width = right.shape[-2:]
    rows, columns = (_cosines(side, right.device) for side in (height, width))
    stiff = [2 - 2 * torch.cos(torch.arange(side, device=right.device) * (math.pi / side)) for side in (height, width)]
    with torch.autocast(right.device.type, enabled=False):  # brightness adds up over the picture: float32
        spectrum = (rows @ right @ columns.T) / (anchor + stiff[0].unsqueeze(1) + stiff[1])
        return rows.T @ spectrum @ columns


@lru_cache(maxsize=16)
def _cosines(side: int, device: torch.device) -> Tensor:
    """(side, side), the orthonormal discrete cosine transform (DCT-II) of a line of pixels."""
    k = torch.arange(side, device=device)
    waves = torch.cos(torch.outer(k, k + 0.5) * (math.pi / side)) * math.sqrt(2 / side)
    return torch.cat([waves[:1] / math.sqrt(2), waves[1:]])
