"""Semantic alignment of the photo: bring each part of the source to where the target layout wants it.

SemIA modulates features that stay where they were in the source photo, so a moved object has to be erased in
one place and painted from memory in another. We first *copy*: each cell of the target layout asks which cell
of the source layout plays the same part (the back of the animal, the left edge of the roof), and the photo is
sampled there. What the copy cannot provide is left to the modulated generator. The idea of matching layouts
by attention is that of CoCosNet (Zhang et al. 2020); the consensus step that of Rocco et al. 2018.

A *cell* is a 4x4 block of pixels. T and S are the numbers of target and source cells. Grids are those of
`torch.nn.functional.grid_sample` with ``align_corners=False``; the sizes of source and target may differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.book.equations import equation
from lib.data.augment import identity_grid
from lib.data.single_photo import CELL
from lib.nn.blocks import SLOPE
from lib.nn.ground import with_rest
from lib.nn.seams import heal_seams


class Aligned(NamedTuple):
    """A source pair brought to the target's layout, as far as copying goes."""

    image: Tensor  # (B, 3, H, W), pixels of the source photo
    layout: Tensor  # (B, K, H, W) one-hot, the labels of those pixels
    grid: Tensor  # (B, H, W, 2), where each came from
    position: Tensor  # (B, T, 2), where each cell came from


