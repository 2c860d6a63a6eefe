"""How different the samples of one model are from each other: nothing else shows a collapse within a class.

FID sees collapse only together with everything else, the inception score and the accuracy of a classifier not at
all. A mean distance is a number in the unit of its ruler, so the ruler's name and the value of real pictures
belong beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from lib.metrics.checks import MeasureError, as_rgb, check_images
from lib.metrics.features import Features, weights_on_disk

__all__ = [
    "Distance",
    "Diversity",
    "FeatureDistance",
    "Lpips",
    "ms_ssim",
    "ms_ssim_scales",
    "pairwise_distance",
    "pairwise_ms_ssim",
]

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales (Wang, Simoncelli and Bovik 2003)
_WINDOW = 11
_BATCH = 128


class Distance(Protocol):
    """How far apart the pictures of a pair are."""

    @property
    def name(self) -> str:
        """Printed beside every number."""
        ...

    def __call__(self, a: Tensor, b: Tensor, /) -> Tensor:
        """Pictures (B, 3, H, W) and (B, 3, H, W) in [-1, 1] -> (B,), at least 0."""
        ...


class FeatureDistance:
    """Root mean square difference of two feature vectors."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.name = f"rms-{features.name}"

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, 3, H, W) and (B, 3, H, W) in [-1, 1] -> (B,)."""
        return (self.features(a) - self.features(b)).square().mean(dim=1).sqrt()


class Lpips:
    """LPIPS (Zhang et al. 2018) in AlexNet, from torchmetrics, where AlexNet's weights are on disk.

    Raises:
        MeasureError: they are not; nothing is downloaded.
    """

    name = "lpips-alex"

    def __init__(self) -> None:
        from torchmetrics.image import LearnedPerceptualImagePatchSimilarity
        from torchvision.models import AlexNet_Weights  # only here: its import takes a second

        if weights_on_disk(AlexNet_Weights.IMAGENET1K_V1.url) is None:
            raise MeasureError(
                "LPIPS needs the weights of AlexNet, which are not on this machine; fetch them with "
                f"torch.hub.load_state_dict_from_url({AlexNet_Weights.IMAGENET1K_V1.url!r}), or measure with "
                "FeatureDistance(RandomConvFeatures())."
            )
        self._network = LearnedPerceptualImagePatchSimilarity(net_type="alex").net

    @torch.no_grad()
    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, 3, H, W) and (B, 3, H, W) in [-1, 1], at least 32 pixels -> (B,)."""
        distances: Tensor = self._network.to(a.device)(as_rgb(a), as_rgb(b))
        return distances.flatten()


@dataclass(frozen=True)
class Diversity:
    """A mean over pairs of samples."""

    mean: float
    error: float  # standard error of the mean, as if the pairs were independent
    pairs: int
    ruler: str  # name of the distance or similarity

    def __str__(self) -> str:
        return f"{self.ruler} {self.mean:.3g} ± {self.error:.1g} ({self.pairs} pairs)"


def pairwise_distance(
    images: Tensor,
    distance: Distance,
    *,
    pairs: int = 200,
    groups: Tensor | None = None,
    generator: torch.Generator,
) -> Diversity:
    """Mean distance of random pairs of different samples: larger is more diverse.

    Args:
        images: (N, 1 or 3, H, W) in [-1, 1].
        distance: the ruler: `Lpips()` where its weights are, else `FeatureDistance`.
        pairs: number of pairs.
        groups: (N,) whole numbers; only samples of one group are paired (one class, one source picture). Without
            it, differences between classes hide that all samples of a class are alike.
        generator: draws the pairs.

    Raises:
        MeasureError: another range, fewer than two samples, or a group without a pair.
    """
    return _over_pairs(check_images(images), distance, distance.name, pairs, groups, generator)


