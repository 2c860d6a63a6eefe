"""Layout fidelity: does the output obey the layout? Asked of judges that took no part in the training.

A judge reads a layout back from an image; the scores compare it with the layout that was ordered, as the
FCN-score of pix2pix does. A judge errs on real photos too, so every score belongs beside its *ceiling*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

from lib.data.augment import random_grid, warp_image, warp_layout
from lib.losses.patches import downsample, extract_patches, nearest_patches, take_patches
from lib.losses.refine import covering_rows, vote_patches


class Judge(Protocol):
    """Anything that reads a layout back from images."""

    def predict(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> class indices (B, H, W), int64."""
        ...


@dataclass(frozen=True)
class LayoutScores:
    """Agreement of predicted and ordered layouts, pooled over all pixels of all images."""

    miou: float  # mean intersection over union of the classes that occur in either layout
    accuracy: float  # share of pixels with the right class
    per_class: tuple[float, ...]  # intersection over union; NaN for a class in neither layout

    def relative(self, ceiling: LayoutScores) -> float:
        """Accuracy as a share of what the judge reaches on real pixels; it can exceed 1."""
        return self.accuracy / max(ceiling.accuracy, 1e-6)


def layout_scores(predicted: Tensor, ordered: Tensor) -> LayoutScores:
    """Compare class indices (B, H, W) with one-hot layouts (B, K, H, W).

    Raises:
        ValueError: the shapes do not fit.
    """
    if ordered.ndim != 4 or predicted.shape != (ordered.shape[0], *ordered.shape[2:]):
        raise ValueError(
            f"Predictions (B, H, W) must fit layouts (B, K, H, W), got {tuple(predicted.shape)} "
            f"and {tuple(ordered.shape)}."
        )
    classes, truth = ordered.shape[1], ordered.argmax(dim=1)
    labels = torch.arange(classes, device=truth.device)
    occurs = torch.isin(labels, predicted) | torch.isin(labels, truth)
    per_class = multiclass_jaccard_index(predicted, truth, classes, average="none")
    per_class = torch.where(occurs, per_class, torch.nan)
    accuracy = multiclass_accuracy(predicted, truth, classes, average="micro")
    return LayoutScores(float(per_class.nanmean()), float(accuracy), tuple(per_class.tolist()))


def ceiling(
    judge: Judge,
    image: Tensor,
    layout: Tensor,
    *,
    views: int = 4,
    strength: float = 0.5,
    generator: torch.Generator,
) -> LayoutScores:
    """Scores of a judge on real pixels whose layout is known: warped views of the photo.

    Views are warped so that a judge cannot simply recognise the photo that it has learned.

    Args:
        judge: the judge.
        image: (1, 3, H, W) in [-1, 1].
        layout: one-hot (1, K, H, W).
        views: number of warped views.
        strength: of the warp, in [0, 1]; 0 judges the photo itself.
        generator: draws the warps.
    """
    grid = random_grid(views, image.shape[2], image.shape[3], strength, generator=generator, device=image.device)
    return layout_scores(judge.predict(warp_image(image, grid)), warp_layout(layout, grid))


class PatchJudge:
    """A judge without training: every patch takes the label of the patches of the photo that it looks like.

    For every class, the nearest photo patch centred on it offers its own label patch, with a weight that
    falls with its distance, exp(-d^2 / bandwidth). All patches that cover a pixel vote, over several patch
    sizes and pyramid levels. One neighbour per class is the idea of naive-Bayes nearest neighbour
    (Boiman et al., CVPR 2008).
    """

    def __init__(
        self,
        image: Tensor,
        layout: Tensor,
        *,
        sizes: tuple[int, ...] = (3, 5, 7),
        levels: tuple[int, ...] = (1, 2),
        stride: int = 2,
        bandwidth: float = 0.01,
    ) -> None:
        """Remember the photo.

        Args:
            image: (1, 3, H, W) in [-1, 1].
            layout: one-hot (1, K, H, W).
            sizes, levels: patch sides in pixels, and downsampling factors.
            stride: step between the patches that vote.
            bandwidth: mean squared colour difference at which a vote has lost the factor e.

        Raises:
            ValueError: the layout does not fit the photo.
        """
        if layout.shape[2:] != image.shape[2:]:
            raise ValueError(f"The layout {tuple(layout.shape)} does not fit the photo {tuple(image.shape)}.")
        self.image, self.layout = image.detach().float(), layout.detach().float()
        self.sizes, self.levels, self.stride, self.bandwidth = sizes, levels, stride, bandwidth

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> class indices (B, H, W)."""
        total = images.new_zeros(images.shape[0], self.layout.shape[1], *images.shape[2:])
        for level in self.levels:
            small = downsample(images.float(), level)
            for size in self.sizes:
                votes = self._votes(small, downsample(self.image, level), downsample(self.layout, level), size)
                total += F.interpolate(votes, size=images.shape[2:], mode="bilinear", align_corners=False)
        return total.argmax(dim=1)

    def _votes(self, images: Tensor, photo: Tensor, layout: Tensor, size: int) -> Tensor:
        """Votes of one patch size at one level: (B, K, h, w), summing to 1 over the classes."""
        shape = (images.shape[2], images.shape[3])
        rows = covering_rows(*shape, size, self.stride, images.device)
        queries = extract_patches(images, size).index_select(1, rows)
        keys, labels = extract_patches(photo, size), extract_patches(layout, size)
        centres = labels.unflatten(-1, (-1, size**2))[0, :, :, size**2 // 2].argmax(dim=-1)
        distances, offers = [], []
        for label in centres.unique().tolist():
            mine = (centres == label).nonzero()[:, 0]
            squared, found = nearest_patches(queries, keys.index_select(1, mine))
            distances.append(squared)
            offers.append(take_patches(labels.index_select(1, mine), found))
        weights = torch.softmax(-torch.stack(distances) / self.bandwidth, dim=0).unsqueeze(-1)
        offer = (weights * torch.stack(offers)).sum(dim=0)  # (B, N, K*s*s)
        votes, total = vote_patches(offer, offer.new_ones(offer.shape[:2]), rows.expand(len(offer), -1), shape, size)
        return votes / total
