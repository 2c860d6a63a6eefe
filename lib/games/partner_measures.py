"""Is it the partner? Scores against the true picture that blur cannot win; chapters 4 and 5 share them.

Decibels reward caution: the mean of all true pictures is never far from any. Here a picture has to have the partner's
contours, and what a network sees in the partner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lib.games.photo_features_train import content_features, load_photo_features
from lib.losses.perceptual import FeatureMaps
from lib.metrics.reconstruction import psnr
from lib.metrics.translation import contours, strangeness

__all__ = ["flat_competitors", "partner_features", "partner_scores"]

DEEPEST = (3, 2)  # phi_{3,2}: a blur of 2 px is as bad as another house there; finer maps forgive it


def partner_features() -> FeatureMaps:
    """The judge: chapter 9's features, which learned from photographs and met neither a façade nor a generator.

    Raises:
        CheckpointError: they are not on this machine.
    """
    return content_features(DEEPEST, load_photo_features())


@torch.no_grad()
def partner_scores(picture: Tensor, truth: Tensor, maps: Callable[[Tensor], Sequence[Tensor]]) -> dict[str, float]:
    """``psnr`` in dB (at most 100), ``strangeness`` and ``contours`` of pictures (B, 3, H, W) to their true partners.

    Args:
        maps: features that took no part in the training; `partner_features`.
    """
    picture = picture.to(truth.device)
    return {
        "psnr": float(psnr(picture, truth, data_range=(-1.0, 1.0)).clamp(max=100.0).mean()),
        "strangeness": strangeness(picture, truth, maps),
        "contours": contours(picture, truth),
    }


def flat_competitors(pile: Tensor, count: int) -> dict[str, Tensor]:
    """What the target pile (N, 3, H, W) gives without looking at the input: `count` times the same picture.

    Returns:
        "mean picture", the mean of each pixel, and "mean colour", one colour all over.
    """
    mean = pile.mean(dim=0, keepdim=True)
    colour = mean.mean(dim=(2, 3), keepdim=True)
    pictures = {"mean picture": mean, "mean colour": colour.expand_as(mean)}
    return {name: picture.expand(count, -1, -1, -1) for name, picture in pictures.items()}
