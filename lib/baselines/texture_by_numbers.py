"""Image Analogies as texture-by-numbers: copy the photo pixel by pixel to where the new layout wants it.

Paper: Image Analogies (Hertzmann et al., SIGGRAPH 2001), A : A' :: B : B' with A the photo's layout, A' the
photo and B the new layout. B' is filled in raster order. A pixel q of B' takes the photo's pixel p with the
nearest neighbourhood, or continues the copy of a neighbour when that costs little more:

    d(coherent) <= d(nearest) * (1 + 2^(l - L) kappa),     l the level, L the finest.

The order is the paper's, in fewer steps. A pixel waits for the 12 neighbours above it and to its left, so
all pixels with the same x + 3y are independent: W + 3(H - 1) wavefronts replace H*W pixels exactly.

Where the paper searches approximately with a tree, the search here is exhaustive. INFERRED, because the
paper does not settle it for label maps: labels are compared one-hot instead of as colours; a neighbour that
lies outside B' says nothing; the photo and the layouts are continued by their border. Ours: a small term
for the place in the picture. Inside a class all neighbourhoods of labels are equal, so that at the coarsest
level rounding would choose among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.baselines.inputs import PaintError, check_inputs, one_hot_layouts
from lib.book.equations import equation

__all__ = [
    "CAUSAL", "Numbers", "TextureByNumbers", "gaussian_pyramid", "gaussian_weights", "paint", "prefers_coherent",
    "synthesise", "wavefronts",
]  # fmt: skip

CAUSAL = tuple((dy, dx) for dy in (-2, -1, 0) for dx in range(-2, 3) if (dy, dx) < (0, 0))
"""The 12 offsets (dy, dx) of a 5x5 neighbourhood that are filled before its centre."""


@dataclass(frozen=True)
class Numbers:
    """Settings of texture-by-numbers.

    Attributes:
        levels: pyramid levels; each halves the sides. Fewer are used where a side would fall below 8 pixels.
        kappa: how much worse a coherent copy may be; 0 leaves the choice to the nearest neighbourhood.
        label_weight: squared colour difference (mean over channels, range 0..4) that a wholly mislabelled
            neighbourhood is worth.
        place_weight: squared colour difference that a shift by the whole height or width is worth; 0 is the paper.

    Raises:
        PaintError: a value is out of range.
    """

    levels: int = 4
    kappa: float = 1.0
    label_weight: float = 2.0
    place_weight: float = 0.05

    def __post_init__(self) -> None:
        if self.levels < 1 or self.kappa < 0 or self.label_weight <= 0 or self.place_weight < 0:
            raise PaintError(
                "Texture-by-numbers needs levels >= 1, kappa >= 0, label_weight > 0 and place_weight >= 0, "
                f"got {self.levels}, {self.kappa}, {self.label_weight} and {self.place_weight}."
            )


@dataclass(frozen=True, eq=False)
class TextureByNumbers:
    """A finished picture, and where each of its pixels was copied from.

    Attributes:
        image: (3, H', W') in [-1, 1].
        source: (H', W') int64, the copied pixel as y*W + x in the photo.
        coherent: (H', W') bool, where the coherent copy was preferred to the nearest one.
    """

    image: Tensor
    source: Tensor
    coherent: Tensor


def paint(photo: Tensor, layout: Tensor, target: Tensor, settings: Numbers | None = None) -> Tensor:
    """Paint a layout with the photo's pixels: (3, H', W') in [-1, 1]. See `synthesise` for the arguments."""
    return synthesise(photo, layout, target, settings).image


@torch.no_grad()
@equation("11.1", tests="tests/wiring/test_baselines_patches.py::test_wavefronts_equal_the_naive_raster_order")
def synthesise(photo: Tensor, layout: Tensor, target: Tensor, settings: Numbers | None = None) -> TextureByNumbers:
    """Run texture-by-numbers, coarse to fine. It is deterministic and takes time in H*W * H'*W'.

    Args:
        photo: (3, H, W) in [-1, 1]; A'. Its dtype is that of the search; float64 settles near ties.
        layout: (H, W) class indices; A.
        target: (H', W') class indices that occur in ``layout``; B.
        settings: default `Numbers()`.

    Raises:
        PaintError: the inputs do not fit.
    """
    settings = settings or Numbers()
    check_inputs(photo, layout, target, least=3)
    labels_a, labels_b = one_hot_layouts(layout, target, photo.dtype)
    depth = min(settings.levels, _most_levels(min(*layout.shape, *target.shape)))
    photos = gaussian_pyramid(photo.unsqueeze(0), depth)
    layouts, targets = gaussian_pyramid(labels_a, depth), gaussian_pyramid(labels_b, depth)
    below: Tensor | None = None  # the finished coarser level of B'
    for level in reversed(range(depth)):  # 0 is the finest
        coarse = None if below is None else (photos[level + 1], layouts[level + 1], below, targets[level + 1])
        keys = _fixed_features(layouts[level], None if coarse is None else coarse[:2], settings)
        queries = _fixed_features(targets[level], None if coarse is None else coarse[2:], settings)
        height, width = targets[level].shape[2:]
        fill = _Fill(photos[level][0], keys, queries, (height, width), settings.kappa, level)
        for front in wavefronts(height, width, photo.device):
            fill.step(front)
        below = fill.image()
    assert below is not None  # depth >= 1
    return TextureByNumbers(below[0], fill.source.reshape(height, width), fill.coherent.reshape(height, width))


