"""Where the floors and bays of a street front are, and how a pixel finds its own place in them.

The façade is a lattice of cells. Every pixel is folded into its cell, so that one expression draws all windows of
all pictures; what differs from window to window is a table of random numbers with one entry for each cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.data.worlds.draw import column, hashed
from lib.data.worlds.world import Parameters

LATTICE = 8  # most floors and most bays that a table has room for
FLOORS, BAYS = (2, 6), (2, 7)


def pick(table: Tensor, index: Tensor) -> Tensor:
    """Look up `table` (B, N) at `index` (B, H, W)."""
    return table.gather(1, index.flatten(1)).view(index.shape)


@dataclass(frozen=True)
class Layout:
    """The lattice of each picture.

    Attributes:
        left, right, eaves, ground: outline of the façade, (B, 1, 1).
        floors, bays: (B, 1, 1) int64.
        heights: height of the floor edges above the ground, rising, (B, LATTICE + 1).
        edges: x of the bay edges, rising, (B, LATTICE + 1).
        door, door_x: the bay with the door, (B, 1, 1) int64, and its middle, (B, 1, 1).
    """

    left: Tensor
    right: Tensor
    eaves: Tensor
    ground: Tensor
    floors: Tensor
    bays: Tensor
    heights: Tensor
    edges: Tensor
    door: Tensor
    door_x: Tensor

    def cell_numbers(self, seed: Tensor, channel: int, *, mirrored: bool) -> Tensor:
        """A random number in [0, 1) for each cell, (B, LATTICE²); `mirrored` makes left and right alike."""
        axis = torch.arange(LATTICE, device=seed.device)
        bay = axis[None, None, :]
        if mirrored:
            bay = torch.minimum(bay, (self.bays - 1 - bay).abs())
        return hashed(bay + 11 * channel, axis[None, :, None] + 300, column(seed)).flatten(1)

    def floor_numbers(self, seed: Tensor, channel: int) -> Tensor:
        """A random number in [0, 1) for each floor, (B, LATTICE)."""
        axis = torch.arange(LATTICE, device=seed.device)[None, :]
        return hashed(axis, torch.full_like(axis, 500 + channel), seed[:, None])


@dataclass(frozen=True)
class Cells:
    """Each pixel's place: floor (0 is the ground floor), bay, and offset from the middle of its cell.

    All are (B, H, W). `u` grows to the right and `v` down, in units of the picture; `half_width` and `half_height`
    are those of the cell; `index` is floor · LATTICE + bay.
    """

    floor: Tensor
    bay: Tensor
    u: Tensor
    v: Tensor
    half_width: Tensor
    half_height: Tensor
    index: Tensor


def make_layout(p: Parameters) -> Layout:
    """Work out the lattice from the parameters."""
    left, right, eaves, ground = (column(value) for value in p["frame"].unbind(1))
    floors, bays = column(p["floors"]), column(p["bays"])
    seed = p["structure"][:, None]
    axis = torch.arange(LATTICE, device=seed.device)[None, :]
    mirror = torch.minimum(axis, (bays[:, 0] - 1 - axis).abs())
    middle = (mirror * 2 == bays[:, 0] - 1).float()
    width = 1 + 0.35 * (hashed(mirror, torch.full_like(mirror, 7), seed) - 0.5) + 0.25 * middle
    width = width * (axis < bays[:, 0])
    rise = hashed(axis * 0, axis * 0 + 9, seed)
    height = torch.ones_like(width) + (axis == 0) * (0.2 + 0.3 * rise) + (axis == 1) * 0.12 * rise
    height = (height - 0.18 * (axis == floors[:, 0] - 1)) * (axis < floors[:, 0])
    share = (hashed(axis[:, :1] * 0, axis[:, :1] * 0 + 13, seed) * bays[:, 0]).long().clamp(max=6)
    centre = (bays[:, 0] - 1) // 2
    door = torch.where(hashed(axis[:, :1] * 0, axis[:, :1] * 0 + 15, seed) < 0.5, centre, share)
    edges = _edges(width, (right - left)[:, 0]) + left[:, 0]
    door_x = (edges.gather(1, door) + edges.gather(1, door + 1)) / 2
    return Layout(
        left, right, eaves, ground, floors, bays,
        heights=_edges(height, (ground - eaves)[:, 0]),
        edges=edges,
        door=door[:, :, None],
        door_x=door_x[:, :, None],
    )  # fmt: skip


def _edges(weights: Tensor, length: Tensor) -> Tensor:
    """Lay parts of relative size `weights` (B, N) along `length` (B, 1): the N + 1 edges from 0."""
    parts = torch.cumsum(weights, dim=1) / weights.sum(1, keepdim=True) * length
    return torch.cat([torch.zeros_like(length), parts], dim=1)


def fold(layout: Layout, x: Tensor, y: Tensor) -> Cells:
    """Find the cell of each point (B, H, W); points off the façade take the nearest one."""
    x, y = torch.broadcast_tensors(x, y)
    bay = _interval(layout.edges, x).minimum(layout.bays - 1)
    floor = _interval(layout.heights, layout.ground - y).minimum(layout.floors - 1)
    left, right = pick(layout.edges, bay), pick(layout.edges, bay + 1)
    low, high = pick(layout.heights, floor), pick(layout.heights, floor + 1)
    return Cells(
        floor, bay,
        u=x - (left + right) / 2,
        v=y - layout.ground + (low + high) / 2,
        half_width=(right - left) / 2,
        half_height=(high - low) / 2,
        index=floor * LATTICE + bay,
    )  # fmt: skip


def _interval(edges: Tensor, value: Tensor) -> Tensor:
    """Which of the N intervals between `edges` (B, N + 1) holds each `value` (B, H, W)."""
    inner = edges[:, 1:-1].contiguous()
    return torch.searchsorted(inner, value.flatten(1).contiguous(), right=True).view(value.shape)
