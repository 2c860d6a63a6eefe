"""The discriminators of pix2pix (Isola et al. 2017, sec. 3.2.2): does every patch of N x N px look real?

    patch    1    16    34    70    142    286      receptive field of one logit, px
    layers   -    1     2     3     4      5        convolutions at stride 2, before two at stride 1

They are fully convolutional, so one network judges pictures of any size. At 256 px the patches 1, 16, 70 and 286 are
the paper's: a pixel, 1/16 of the side, about a quarter, and all of it. At 64 px the same shares are near 1, 16 and 70.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lib.nn.blocks import SLOPE
from lib.nn.dcgan import NetworkError, dcgan_init

__all__ = ["PATCHES", "PatchGAN"]

PATCHES = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
"""Receptive field in px -> convolutions at stride 2."""

_WIDEST = 8  # multiples of the width


class PatchGAN(nn.Module):
    """D: pictures side by side -> one logit for each patch (B, 1, h, w), which no sigmoid follows.

    No norm on the first layer; then instance norm, which is the paper's batch norm at batch size 1. Weights start as
    N(0, 0.02). The mean over the map is taken by the loss: it is the loss of the mean patch.

    Args:
        channels: of all inputs together: those of x and y for a conditional D, 3 for one that sees y alone.
        patch: receptive field in px, a key of `PATCHES`.
        width: channels of the first layer.
        norm: "none" for a D whose logit depends on its patch alone; the statistics of instance norm come from the
            whole picture.

    Raises:
        NetworkError: a patch that the family does not have.
    """

    def __init__(
        self, channels: int, *, patch: int = 70, width: int = 64, norm: Literal["instance", "none"] = "instance"
    ) -> None:
        super().__init__()
        if patch not in PATCHES:
            raise NetworkError(f"There is no PatchGAN of {patch} px; the family has {', '.join(map(str, PATCHES))}.")
        self.channels, self.patch, self.halvings = channels, patch, PATCHES[patch]
        widths = [width * min(2**level, _WIDEST) for level in range(self.halvings + 1)]
        if patch == 1:  # PixelGAN: 1 x 1 convolutions
            kernels, strides, widths = [1, 1, 1], [1, 1, 1], [width, 2 * width]
        else:
            kernels, strides = [4] * (self.halvings + 2), [2] * self.halvings + [1, 1]
        layers: list[nn.Module] = []
        for place, after in enumerate(widths):
            before, normed = (widths[place - 1], norm != "none") if place else (channels, False)
            kernel, stride = kernels[place], strides[place]
            layers += [nn.Conv2d(before, after, kernel, stride, padding=kernel // 4, bias=not normed)]
            layers += [nn.InstanceNorm2d(after, affine=True)] if normed else []
            layers += [nn.LeakyReLU(SLOPE)]
        layers += [nn.Conv2d(widths[-1], 1, kernels[-1], padding=kernels[-1] // 4)]
        self.layers = nn.Sequential(*layers)
        self.apply(dcgan_init)

    @property
    def least_side(self) -> int:
        """The smallest side in px that leaves a logit, and more than one value for each norm."""
        return 3 * 2**self.halvings if self.halvings else 2

    def forward(self, *pictures: Tensor) -> Tensor:
        """Logits of the patches.

        Args:
            pictures: (B, C, H, W) each, C adding up to `channels`; D(x, y) for a conditional D, D(y) for another.

        Raises:
            NetworkError: other channels, or a picture too small for this D.
        """
        seen = torch.cat(pictures, dim=1)
        if seen.shape[1] != self.channels:
            raise NetworkError(
                f"This D sees {self.channels} channels, not {seen.shape[1]}; give it x and y, or y alone."
            )
        if min(seen.shape[-2:]) < self.least_side:
            raise NetworkError(
                f"A PatchGAN of {self.patch} px needs pictures of at least {self.least_side} px, not "
                f"{tuple(seen.shape[-2:])}; choose a smaller patch."
            )
        logits: Tensor = self.layers(seen)
        return logits.float()
