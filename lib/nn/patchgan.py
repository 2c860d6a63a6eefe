"""PatchGAN discriminator that sees the layout (Isola et al. 2017): is each patch real *for its labels*?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lib.nn.blocks import SLOPE


class PatchDiscriminator(nn.Module):
    """(image, layout) -> logits (B, 1, H/4, W/4) and the hidden features that feature matching compares.

    Four spectrally normalised convolutions, receptive field 26 px. Photo and one-hot layout enter side by
    side. The official SemIA code leaves the layout out, so its GAN term cannot ask for the layout.

    Args:
        classes: K.
        width: channels of the first convolution.
    """

    def __init__(self, classes: int, *, width: int = 32) -> None:
        super().__init__()
        self.convs = nn.ModuleList([
            spectral_norm(nn.Conv2d(3 + classes, width, 4, stride=2, padding=1)),
            spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            spectral_norm(nn.Conv2d(2 * width, 4 * width, 3, padding=1)),
        ])  # fmt: skip
        self.score = spectral_norm(nn.Conv2d(4 * width, 1, 3, padding=1))

    def forward(self, image: Tensor, layout: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = torch.cat([image, layout], dim=1)
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), SLOPE)
            features.append(x)
        return self.score(x).float(), features
