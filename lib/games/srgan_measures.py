"""What a super-resolution is judged by: nearness to the truth, and what nearness does not see.

PSNR and SSIM come in both bookkeepings, on luminance and on RGB, with as many border pixels cut off as the factor
(UNVERIFIED for the paper: its code is not public; all faithful copies do so). None of the perceptual measures uses
the network of the content loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from lib.book.equations import equation
from lib.data.public.samples import Samples
from lib.data.super_resolution import FACTOR, enlarge
from lib.metrics.checks import MeasureError
from lib.metrics.diversity import FeatureDistance
from lib.metrics.features import RandomConvFeatures
from lib.metrics.fidelity import fid
from lib.metrics.reconstruction import psnr, ssim
from lib.metrics.translation import by_scale, contours, sharpness

__all__ = ["COMPETITORS", "enlarged", "grid", "patches_of", "sr_scores", "sr_table"]

Enlarge = Callable[[Tensor], Tensor]
PATCH = 32  # px of the pieces whose distribution is compared
_RANGE = (-1.0, 1.0)

COMPETITORS: Mapping[str, Enlarge] = {
    "nearest": lambda low: enlarge(low, method="nearest"),
    "bicubic": enlarge,
}
"""Name -> what enlarges without having learned anything."""


@torch.no_grad()
def enlarged(G: Enlarge, samples: Samples) -> list[Tensor]:
    """G's answer (3, rH, rW) in [-1, 1] to each sample, one after the other, for their sizes differ.

    A network must be in evaluation mode: batch norm would judge one picture by its own statistics.
    """
    return [G(samples.read(index)["condition"][None])[0].float().clamp(-1, 1) for index in range(len(samples))]


def sr_scores(pictures: Sequence[Tensor], samples: Samples, *, factor: int = FACTOR) -> dict[str, float]:
    """All measures of one method; the mean over pictures, as papers take it, and over patches for ``patch_fid``.

    Returns:
        ``psnr/y``, ``psnr/rgb`` (dB), ``ssim/y``, ``ssim/rgb``: nearness. ``distance``: root mean square difference
        of random-convolution features of the same picture. ``patch_fid``: FID of all patches in these features, 0 for
        the truth. Both pool over the picture and hardly ask where an edge is; ``contours`` does, see
        `lib.metrics.translation.contours`. ``sharpness``: gradient energy over the truth's. ``agreement``: correlation
        of the finest details with the true ones; an invented texture has sharpness 1 and agreement 0. ``grid``: see
        `grid`.
    """
    truths = [samples.read(index)["image"] for index in range(len(samples))]
    if len(pictures) != len(truths):
        raise MeasureError(f"There are {len(pictures)} pictures for {len(truths)} true ones.")
    ruler = FeatureDistance(RandomConvFeatures())
    rows = [_of_pair(fake[None], true[None], ruler, factor) for fake, true in zip(pictures, truths, strict=True)]
    scores = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    scores["patch_fid"] = fid(patches_of(truths), patches_of(pictures), ruler.features)
    return scores


def sr_table(methods: Mapping[str, Enlarge], samples: Samples, *, factor: int = FACTOR) -> dict[str, dict[str, float]]:
    """Scores of the competitors and of every method, by name; the truth's sharpness and grid are those of ``truth``."""
    truth = [samples.read(index)["image"] for index in range(len(samples))]
    table = {
        name: sr_scores(enlarged(G, samples), samples, factor=factor) for name, G in {**COMPETITORS, **methods}.items()
    }
    grain = sum(grid(picture[None], factor) for picture in truth) / len(truth)
    perfect = {"distance": 0.0, "patch_fid": 0.0, "contours": 1.0, "sharpness": 1.0, "agreement": 1.0}
    table["truth"] = perfect | {"grid": grain}
    return table


@equation("9.6", tests="tests/equations/test_srgan_equations.py::test_grid")
def grid(pictures: Tensor, factor: int = FACTOR) -> float:
    """How much a picture's grain depends on the place within the r x r cell: 0 for none, large for a checkerboard.

    The mean squared difference to the mean of the four neighbours is taken apart by place in the cell; the result is
    the standard deviation over the r² places divided by their mean. A photo knows nothing of cells.

    Args:
        pictures: (B, C, rH, rW).
    """
    x = pictures.float()
    x = x[..., : x.shape[-2] - x.shape[-2] % factor, : x.shape[-1] - x.shape[-1] % factor]
    around = (x.roll(1, -1) + x.roll(-1, -1) + x.roll(1, -2) + x.roll(-1, -2)) / 4
    energy = (x - around).square().unflatten(-1, (-1, factor)).unflatten(-3, (-1, factor))  # (B, C, H, r, W, r)
    inside = energy[:, :, 1:-1, :, 1:-1]  # `roll` joined opposite borders
    places = inside.mean(dim=(0, 1, 2, 4)).flatten()
    return float(places.std(correction=0) / places.mean().clamp_min(1e-12))


def patches_of(pictures: Sequence[Tensor], size: int = PATCH) -> Tensor:
    """All whole tiles: pictures (3, H, W) -> (N, 3, size, size)."""
    return torch.cat([
        picture.unfold(1, size, size).unfold(2, size, size).permute(1, 2, 0, 3, 4).flatten(0, 1) for picture in pictures
    ])  # fmt: skip


def _of_pair(fake: Tensor, true: Tensor, ruler: FeatureDistance, factor: int) -> dict[str, float]:
    everywhere = torch.ones_like(true[:, 0], dtype=torch.bool)
    scores: dict[str, float] = {}
    for channel in ("y", "rgb"):
        for name, measure in (("psnr", psnr), ("ssim", ssim)):
            value = measure(fake, true, data_range=_RANGE, channel=channel, border=factor)
            scores[f"{name}/{channel}"] = min(float(value), 100.0)  # JSON has no infinity
    return scores | {
        "distance": float(ruler(fake, true)),
        "contours": contours(fake, true),
        "sharpness": sharpness(fake, true, everywhere),
        "agreement": by_scale(fake, true, everywhere, scales=1)[0][1],
        "grid": grid(fake, factor),
    }