def _most_levels(side: int) -> int:
    return max(1, side.bit_length() - 3)  # the coarsest side is at least 8, or there is one level


def gaussian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """[image, half, quarter, ...] of (1, C, H, W): blurred by the binomial (1, 4, 6, 4, 1)/16, then halved.

    An odd side is rounded up, so that pixel (y, x) of a level lies over pixel (y // 2, x // 2) of the next.
    """
    line = image.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(line, line).expand(image.shape[1], 1, 5, 5)
    pyramid = [image]
    for _ in range(levels - 1):
        padded = F.pad(pyramid[-1], (2, 2, 2, 2), mode="replicate")
        pyramid.append(F.conv2d(padded, kernel, stride=2, groups=image.shape[1]))
    return pyramid


def gaussian_weights(side: int, like: Tensor, spread: float = 0.25) -> Tensor:
    """Weights (side*side,) of a neighbourhood, with sum 1: a Gaussian of standard deviation spread * side."""
    steps = torch.arange(side, device=like.device, dtype=like.dtype) - side // 2
    line = torch.exp(-steps.square() / (2 * (spread * side) ** 2))
    weights = torch.outer(line, line).flatten()
    return weights / weights.sum()


def _neighbourhoods(image: Tensor, side: int) -> Tensor:
    """(1, C, H, W) -> (H*W, C, side*side), continued by the border."""
    padded = F.pad(image, (side // 2,) * 4, mode="replicate")
    return F.unfold(padded, side)[0].T.reshape(-1, image.shape[1], side * side)


def _fixed_features(labels: Tensor, coarse: tuple[Tensor, Tensor] | None, settings: Numbers) -> Tensor:
    """What is known of a level before it is filled: place, labels (5x5), the coarser level (3x3), (H*W, D).

    Squared distances of rows are weighted means of squared differences. Each of the blocks counts once.
    """
    height, width = labels.shape[2:]
    label_weight = settings.label_weight
    # Two one-hot vectors are 2 apart in squared distance.
    fine = _neighbourhoods(labels, 5) * (label_weight / 2 * gaussian_weights(5, labels)).sqrt()
    blocks = [settings.place_weight**0.5 * _places(height, width, labels), fine.flatten(1)]
    if coarse is not None:
        image, coarse_labels = coarse
        weights = gaussian_weights(3, labels)
        over = _parents(height, width, image.shape[3], labels.device)
        blocks.append((_neighbourhoods(image, 3) * (weights / image.shape[1]).sqrt()).flatten(1)[over])
        blocks.append((_neighbourhoods(coarse_labels, 3) * (label_weight / 2 * weights).sqrt()).flatten(1)[over])
    return torch.cat(blocks, dim=1)


def _places(height: int, width: int, like: Tensor) -> Tensor:
    """Centres of the pixels as fractions of the sides, (H*W, 2)."""
    ys, xs = ((torch.arange(side, device=like.device) + 0.5).to(like.dtype) / side for side in (height, width))
    return torch.cartesian_prod(ys, xs)


def _parents(height: int, width: int, coarse_width: int, device: torch.device) -> Tensor:
    """Row of the coarse pixel under every fine pixel, (H*W,)."""
    ys, xs = torch.arange(height, device=device) // 2, torch.arange(width, device=device) // 2
    return (ys[:, None] * coarse_width + xs).flatten()


@equation("11.2", tests="tests/wiring/test_baselines_patches.py::test_a_coherent_copy_may_be_worse_by_kappa")
def prefers_coherent(coherent: Tensor, nearest: Tensor, *, kappa: float, level: int = 0) -> Tensor:
    """Whether to continue a neighbour's copy: d(coherent) <= d(nearest) * (1 + 2^-level kappa), level 0 the finest."""
    return coherent <= nearest * (1 + kappa * 2.0**-level)


def wavefronts(height: int, width: int, device: torch.device | str = "cpu") -> list[Tensor]:
    """Pixels y*W + x with equal x + 3y, front by front: (y-1, x+2) and (y, x-1) are one front earlier."""
    ys, xs = torch.arange(height), torch.arange(width)
    time = (xs + 3 * ys[:, None]).flatten()
    counts = torch.bincount(time).tolist()
    fronts = torch.sort(time, stable=True).indices.to(device).split(counts)
    return [front for front in fronts if front.numel()]


class _Fill:
    """One level of B' while it is filled.

    The distance of q and p is that of their fixed features plus, over the causal neighbours o inside B',
    the weighted mean of (B'(q + o) - A'(p + o))^2. Both are one matrix product per wavefront.
    """

    def __init__(
        self, photo: Tensor, keys: Tensor, queries: Tensor, shape: tuple[int, int], kappa: float, level: int
    ) -> None:  # fmt: skip
        self.kappa, self.level, self.shape, self.size = kappa, level, shape, (photo.shape[1], photo.shape[2])
        device = photo.device
        weights = gaussian_weights(5, photo)[: len(CAUSAL)]
        self.root = (weights / weights.sum() / photo.shape[0]).sqrt()
        self.colours = photo.flatten(1).T  # (N_A, 3)
        self.centre = self.colours.mean(dim=0)  # smaller norms, less cancellation in the expanded square
        around = _neighbourhoods(photo.unsqueeze(0) - self.centre[:, None, None], 5)[:, :, : len(CAUSAL)]
        causal = (around * self.root).transpose(1, 2)  # (N_A, 12, 3)
        middle = keys.mean(dim=0)
        keys, self.queries = keys - middle, queries - middle
        self.keys = torch.cat([keys, causal.flatten(1)], dim=1)
        norms = keys.square().sum(dim=1, keepdim=True)
        # Columns to search by: q . columns = |p|^2 - 2 q.p, where a missing neighbour leaves out its share of |p|^2.
        self.columns = torch.cat([-2 * self.keys, norms, causal.square().sum(dim=2)], dim=1).T.contiguous()
        self.offsets = torch.tensor(CAUSAL, device=device)
        self.source = torch.zeros(shape[0] * shape[1], dtype=torch.int64, device=device)
        self.coherent = torch.zeros(shape[0] * shape[1], dtype=torch.bool, device=device)

    def step(self, front: Tensor) -> None:
        """Fill the pixels of one wavefront."""
        inside, copied = self._neighbours(front)
        said = (self.colours[copied] - self.centre) * self.root[:, None] * inside[..., None]  # (n, 12, 3)
        query = torch.cat([self.queries[front], said.flatten(1)], dim=1)
        known = inside.to(query.dtype)
        search = torch.cat([query, torch.ones_like(known[:, :1]), known], dim=1)
        nearest = (search @ self.columns).argmin(dim=1, keepdim=True)
        continued, possible = self._continuations(copied, inside)
        candidates = torch.cat([nearest, continued], dim=1)  # (n, 1 + 12)
        distance = self._distances(query, known, candidates)
        best = distance[:, 1:].masked_fill(~possible, torch.inf).min(dim=1)
        coherent = prefers_coherent(best.values, distance[:, 0], kappa=self.kappa, level=self.level)
        chosen = torch.where(coherent, continued.gather(1, best.indices[:, None])[:, 0], nearest[:, 0])
        self.source[front] = chosen
        self.coherent[front] = coherent

    def image(self) -> Tensor:
        """The level as filled so far, (1, 3, H', W')."""
        return self.colours[self.source].T.reshape(1, -1, *self.shape)

    def _neighbours(self, front: Tensor) -> tuple[Tensor, Tensor]:
        """Which causal neighbours lie inside B', and what they copied; both (n, 12)."""
        height, width = self.shape
        ys = (front // width)[:, None] + self.offsets[:, 0]
        xs = (front % width)[:, None] + self.offsets[:, 1]
        inside = (ys >= 0) & (xs >= 0) & (xs < width)
        return inside, self.source[(ys * width + xs).clamp(0, height * width - 1)]

    def _continuations(self, copied: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """The photo's pixel beside each neighbour's copy, and whether there is one; both (n, 12)."""
        height, width = self.size
        ys, xs = copied // width - self.offsets[:, 0], copied % width - self.offsets[:, 1]
        possible = inside & (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
        return torch.where(possible, ys * width + xs, 0), possible

    def _distances(self, query: Tensor, known: Tensor, candidates: Tensor) -> Tensor:
        """Squared distances of queries to their candidates, (n, 13), from the differences themselves."""
        gap = self.keys[candidates] - query[:, None]
        fixed = self.queries.shape[1]
        causal = gap[..., fixed:].reshape(*candidates.shape, len(CAUSAL), -1).square().sum(dim=3)
        return gap[..., :fixed].square().sum(dim=2) + (causal * known[:, None]).sum(dim=2)
