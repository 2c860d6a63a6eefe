"""A conditional generator that learns quickly: position-wise from the start, and smooth.

DCGAN's stack with two changes that count in a training of minutes. The linear map goes to 8 x 8 instead of 4 x 4
positions, so that each part of an aligned picture has weights of its own. And each transposed convolution is
followed by a fixed blur (as in Karras et al. 2020): alone it can draw any grid of dots, and at first it does.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.nn.blocks import SLOPE
from lib.nn.dcgan import NetworkError, class_vector, dcgan_init

__all__ = ["SmoothGenerator", "he_init"]

START = 8  # side of the first feature map, px


class SmoothGenerator(nn.Module):
    """G: latents (B, latent) and classes (B,) -> pictures (B, channels, size, size) in [-1, 1].

    The class enters beside z, as one-hot (Mirza and Osindero 2014).

    Args:
        latent: d.
        size: side of the pictures, a power of 2 from 16 on.
        channels: 1 or 3.
        width: channels at full size; twice as many at each halving.
        classes: K; 0 for none.

    Raises:
        NetworkError: the size is no power of 2, or a class is missing or not expected.
    """

    blur: Tensor

    def __init__(self, latent: int, size: int, channels: int = 3, *, width: int = 16, classes: int = 0) -> None:
        super().__init__()
        doublings = (max(size, 1) // START).bit_length() - 1
        if doublings < 1 or START * 2**doublings != size:
            raise NetworkError(f"The generator draws 16, 32, 64 … px, not {size}.")
        self.latent, self.size, self.classes = latent, size, classes
        widths = [width * 2**level for level in reversed(range(doublings + 1))]
        self.project = nn.Linear(latent + classes, widths[0] * START**2, bias=False)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in widths)
        self.colours = nn.Conv2d(widths[-1], channels, 3, padding=1)
        self.register_buffer("blur", torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16)
        self.apply(dcgan_init)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z (B, latent); y class indices (B,), for a conditional G only."""
        if self.classes or y is not None:
            z = torch.cat([z, class_vector(y, self.classes, z)], dim=1)
        x = self.project(z).unflatten(1, (-1, START, START))  # (B, C, 8, 8)
        x = F.relu(self.norms[0](x))
        for up, norm in zip(self.ups, list(self.norms)[1:], strict=True):
            x = up(x)
            kernel = self.blur.to(x.dtype).expand(x.shape[1], 1, 3, 3)
            x = F.relu(norm(F.conv2d(x, kernel, padding=1, groups=x.shape[1])))
        return torch.tanh(self.colours(x))


def he_init(layer: nn.Module) -> None:
    """Weights that keep the size of their signal (He et al. 2015): a D without norms needs it."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, SLOPE)
