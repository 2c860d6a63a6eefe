"""The discriminator of pix2pixHD and SPADE: PatchGANs that look at the picture in several sizes.

One reading of patches is local. The same patch on a picture of half the size sees twice as far: the first D asks for
texture, the last for the arrangement (Wang et al. 2018, sec. 3.2).
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lib.nn.blocks import SLOPE
from lib.nn.dcgan import NetworkError
from lib.nn.spade import xavier

__all__ = ["FeaturePatchGAN", "Judgement", "MultiscaleDiscriminator"]

Judgement = list[list[Tensor]]
"""For each scale, fine to coarse, D's hidden features and, last, its logits."""

_WIDEST = 8  # multiples of the width


class FeaturePatchGAN(nn.Module):
    """PatchGAN that also hands out its features: (B, C, H, W) -> [features, …, logits (B, 1, h, w)].

    4 x 4 convolutions, all but the last two at stride 2; instance norm without parameters and spectral norm on those
    in between. Padding 2 makes each map a pixel larger than with the 1 of pix2pix. Four layers see 70 px, three 34 px.

    Args:
        channels: of picture and layout together.
        layers: convolutions before the last one.
        width: channels of the first one.

    Raises:
        NetworkError: fewer than two layers.
    """

    def __init__(self, channels: int, *, layers: int = 4, width: int = 64) -> None:
        super().__init__()
        if layers < 2:
            raise NetworkError(f"A PatchGAN of {layers} layers has no hidden norm; take 2 or more.")
        widths = [channels, *(width * min(2**place, _WIDEST) for place in range(layers))]
        stages: list[nn.Module] = []
        for place, (before, after) in enumerate(pairwise(widths)):
            stride = 2 if place < layers - 1 else 1
            conv = xavier(nn.Conv2d(before, after, 4, stride, padding=2, bias=place == 0))
            normed = [nn.InstanceNorm2d(after)] if place else []
            stages.append(nn.Sequential(spectral_norm(conv) if place else conv, *normed, nn.LeakyReLU(SLOPE)))
        self.stages = nn.ModuleList([*stages, xavier(nn.Conv2d(widths[-1], 1, 4, padding=2))])

    def forward(self, seen: Tensor) -> list[Tensor]:
        answers = []
        for stage in self.stages:
            seen = stage(seen)
            answers.append(seen)
        return answers


class MultiscaleDiscriminator(nn.Module):
    """D: (picture (B, 3, H, W), layout (B, K, H, W)) -> a `Judgement`, in float32.

    Args:
        classes: K.
        scales: PatchGANs; each sees half the size of the one before.
        layers, width: of each PatchGAN.
    """

    def __init__(self, classes: int, *, scales: int = 2, layers: int = 4, width: int = 64) -> None:
        super().__init__()
        if scales < 1:
            raise NetworkError(f"A discriminator of {scales} scales judges nothing; take 1 or more.")
        self.channels, self.layers = 3 + classes, layers
        self.patches = nn.ModuleList(FeaturePatchGAN(self.channels, layers=layers, width=width) for _ in range(scales))

    @property
    def least_side(self) -> int:
        """The smallest side in px that leaves the coarsest PatchGAN one full stride."""
        return int(2 ** (self.layers + len(self.patches) - 2))

    def forward(self, picture: Tensor, layout: Tensor) -> Judgement:
        """Judge pairs.

        Raises:
            NetworkError: other channels, or sides below `least_side`.
        """
        seen = torch.cat([picture, layout], dim=1)
        if seen.shape[1] != self.channels or min(seen.shape[-2:]) < self.least_side:
            raise NetworkError(
                f"This D sees 3 + {self.channels - 3} channels of at least {self.least_side} px, not "
                f"{tuple(picture.shape)} and {tuple(layout.shape)}."
            )
        judgement: Judgement = []
        for patch in self.patches:
            judgement.append([answer.float() for answer in cast(list[Tensor], patch(seen))])
            # The border is averaged over what exists: counted as zeros it would darken.
            seen = F.avg_pool2d(seen, 3, stride=2, padding=1, count_include_pad=False)
        return judgement
