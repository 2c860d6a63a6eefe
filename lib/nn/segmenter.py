"""S, the segmentation network of semantic image analogy: it reads a layout back from a photo."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lib.nn.blocks import SLOPE


class Segmenter(nn.Module):
    """Photo (B, 3, H, W) in [-1, 1] -> class logits (B, K, H, W).

    Works at half resolution with dilated convolutions: receptive field 32 px, enough for texture and
    surroundings, too little to learn the one layout by heart.

    Args:
        classes: K.
        width: channels at full resolution; twice as many at half.
    """

    def __init__(self, classes: int, *, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * width, 2 * width, 3, padding=2, dilation=2), nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * width, 2 * width, 3, padding=4, dilation=4), nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * width, classes, 1),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        return F.interpolate(self.layers(image).float(), size=image.shape[-2:], mode="bilinear")
