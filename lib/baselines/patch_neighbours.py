"""Patch nearest neighbours, coarse to fine: a generator without training, led by two layouts.

Paper: Drop the GAN: in defense of patches nearest neighbors (Granot et al., CVPR 2022; GPNN). At every level
of a pyramid each patch of a rough picture looks for its nearest patch in the photo, blurred as much, and is
replaced by the sharp patch there; overlapping patches are averaged. The bidirectional similarity of Simakov
et al. (CVPR 2008) enters through a normalised score: a key that no query is close to becomes cheap,

    S_ij = D_ij / (alpha + min_l D_lj),

so small alpha asks that all of the photo appears (completeness) and alpha = inf leaves plain coherence.

The paper has no layouts. Ours (INFERRED): S_ij gets ``label_weight`` times the share of labels that differ,
the minimum over l counts that share too, and the first picture is the mean colour of each class. Ours as well,
for two cores: 5x5 patches and fewer iterations at finer levels, where the authors' code has 7x7 and 10 at
each; and a narrow window where patches overlap, which keeps texture. UNVERIFIED: that the blurred keys serve
the first iteration of a level only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.baselines.inputs import PaintError, check_inputs, one_hot_layouts
from lib.baselines.texture_by_numbers import gaussian_weights
from lib.book.equations import equation
from lib.losses.patches import extract_patches

__all__ = ["Neighbours", "level_sizes", "normalised_matches", "paint"]

# Values in one block of the distance matrix: about a CPU's cache, or 256 MiB of an accelerator's memory.
_BLOCK_CPU, _BLOCK_DEVICE = 1 << 22, 1 << 26


@dataclass(frozen=True)
class Neighbours:
    """Settings of the patch nearest neighbours.

    Attributes:
        size: side of a patch in pixels, odd.
        ratio: sides of a level over those of the next finer one.
        coarsest: the shorter side of the photo at the coarsest level, about, in pixels.
        iterations: replacements at the coarsest level; the number falls evenly to 2 at the finest.
        alpha: bound on the reward for a neglected patch, in mean squared colour difference (range 0..4).
        label_weight: score that a wholly mislabelled patch costs; a good match scores about 1.
        noise: standard deviation of what is added to the first picture; different noise, different picture.
        spread: standard deviation of the averaging window, in sides of a patch; wide ones blur.

    Raises:
        PaintError: a value is out of range.
    """

    size: int = 5
    ratio: float = 0.75
    coarsest: int = 20
    iterations: int = 10
    alpha: float = 0.02
    label_weight: float = 20.0
    noise: float = 0.0
    spread: float = 0.125

    def __post_init__(self) -> None:
        if self.size < 3 or self.size % 2 == 0 or not 0 < self.ratio < 1 or self.coarsest < self.size:
            raise PaintError(
                "Patches need an odd size >= 3, a ratio between 0 and 1 and a coarsest side of at least one patch, "
                f"got {self.size}, {self.ratio} and {self.coarsest}."
            )
        if self.iterations < 1 or min(self.label_weight, self.noise) < 0 or min(self.alpha, self.spread) <= 0:
            raise PaintError(
                "Patches need iterations >= 1, alpha and spread > 0, label_weight and noise >= 0, got "
                f"{self.iterations}, {self.alpha}, {self.spread}, {self.label_weight} and {self.noise}."
            )


@torch.no_grad()
def paint(
    photo: Tensor,
    layout: Tensor,
    target: Tensor,
    settings: Neighbours | None = None,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Paint a layout with the photo's patches: (3, H', W') in [-1, 1].

    Args:
        photo: (3, H, W) in [-1, 1].
        layout: (H, W) class indices.
        target: (H', W') class indices that occur in ``layout``.
        settings: default `Neighbours()`.
        generator: source of the noise, needed with ``settings.noise``.

    Raises:
        PaintError: the inputs do not fit, or the generator is missing.
    """
    settings = settings or Neighbours()
    check_inputs(photo, layout, target, least=settings.size)
    if settings.noise and generator is None:
        raise PaintError("Noise needs an explicit generator: pass generator=torch.Generator(...).")
    labels_s, labels_t = one_hot_layouts(layout, target, torch.float32)
    source = photo.float().unsqueeze(0)
    scales = _scales(tuple(layout.shape), tuple(target.shape), settings)
    sizes_s, sizes_t = (level_sizes(tuple(labels.shape), scales, settings.size) for labels in (layout, target))
    picture = _first_picture(source, labels_s, _resize(labels_t, sizes_t[0]))
    if settings.noise:
        noise = torch.randn(picture.shape, generator=generator, device=generator.device if generator else None)
        picture = picture + settings.noise * noise.to(picture)
    blurred: Tensor | None = None  # the photo as the rough picture sees it
    for level, (size_s, size_t) in enumerate(zip(sizes_s, sizes_t, strict=True)):
        values = _resize(source, size_s)
        keys = values if blurred is None else _resize(blurred, size_s)
        here, there = (
            _label_patches(_resize(labels_t, size_t), settings),
            _label_patches(_resize(labels_s, size_s), settings),
        )
        picture = _resize(picture, size_t)
        for _ in range(_count(level, len(sizes_s), settings.iterations)):
            picture = _replace(picture, keys, values, here, there, settings)
            keys = values  # from now on the picture is as sharp as the photo
        blurred = values
    return picture[0].clamp(-1, 1)