@equation("12.5", tests="tests/equations/test_analogy.py::test_matcher_logits")
class LayoutMatcher(nn.Module):
    """Similarity of every target cell t to every source cell s, from the layouts alone (12.5):

        sharpness * <d_t, d_s>  -  stay_x (x_t - x_s)^2 - stay_y (y_t - y_s)^2  -  penalty * (1 - overlap_ts)

    d are learned unit descriptors. ``stay`` is learned for each class: sky has to keep its height, a flower
    may go anywhere.

    Args:
        classes: K.
        widths: channels of the `LayoutEncoder` levels; levels from 1/4 scale down are used.
        dim: length of a cell's descriptor.
        class_penalty: what a cell of a wholly different class costs, in nats.
    """

    def __init__(self, classes: int, widths: Sequence[int], *, dim: int = 64, class_penalty: float = 10.0) -> None:
        super().__init__()
        self.describe = nn.Sequential(
            nn.Conv2d(sum(widths[2:]) + 2, 2 * dim, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(2 * dim, dim, 1)
        )
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(12.0)))
        self.stay = nn.Parameter(torch.tensor([0.5, 2.0]).repeat(classes, 1))  # before softplus; x, y in [-1, 1]
        self.class_penalty = class_penalty

    def forward(
        self, target_features: list[Tensor], source_features: list[Tensor], target: Tensor, source: Tensor
    ) -> Tensor:
        """Logits (B, T, S): the softmax over S is the belief where a target cell comes from.

        Args:
            target_features, source_features: outputs of the `LayoutEncoder`.
            target, source: the one-hot layouts (B, K, H, W).
        """
        return self.match(self.queries(target_features, target), self.keys(source_features, source))

    # Every part of the logits is a product of something of t and something of s: one matrix product.

    def match(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The logits (B, T, S) from what `queries` and `keys` say about the two layouts."""
        with torch.autocast(queries.device.type, enabled=False):  # positions need float32
            return torch.bmm(queries, keys.expand(len(queries), -1, -1)) - self.class_penalty

    def queries(self, features: list[Tensor], target: Tensor) -> Tensor:
        """(B, T, dim + 5 + K): the half of the logits that the target layout decides."""
        with torch.autocast(target.device.type, enabled=False):
            shares = F.avg_pool2d(target.float(), CELL)
            described = self._descriptors(features).flatten(2).transpose(1, 2) * self.log_sharpness.exp()
            here = identity_grid(shares.shape[-2], shares.shape[-1], shares.device).flatten(0, 1)
            mixture = shares.flatten(2).transpose(1, 2)  # (B, T, K)
            stay = mixture @ F.softplus(self.stay)  # (B, T, 2)
            alone = (-stay * here.square()).sum(dim=2, keepdim=True)
            return torch.cat([described, alone, 2 * stay * here, -stay, self.class_penalty * mixture.sqrt()], dim=2)

    def keys(self, features: list[Tensor], source: Tensor) -> Tensor:
        """(B, dim + 5 + K, S): the half of the logits that the source layout decides, the same for every target."""
        with torch.autocast(source.device.type, enabled=False):
            shares = F.avg_pool2d(source.float(), CELL)
            there = identity_grid(shares.shape[-2], shares.shape[-1], shares.device).flatten(0, 1)
            distance = torch.cat([torch.ones_like(there[:, :1]), there, there.square()], dim=1).T
            described = self._descriptors(features).flatten(2)
            return torch.cat([described, distance.expand(len(shares), -1, -1), shares.flatten(2).sqrt()], dim=1)

    def _descriptors(self, features: list[Tensor]) -> Tensor:
        """(B, dim, H/4, W/4), unit length. Position is part of it: sky belongs high, grass low."""
        batch, _, height, width = features[2].shape
        coarse = [F.interpolate(f, size=(height, width), mode="bilinear") for f in features[3:]]
        position = identity_grid(height, width, features[2].device).permute(2, 0, 1).expand(batch, -1, -1, -1)
        return F.normalize(self.describe(torch.cat([features[2], *coarse, position], dim=1)), dim=1)


@torch.no_grad()
@equation("12.6", tests="tests/equations/test_analogy.py::test_consensus")
def neighbourhood_consensus(
    logits: Tensor, target_size: tuple[int, int], source_size: tuple[int, int], *, iterations: int, weight: float = 2.0
) -> Tensor:
    """Prefer matches whose neighbours match accordingly: coherent chunks instead of scattered cells.

    If target cell t comes from s, then t + d should come from about s + d. Each iteration adds to the logits
    ``weight`` times the log of the belief that the 3x3 neighbours give to this, one source cell of slack
    allowed so that a part may also grow, shrink or turn.

    Args:
        logits: (B, T, S) from `LayoutMatcher`.
        target_size, source_size: (rows, columns) of cells.
        iterations: 0 returns the logits unchanged.

    Returns:
        (B, T, S) logits without gradient.
    """
    if not iterations:
        return logits
    first = logits.softmax(dim=2)
    votes = _votes(first, target_size, source_size)
    for _ in range(iterations - 1):
        # The softmax of logits + weight * log(votes), without its exp and log: they took half the time.
        belief = votes.pow_(weight).mul_(first)
        votes = _votes(belief.div_(belief.sum(dim=2, keepdim=True)), target_size, source_size)
    return torch.add(logits, votes.div_(9).log_(), alpha=weight)


def _votes(belief: Tensor, target_size: tuple[int, int], source_size: tuple[int, int]) -> Tensor:
    """(B, T, S) -> (B, T, S): summed belief of the 3x3 neighbours in the matches that accord with this one, > 0."""
    near = belief.view(-1, *target_size, *source_size)
    near = _widened(_widened(near, 3), 4)  # one cell of slack
    sums = _diagonal_sum(_diagonal_sum(near, 1, 3), 2, 4)  # separable: rows, then columns
    return sums.view_as(belief).add_(9e-3)


def _widened(a: Tensor, dim: int) -> Tensor:
    """Maximum over three neighbours along ``dim``; several times faster than max_pool2d on the CPU."""
    out, length = a.clone(), a.shape[dim] - 1
    first, last = out.narrow(dim, 0, length), out.narrow(dim, 1, length)
    torch.maximum(first, a.narrow(dim, 1, length), out=first)
    torch.maximum(last, a.narrow(dim, 0, length), out=last)
    return out


def _diagonal_sum(a: Tensor, target_dim: int, source_dim: int) -> Tensor:
    """a[t, s] + a[t-1, s-1] + a[t+1, s+1] along one axis of the target and one of the source."""
    t, s = a.shape[target_dim] - 1, a.shape[source_dim] - 1
    out = a.clone()
    for i in (0, 1):
        here = a.narrow(target_dim, i, t).narrow(source_dim, i, s)
        out.narrow(target_dim, 1 - i, t).narrow(source_dim, 1 - i, s).add_(here)
    return out


@torch.no_grad()
def expected_position(logits: Tensor, source_size: tuple[int, int]) -> Tensor:
    """Mean source position of each target cell, over the 3x3 cells round the best one: (B, T, 2), x and y.

    The window makes the mean follow one match; over all cells, two good matches would average to a bad one.
    """
    hs, ws = source_size
    best = logits.argmax(dim=2, keepdim=True)
    step = torch.arange(-1, 2, device=logits.device)
    dy, dx = (d.reshape(-1) for d in torch.meshgrid(step, step, indexing="ij"))
    y, x = best // ws + dy, best % ws + dx  # (B, T, 9)
    inside = (y >= 0) & (y < hs) & (x >= 0) & (x < ws)
    near = logits.gather(2, y.clamp(0, hs - 1) * ws + x.clamp(0, ws - 1)).masked_fill(~inside, -math.inf)
    share = near.softmax(dim=2)
    return torch.stack([
        (share * ((2 * x + 1) / ws - 1)).sum(dim=2), (share * ((2 * y + 1) / hs - 1)).sum(dim=2)
    ], dim=2)  # fmt: skip


@torch.no_grad()
def smooth_chunks(
    position: Tensor, target: Tensor, source: Tensor, *, iterations: int = 4, reach: float = 1.0
) -> Tensor:
    """Make the moves affine inside a chunk and keep the tears between chunks: a bilateral, local linear fit.

    A cell's best match is known to a fraction of a cell at best. Left alone, the rounding shows as a jitter
    of rows and columns. A local mean would shrink a part that grows, hence the linear fit.

    Args:
        position: (B, T, 2) from `expected_position`.
        target, source: shares of the classes in each cell, (B, K, ht, wt) and (B, K, hs, ws).
        iterations: 0 returns the positions unchanged.
        reach: neighbours whose moves differ by more than about this many cells belong to another chunk.
    """
    rows, columns = target.shape[-2:]
    home = _unmoved(target, source)
    scale = position.new_tensor([source.shape[-1] / 2, source.shape[-2] / 2]).view(1, 2, 1, 1)
    start = position.transpose(1, 2).view(-1, 2, rows, columns)
    move = (start - home) * scale  # in cells
    kin = (_neighbours(target) * target.unsqueeze(2)).sum(dim=1)  # (B, 25, rows, columns), 1 = same class
    for _ in range(iterations):
        near = _neighbours(move)  # (B, 2, 25, rows, columns)
        gap = (near - move.unsqueeze(2)).square().sum(dim=1)
        move = _linear_fit(near, kin * torch.exp(-gap / reach**2) + 1e-6)
    smooth = move / scale + home
    # Never trade a match of the right class for a smooth one of a wrong class.
    fits = [_class_overlap(at, target, source) for at in (start, smooth)]
    kept = torch.where(fits[1] >= fits[0] - 0.1, smooth, start)
    return kept.flatten(2).transpose(1, 2)


def _neighbours(field: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 25, H, W): the 5x5 neighbourhood of each position."""
    batch, channels, height, width = field.shape
    return F.unfold(F.pad(field, (2, 2, 2, 2), mode="replicate"), 5).view(batch, channels, 25, height, width)


def _linear_fit(near: Tensor, weight: Tensor) -> Tensor:
    """Value at the centre of the weighted least-squares plane: (B, 2, 25, H, W), (B, 25, H, W) -> (B, 2, H, W).

    Of the three normal equations the two for the slopes are eliminated by hand: a solver costs several times more.
    """
    step = torch.arange(-2.0, 3.0, device=near.device)
    y, x = (d.reshape(-1) for d in torch.meshgrid(step, step, indexing="ij"))
    moments = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
    all_, sx, sy, xx, xy, yy = (moments @ weight.flatten(2)).unsqueeze(1).unbind(2)  # (B, 1, H W) each
    r, rx, ry = (moments[:3] @ (near * weight.unsqueeze(1)).flatten(3)).unbind(2)  # (B, 2, H W) each
    xx, yy = xx + 0.5, yy + 0.5  # a ridge: few neighbours fall back to their mean
    determinant = xx * yy - xy * xy
    ax, ay = (yy * sx - xy * sy) / determinant, (xx * sy - xy * sx) / determinant
    value = (r - ax * rx - ay * ry) / (all_ - ax * sx - ay * sy + 1e-6)
    return value.view_as(near[:, :, 0])


def _class_overlap(position: Tensor, target: Tensor, source: Tensor) -> Tensor:
    """(B, 1, ht, wt): overlap of each target cell's classes with those at its source position (B, 2, ht, wt)."""
    there = F.grid_sample(source, position.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    return (there.clamp(min=0).sqrt() * target.sqrt()).sum(dim=1, keepdim=True)


@torch.no_grad()
def pixel_grid(position: Tensor, target: Tensor, source: Tensor, *, cell: int = CELL) -> Tensor:
    """From one source position per cell to one per pixel, tears included.

    Inside a chunk the positions are interpolated. Across a tear an interpolation would show everything that
    lies between the two chunks, so there each pixel continues one of the chunks round it: the one whose
    label agrees with the target layout, and among those the nearest.

    Args:
        position: (B, T, 2) from `expected_position`.
        target: (B, K, H, W) one-hot layout to fill; H and W divisible by ``cell``.
        source: (B, K, h, w) one-hot layout that is sampled.
        cell: side of a cell in pixels; larger where the layouts are larger than those that were matched.

    Returns:
        (B, H, W, 2) sampling grid.
    """
    batch, _, height, width = target.shape
    ht, wt = height // cell, width // cell
    cells = position.transpose(1, 2).reshape(batch, 2, ht, wt)
    offset = cells - _unmoved(target, source, cell)  # move of each cell
    source_cells = source.shape[-2] // cell, source.shape[-1] // cell
    torn = F.interpolate(_spread(offset, source_cells), size=(height, width), mode="nearest") > 1.0

    smooth = F.interpolate(offset, size=(height, width), mode="bilinear")
    chunks = F.unfold(F.pad(offset, (1, 1, 1, 1), mode="replicate"), 3).view(batch, 2 * 9, ht, wt)
    chunks = F.interpolate(chunks, size=(height, width), mode="nearest").view(batch, 2, 9, height, width)
    candidates = torch.cat([smooth.unsqueeze(2), chunks], dim=2)  # (B, 2, 10, H, W)
    candidates += _unmoved(target, source).unsqueeze(1)

    wanted = class_number(target)
    found = F.grid_sample(
        class_number(source),
        candidates.permute(0, 2, 3, 4, 1).reshape(batch, 10 * height, width, 2),
        mode="nearest", align_corners=False,
    ).view(batch, 10, height, width)  # fmt: skip
    score = found.sub_(wanted).abs_().lt_(0.5).mul_(10.0)  # in place: these are the largest arrays of a painting
    score -= _distance_to_chunks(height, width, cell, cells.device)
    score[:, :1] += torch.where(torn, -5.0, 5.0)  # the interpolation, where nothing is torn
    choice = _argmax(score).view(batch, 1, 1, height, width).expand(-1, 2, -1, -1, -1)
    return candidates.gather(2, choice).squeeze(2).permute(0, 2, 3, 1)


def _argmax(score: Tensor) -> Tensor:
    """(B, N, H, W) -> (B, H, W), ``score.argmax(dim=1)`` for few N; several times faster on the CPU."""
    best, choice = score[:, 0], torch.zeros_like(score[:, 0], dtype=torch.long)
    for k in range(1, score.shape[1]):
        choice.masked_fill_(score[:, k] > best, k)
        best = torch.maximum(best, score[:, k])
    return choice


def _unmoved(target: Tensor, source: Tensor, block: int = 1) -> Tensor:
    """(2, rows, columns): where each position of the target lies in the source if it is copied without a move.

    One pixel stays one pixel. Where the sizes differ, the move of a part is then constant, not a stretch.

    Args:
        block: positions are blocks of so many pixels.
    """
    rows, columns = target.shape[-2] // block, target.shape[-1] // block
    scale = target.new_tensor([target.shape[-1] / source.shape[-1], target.shape[-2] / source.shape[-2]])
    return identity_grid(rows, columns, target.device).permute(2, 0, 1).contiguous() * scale.view(2, 1, 1)


def class_number(one_hot: Tensor) -> Tensor:
    """(B, K, H, W) -> (B, 1, H, W): 1 ... K, as floats; 0 is left for "outside", which `grid_sample` pads with."""
    return torch.einsum("bkhw,k->bhw", one_hot, torch.arange(1.0, one_hot.shape[1] + 1, device=one_hot.device))[:, None]


def _spread(offset: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 1, ht, wt): largest difference of moves within the 3x3 neighbourhood, in source cells."""
    scale = offset.new_tensor([size[1] / 2, size[0] / 2]).view(1, 2, 1, 1)
    padded = F.pad(offset * scale, (1, 1, 1, 1), mode="replicate")
    return (F.max_pool2d(padded, 3, 1) + F.max_pool2d(-padded, 3, 1)).amax(dim=1, keepdim=True)


@lru_cache(maxsize=8)
def _distance_to_chunks(height: int, width: int, cell: int, device: torch.device) -> Tensor:
    """(10, H, W): distance from a pixel to the centre of its 3x3 cells, in cells; 0 for the interpolation."""
    row = (torch.arange(height, device=device) % cell + 0.5) / cell - 0.5
    column = (torch.arange(width, device=device) % cell + 0.5) / cell - 0.5
    step = torch.arange(-1, 2, device=device)
    dy = (step.view(3, 1, 1, 1) - row.view(1, 1, -1, 1)).square()
    dx = (step.view(1, 3, 1, 1) - column.view(1, 1, 1, -1)).square()
    distance = (dy + dx).sqrt().reshape(9, height, width)
    return torch.cat([distance.new_zeros(1, height, width), distance])


@torch.no_grad()
def align(
    logits: Tensor, image: Tensor, source: Tensor, target: Tensor, *, consensus: int, rest: float = 0.0
) -> Aligned:
    """Copy the source pair to the target layout along the best matches.

    Args:
        logits: (B, T, S) from `LayoutMatcher`.
        image: (B, 3, h, w) source photo in [-1, 1].
        source: (B, K, h, w) its one-hot layout.
        target: (B, K, H, W) one-hot layout to fill; all sizes divisible by 4.
        consensus: iterations of `neighbourhood_consensus`.
        rest: nats by which unchanged ground prefers its own place (`lib.nn.ground.with_rest`).
    """
    target_cells = (target.shape[-2] // CELL, target.shape[-1] // CELL)
    source_cells = (source.shape[-2] // CELL, source.shape[-1] // CELL)
    preferred = with_rest(logits.float(), target, source, bonus=rest)
    agreed = neighbourhood_consensus(preferred, target_cells, source_cells, iterations=consensus)
    position = smooth_chunks(
        expected_position(agreed, source_cells), F.avg_pool2d(target, CELL), F.avg_pool2d(source, CELL)
    )
    return copy_along(position, image, source, target)


@torch.no_grad()
def copy_along(position: Tensor, image: Tensor, source: Tensor, target: Tensor, *, cell: int = CELL) -> Aligned:
    """Copy the source pair to the target layout, each cell from its known position, and heal the seams.

    The positions may have been found at a smaller size: ``cell`` is then larger by the same factor.

    Args:
        position: (B, T, 2), where each cell comes from, in [-1, 1].
        image, source, target: as for `align`, T cells of ``cell`` x ``cell`` pixels in the target.
        cell: side of a cell in pixels.
    """
    grid = pixel_grid(position, target, source, cell=cell)
    copied = F.grid_sample(image.float(), grid, mode="bicubic", padding_mode="border", align_corners=False)
    labels = F.grid_sample(source.float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return Aligned(heal_seams(copied, image.float(), target, grid), labels, grid, position)
