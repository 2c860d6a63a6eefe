"""The generator of pix2pix (Isola et al. 2017, sec. 3.2.1): a U-Net, or the same network without its skips.

    down    C64 - C128 - C256 - C512 - C512 - …      4x4 convolutions at stride 2, down to 1 x 1 at the training size
    up      … - CD512 - CD512 - C256 - C128 - C64 - 3, tanh          transposed ones; D: dropout, the noise z

Every layer is activation, convolution, norm. The norm is instance norm: exactly what the paper's batch norm computes
at its batch size 1, but the same for every batch and in both modes. Two layers have none: the first, and the
innermost, whose 1 x 1 map instance norm would turn into zeros (an erratum of the authors).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.nn.blocks import SLOPE
from lib.nn.dcgan import NetworkError, dcgan_init
from lib.nn.padding import cut, pad_to_multiple

__all__ = ["UNetConfig", "UNetGenerator"]

NOISY_LAYERS = 3  # decoder layers with dropout, from the innermost on


@dataclass(frozen=True)
class UNetConfig:
    """The size of the network; the defaults are the paper's for 256 px."""

    channels: int  # of the condition x
    depth: int = 8  # halvings; 2^depth px become 1 x 1
    width: int = 64  # channels of the first layer
    widest: int = 8  # no layer has more than widest * width channels
    skips: bool = True  # False: the encoder-decoder of the paper's comparison
    dropout: float = 0.5  # probability that a channel value is dropped where noise is wanted

    def check(self) -> None:
        """Raise `NetworkError` where no network can be built."""
        if min(self.channels, self.width, self.widest) < 1 or self.depth < 2 or not 0 <= self.dropout < 1:
            raise NetworkError(
                "A U-Net needs at least 1 channel, width and widest, a depth of 2, and a dropout in [0, 1)."
            )


class Down(nn.Module):
    """LeakyReLU (not on the picture itself), convolution, norm: (B, C, 2H, 2W) -> (B, C', H, W)."""

    def __init__(self, c_in: int, c_out: int, *, first: bool = False, normed: bool = True) -> None:
        super().__init__()
        self.first = first
        # A norm that removes the mean makes a bias before it idle.
        self.conv = nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=not normed)
        self.norm = nn.InstanceNorm2d(c_out, affine=True) if normed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x if self.first else F.leaky_relu(x, SLOPE)))
        return out


class Up(nn.Module):
    """ReLU, transposed convolution, norm: (B, C, H, W) -> (B, C', 2H, 2W). 4 / 2 is whole: no checkerboard."""

    def __init__(self, c_in: int, c_out: int, *, normed: bool = True) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1, bias=not normed)
        self.norm = nn.InstanceNorm2d(c_out, affine=True) if normed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(F.relu(x)))
        return out


class UNetGenerator(nn.Module):
    """G: (x, z) -> picture. Weights start as N(0, 0.02).

    z is dropout and nothing else (sec. 3.1: noise at the input was ignored). It is drawn exactly when a generator
    is given, in training and at test time alike; ``train()`` and ``eval()`` change nothing.

    Raises:
        NetworkError: settings of which no network can be built.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        widths = [config.width * min(2**level, config.widest) for level in range(config.depth)]
        last = config.depth - 1
        self.downs = nn.ModuleList(
            Down(before, after, first=level == 0, normed=0 < level < last)
            for level, (before, after) in enumerate(zip([config.channels, *widths], widths, strict=False))
        )
        self.ups = nn.ModuleList()
        for level in range(last, -1, -1):  # the layer that leaves level `level` for the next finer one
            meets_skip = config.skips and level < last
            out = widths[level - 1] if level else 3
            self.ups.append(Up(widths[level] * (2 if meets_skip else 1), out, normed=level > 0))
        self.apply(dcgan_init)

    def forward(self, x: Tensor, *, noise: torch.Generator | None = None) -> Tensor:
        """Paint the condition.

        Args:
            x: (B, channels, H, W) of any size; sides that are no multiples of 2^depth are padded, then cut back.
            noise: draws the dropout masks; None gives the mean network, without randomness.

        Returns:
            (B, 3, H, W) in [-1, 1].

        Raises:
            NetworkError: another number of channels.
        """
        if x.ndim != 4 or x.shape[1] != self.config.channels:
            raise NetworkError(
                f"This generator reads conditions (B, {self.config.channels}, H, W), not {tuple(x.shape)}; "
                "make them with the Condition that it was trained on."
            )
        h, border = pad_to_multiple(x, 2**self.config.depth)
        levels: list[Tensor] = []
        for down in self.downs:
            h = down(h)
            levels.append(h)
        levels.pop()  # the innermost map goes on, it is no skip
        for place, up in enumerate(self.ups):
            h = up(h)
            if noise is not None and place < NOISY_LAYERS and levels:  # never on the picture itself
                h = self._dropped(h, noise)
            if levels:
                skip = levels.pop()
                h = torch.cat([h, skip], dim=1) if self.config.skips else h
        return cut(torch.tanh(h), border)

    def _dropped(self, h: Tensor, noise: torch.Generator) -> Tensor:
        """Set each value to 0 with the probability `dropout`, and keep the mean."""
        kept = 1 - self.config.dropout
        mask = torch.rand(h.shape, generator=noise, device=noise.device) < kept
        return h * mask.to(h.device, non_blocking=True) / kept