def pairwise_ms_ssim(
    images: Tensor,
    *,
    pairs: int = 100,
    groups: Tensor | None = None,
    scales: int | None = None,
    generator: torch.Generator,
) -> Diversity:
    """Mean MS-SSIM of random pairs of different samples: **smaller** is more diverse (Odena et al. 2017).

    The score depends on the number of scales, so 64-pixel values (3 scales) cannot stand beside the 128-pixel
    ones of the AC-GAN paper. Compare with real pictures of the same size.

    Args and errors are those of `pairwise_distance` and `ms_ssim`.
    """
    images = check_images(images)
    scales = ms_ssim_scales(min(images.shape[-2:])) if scales is None else scales
    return _over_pairs(
        images, lambda a, b: ms_ssim(a, b, scales=scales), f"ms-ssim-{scales}-scales", pairs, groups, generator
    )


def ms_ssim_scales(side: int) -> int:
    """How many of the five scales fit into a picture: each halves it, and the last must hold the 11-pixel window.

    Raises:
        MeasureError: not even one fits.
    """
    # torchmetrics asks for 11 (scales - 1)^2 pixels, at four scales a little more than the window needs.
    fitting = [n for n in range(1, 6) if min(side >> (n - 1), side // max(1, n - 1) ** 2) >= _WINDOW]
    if not fitting:
        raise MeasureError(f"MS-SSIM looks through a window of {_WINDOW} pixels; {side} pixels are too few.")
    return fitting[-1]


def ms_ssim(a: Tensor, b: Tensor, *, scales: int | None = None) -> Tensor:
    """Multi-scale structural similarity of each pair (Wang et al. 2003), from torchmetrics.

    Five scales need 176 pixels. With fewer, the first weights are scaled to sum to 1.

    Args:
        a, b: (B, 1 or 3, H, W) in [-1, 1].
        scales: 1 to 5; None takes as many as fit.

    Returns:
        (B,) in [0, 1]; negative similarities of a scale count as 0.

    Raises:
        MeasureError: more scales than fit.
    """
    a, b = check_images(a), check_images(b)
    side = min(a.shape[-2:])
    most = ms_ssim_scales(side)
    scales = most if scales is None else scales
    if not 1 <= scales <= most:
        raise MeasureError(f"{scales} scales do not fit into {side} pixels; use 1 to {most}.")
    total = sum(_WEIGHTS[:scales])
    betas = tuple(weight / total for weight in _WEIGHTS[:scales])
    values = multiscale_structural_similarity_index_measure(a, b, data_range=2.0, betas=betas, reduction="none")
    return values.reshape(len(a))


def _over_pairs(
    images: Tensor,
    ruler: Callable[[Tensor, Tensor], Tensor],
    name: str,
    pairs: int,
    groups: Tensor | None,
    generator: torch.Generator,
) -> Diversity:
    first, second = _pairs(len(images), pairs, groups, generator)
    values = torch.cat(
        [ruler(images[i], images[j]) for i, j in zip(first.split(_BATCH), second.split(_BATCH), strict=True)]
    ).double()
    return Diversity(float(values.mean()), float(values.std() / len(values) ** 0.5), len(values), name)


def _pairs(count: int, pairs: int, groups: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of random pairs of different samples, both of one group."""
    groups = torch.zeros(count, dtype=torch.int64) if groups is None else groups.detach().cpu()
    if pairs < 2 or groups.shape != (count,):
        raise MeasureError(f"Diversity needs at least two pairs, and a group for each of the {count} samples.")
    order = torch.argsort(groups, stable=True)
    _, sizes = torch.unique_consecutive(groups[order], return_counts=True)
    if int(sizes.min()) < 2:
        raise MeasureError("Diversity compares samples with each other; each group needs two of them at least.")
    starts = sizes.cumsum(0) - sizes
    own = torch.repeat_interleave(torch.arange(len(sizes)), sizes)  # sorted position -> its group

    def whole(below: Tensor) -> Tensor:
        drawn = torch.rand(pairs, generator=generator, device=generator.device, dtype=torch.float64).cpu()
        return (drawn * below).long()

    first = whole(torch.tensor(count))
    start, size = starts[own[first]], sizes[own[first]]
    second = start + (first - start + 1 + whole(size - 1)) % size
    return order[first], order[second]