def _count(level: int, levels: int, iterations: int) -> int:
    """Iterations at a level, from ``iterations`` at level 0 to 2 at the finest (1 where ``iterations`` is 1)."""
    last = min(2, iterations)
    return round(iterations - (iterations - last) * level / max(1, levels - 1))


def _scales(first: tuple[int, ...], second: tuple[int, ...], settings: Neighbours) -> list[float]:
    """Factors of the sides, coarse to fine, ending with 1."""
    scales = [1.0]
    while min(*first, *second) * scales[-1] * settings.ratio >= settings.coarsest:
        scales.append(scales[-1] * settings.ratio)
    return scales[::-1]


def level_sizes(full: tuple[int, ...], scales: list[float], least: int) -> list[tuple[int, int]]:
    """Heights and widths of the levels of a picture, at least ``least`` pixels each."""
    return [(max(least, round(full[0] * scale)), max(least, round(full[1] * scale))) for scale in scales]


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, antialiased when it shrinks; of a one-hot layout it makes shares that add up to 1."""
    if tuple(image.shape[2:]) == size:
        return image
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)


def _first_picture(source: Tensor, labels_s: Tensor, labels_t: Tensor) -> Tensor:
    """The mean colour of each class, where the target wants the class: (1, 3, h, w)."""
    sums = torch.einsum("nchw,nkhw->kc", source, labels_s)
    means = sums / labels_s.sum(dim=(0, 2, 3)).clamp(min=1)[:, None]
    return torch.einsum("kc,nkhw->nchw", means, labels_t)


def _label_patches(labels: Tensor, settings: Neighbours) -> Tensor:
    """Nine labels of each patch, at its corners, middles and centre: (1, N, K*9), scaled to a share of 1.

    All labels of a patch would be more numbers than its colours and say little more.
    """
    nine = F.unfold(labels, 3, dilation=(settings.size - 1) // 2).transpose(1, 2)
    return nine / math.sqrt(2 * 9)  # two one-hot vectors are 2 apart in squared distance


def _replace(
    picture: Tensor, keys: Tensor, values: Tensor, here: Tensor, there: Tensor, settings: Neighbours
) -> Tensor:
    """Each patch becomes the value of its best key; overlaps are averaged with a Gaussian window."""
    size = settings.size
    queries, asked = extract_patches(picture, size)[0], extract_patches(keys, size)[0]
    matches = normalised_matches(
        queries, asked, alpha=settings.alpha, labels=(here[0], there[0]), label_weight=settings.label_weight
    )
    window = gaussian_weights(size, picture, settings.spread).repeat(picture.shape[1])[:, None]
    said = extract_patches(values, size)[0][matches].T * window  # (C*s*s, N)
    shape = (picture.shape[2], picture.shape[3])
    return F.fold(said[None], shape, size) / F.fold(window.expand_as(said)[None], shape, size)


@equation("11.6", tests="tests/wiring/test_baselines_patches.py::test_matches_equal_the_formula")
def normalised_matches(
    queries: Tensor,
    keys: Tensor,
    *,
    alpha: float,
    labels: tuple[Tensor, Tensor] | None = None,
    label_weight: float = 0.0,
) -> Tensor:
    """The key of every query with the least normalised score.

        S_ij = D_ij / (alpha + min_l (D_lj + L_lj)) + label_weight * L_ij

    D is the mean squared difference, L the squared distance of the labels (1 for wholly different patches).

    Args:
        queries: (N, D) patches of the picture.
        keys: (M, D) patches of the photo.
        alpha: > 0; ``inf`` matches by distance alone (the labels then count ``label_weight`` in units of D).
        labels: (N, E) and (M, E), the label patches of both.
        label_weight: see above.

    Returns:
        (N,) int64, rows of ``keys``.
    """
    centre = keys.mean(dim=0)  # smaller norms, less cancellation in the expanded square
    scale = queries.shape[1] ** -0.5
    here, there = [(queries - centre) * scale], [(keys - centre) * scale]
    if labels is not None:
        here.append(labels[0])
        there.append(labels[1])
    rows = _search_rows(here)
    block = _BLOCK_CPU if keys.device.type == "cpu" else _BLOCK_DEVICE
    parts = rows.split(max(1, block // len(keys)))
    weight = keys.new_ones(len(keys), 1)
    if alpha != math.inf:
        columns = _search_columns(there, [1.0, 1.0])
        nearest = torch.stack([(part @ columns).amin(dim=0) for part in parts]).amin(dim=0)
        weight = 1 / (alpha + nearest.clamp(min=0))[:, None]
    columns = _search_columns(there, [weight, label_weight])
    return torch.cat([(part @ columns).argmin(dim=1) for part in parts])


def _search_rows(blocks: list[Tensor]) -> Tensor:
    """[x, |x|^2, 1] of every block, side by side: see `_search_columns`."""
    parts = [[x, x.square().sum(dim=1, keepdim=True), torch.ones_like(x[:, :1])] for x in blocks]
    return torch.cat([one for part in parts for one in part], dim=1)


def _search_columns(blocks: list[Tensor], weights: list[Tensor | float]) -> Tensor:
    """w * [-2y, 1, |y|^2] of every block: rows @ columns is the sum of w_j |x_i - y_j|^2, in one product."""
    parts = [
        torch.cat([-2 * y, torch.ones_like(y[:, :1]), y.square().sum(dim=1, keepdim=True)], dim=1) * weight
        for y, weight in zip(blocks, weights[: len(blocks)], strict=True)
    ]
    return torch.cat(parts, dim=1).T.contiguous()
