"""An encoder from pictures to latents: the trunk of DCGAN's discriminator with d numbers at its end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.nn.blocks import SLOPE

__all__ = ["ImageEncoder"]

_SIDE = 4  # px, of the last feature map


class ImageEncoder(nn.Module):
    """x (B, C, size, size) -> z (B, latent), linear at the end, for z ~ N(0, I) has no bounds.

    Strided 4 x 4 convolutions with batch norm halve the picture down to 4 x 4, as in Dong et al. 2017 (their
    kernels are 5 x 5).

    Args:
        latent: d.
        size: side of the picture, a power of 2 from 8 on.
        channels: of the picture.
        width: channels of the first convolution; they double at each of the next.
        classes: K of an encoder E(x, c) that is told the class; 0 for the paper's E(x).

    Raises:
        ValueError: the size is no power of 2, or a class is missing or not expected.
    """

    def __init__(self, latent: int, *, size: int, channels: int = 3, width: int = 32, classes: int = 0) -> None:
        super().__init__()
        halvings = round(math.log2(max(size, 1) / _SIDE))
        if halvings < 1 or _SIDE * 2**halvings != size:
            raise ValueError(f"The encoder needs a side of 8, 16, 32 … pixels, not {size}.")
        self.latent, self.size, self.classes = latent, size, classes
        widths = [channels + classes, *(width * min(2**level, 8) for level in range(halvings))]
        convs = [
            nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=level == 0)
            for level, (c_in, c_out) in enumerate(pairwise(widths))
        ]
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight, SLOPE)
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c_out) for c_out in widths[2:])
        self.out = nn.Linear(widths[-1] * _SIDE**2, latent)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if (y is not None) != bool(self.classes):
            raise ValueError(
                "This encoder was built without classes; call E(x)." if not self.classes
                else "This encoder is told the class; call E(x, y)."
            )  # fmt: skip
        if y is not None:
            planes = F.one_hot(y, self.classes).to(x.dtype)[:, :, None, None]
            x = torch.cat([x, planes.expand(-1, -1, *x.shape[2:])], dim=1)
        for conv, norm in zip(self.convs, self._norms(), strict=True):
            x = F.leaky_relu(norm(conv(x)), SLOPE)
        z: Tensor = self.out(x.flatten(1))
        return z

    def _norms(self) -> Iterator[nn.Module]:
        """No norm at the first layer: it would erase the brightness of the picture."""
        yield nn.Identity()
        yield from self.norms
