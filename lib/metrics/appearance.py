"""How much an output looks like the photo: patches, colours, sharpness and checkerboards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.losses.patches import patch_coherence
from lib.metrics.sifid import frechet_distance, gaussian_moments

# Fewer pixels than this make no mean or covariance worth reporting.
_FEW_PIXELS = 16


def patch_distances(
    output: Tensor, source: Tensor, *, size: int = 5, levels: Sequence[int] = (1, 2, 4), stride: int = 2
) -> dict[str, float]:
    """Coherence and completeness per pyramid level, as root mean squared colour differences.

    Coherence asks whether the output invents anything, completeness whether it forgets anything. Both have
    the unit of the image, [-1, 1]; 0 is perfect.

    Returns:
        ``{"coherence@1": ..., "completeness@1": ..., "coherence@2": ...}``, one pair per level.
    """
    row = {}
    for level in levels:
        pairs = (("coherence", output, source), ("completeness", source, output))
        for name, asking, answering in pairs:
            squared = patch_coherence(
                asking, answering, sizes=(size,), levels=(level,), stride=stride, distance="squared"
            )
            row[f"{name}@{level}"] = float(squared.sqrt())
    return row


def colour_cast(output: Tensor, output_layout: Tensor, source: Tensor, source_layout: Tensor) -> dict[str, float]:
    """Difference of the colour statistics, class by class, weighted by the area of the class in the output.

    Args:
        output, source: (1, 3, H, W) in [-1, 1].
        output_layout, source_layout: one-hot (1, K, H, W).

    Returns:
        ``colour_mean``: distance between the mean colours; ``colour_frechet``: Fréchet distance (not squared)
        between Gaussians fitted to the colours, which also sees lost or added contrast. Both in the unit of
        the image; NaN when no class has pixels in both images.
    """
    mean = frechet = area = 0.0
    for here, there in zip(output_layout[0].bool(), source_layout[0].bool(), strict=True):
        rows_out, rows_src = output[0][:, here].T, source[0][:, there].T
        if min(len(rows_out), len(rows_src)) < _FEW_PIXELS:
            continue
        moments_out, moments_src = gaussian_moments(rows_out), gaussian_moments(rows_src)
        mean += len(rows_out) * float((moments_out[0] - moments_src[0]).norm())
        frechet += len(rows_out) * float(frechet_distance(*moments_out, *moments_src).sqrt())
        area += len(rows_out)
    if area == 0:
        return {"colour_mean": float("nan"), "colour_frechet": float("nan")}
    return {"colour_mean": mean / area, "colour_frechet": frechet / area}


def sharpness_ratio(output: Tensor, output_layout: Tensor, source: Tensor, source_layout: Tensor) -> float:
    """Mean gradient magnitude inside the regions, output over source; geometric mean over the classes.

    1 is as sharp as the photo, below 1 is blurred, above 1 is noisy. Gradients across a layout border do not
    count, because a new layout has other borders. Shapes as in ``colour_cast``; NaN when no class can be
    compared.
    """
    ratios = []
    strength_out, inside_out = _inner_gradients(output, output_layout)
    strength_src, inside_src = _inner_gradients(source, source_layout)
    for here, there in zip(inside_out, inside_src, strict=True):
        if min(int(here.sum()), int(there.sum())) >= _FEW_PIXELS:
            ratios.append((strength_out[here].mean() + 1e-6) / (strength_src[there].mean() + 1e-6))
    return float(torch.stack(ratios).log().mean().exp()) if ratios else float("nan")


def checkerboard_energy(output: Tensor, source: Tensor, *, period: int = 4, block: int = 16) -> float:
    """Share of fine detail that repeats with a decoder's stride, output over source; near 1 if all is well.

    A transposed convolution of stride s leaves patterns of period s (Odena et al., Distill 2016). In each
    block, the mean over the pixels of equal phase (y mod period, x mod period) keeps exactly the frequencies
    k / period. Their energy is divided by the energy of all detail finer than 5 pixels, and the share of the
    output by the share of the source.

    Args:
        output, source: (B, 3, H, W) in [-1, 1], at least one block large.
        period: 2 or 4; 4 contains the frequencies of 2.
        block: side of a block, a multiple of ``period``; small enough to see a local artefact.

    Raises:
        ValueError: the block is no multiple of the period, or an image is smaller than a block.
    """
    if block % period or block < 2 * period:
        raise ValueError(f"block must be a multiple of period and at least twice as large, got {block}, {period}.")
    for image in (output, source):
        if min(image.shape[2:]) < block:
            raise ValueError(f"The image {tuple(image.shape)} is smaller than one block of {block} pixels.")
    return float(_lattice_share(output, period, block) / _lattice_share(source, period, block))


def _lattice_share(image: Tensor, period: int, block: int) -> Tensor:
    grey = image.float().mean(dim=1, keepdim=True)
    detail = grey - F.avg_pool2d(F.pad(grey, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
    height, width = (side // block * block for side in image.shape[2:])
    rows, columns, repeats = height // block, width // block, block // period
    # (B, block row, repeat, phase y, block column, repeat, phase x)
    cells = detail[:, 0, :height, :width].reshape(-1, rows, repeats, period, columns, repeats, period)
    phases = cells.mean(dim=(2, 5), keepdim=True)
    return (phases.square().mean() + 1e-12) / (cells.square().mean() + 1e-12)


def _inner_gradients(image: Tensor, layout: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient magnitude (H-1, W-1) and, per class, where all three pixels of the stencil are inside it."""
    corner = image[0, :, :-1, :-1]
    dx, dy = image[0, :, :-1, 1:] - corner, image[0, :, 1:, :-1] - corner
    strength = (dx.square() + dy.square()).sum(dim=0).sqrt()
    mask = layout[0].bool()
    return strength, mask[:, :-1, :-1] & mask[:, :-1, 1:] & mask[:, 1:, :-1]
