"""SRResNet, the generator of SRGAN (Ledig et al. 2017, fig. 4): residual blocks on the small picture, enlarged late.

    k9n64 - PReLU - 16 x [k3n64 - BN - PReLU - k3n64 - BN, + input] - k3n64 - BN, + first - 2 x up - k9n3

Nearly all work is done at low resolution: a convolution there costs 1/16 of one at four times the side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.book.equations import equation
from lib.data.super_resolution import enlarge
from lib.nn.dcgan import NetworkError

__all__ = ["SRResNet", "SRResNetConfig", "Upsampling", "icnr_"]

Upsampling = Literal["shuffle", "icnr", "resize"]
"""How a layer doubles the sides; see `Doubling`."""


@dataclass(frozen=True)
class SRResNetConfig:
    """The size of the network; the defaults are the paper's."""

    factor: int = 4  # r, a power of two
    width: int = 64  # channels
    blocks: int = 16  # residual blocks
    kernel: int = 9  # of the first and the last convolution
    norm: bool = True  # batch norm; later practice leaves it out
    upsampling: Upsampling = "shuffle"  # or "icnr", or "resize": enlarge, then convolve (Odena et al. 2016)
    base: Literal["nothing", "bicubic"] = "nothing"  # what is added to the answer; bicubic is ours, for short trainings

    def check(self) -> None:
        """Raise `NetworkError` where no network can be built."""
        if self.factor < 2 or self.factor & (self.factor - 1):
            raise NetworkError(f"The sides grow by doublings, so the factor must be 2, 4, 8 …, not {self.factor}.")
        if min(self.width, self.blocks) < 1 or self.kernel % 2 == 0:
            raise NetworkError("SRResNet needs at least 1 channel and 1 block, and an odd kernel.")


class ConvNorm(nn.Sequential):
    """3x3 convolution and batch norm, or a convolution with a bias: BN would take a bias out again."""

    def __init__(self, width: int, *, norm: bool) -> None:
        super().__init__(nn.Conv2d(width, width, 3, padding=1, bias=not norm))
        if norm:
            self.append(nn.BatchNorm2d(width))


class SRBlock(nn.Module):
    """x + norm(conv(prelu(norm(conv(x))))), nothing after the sum (Gross and Wilber's variant)."""

    def __init__(self, width: int, *, norm: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(ConvNorm(width, norm=norm), nn.PReLU(), ConvNorm(width, norm=norm))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


@torch.no_grad()
def icnr_(conv: nn.Conv2d, factor: int = 2) -> None:
    """Give the factor² channels that a shuffle will lay side by side the same weights (Aitken et al. 2017).

    Convolution and shuffle then begin as "convolve, and repeat every pixel": without a grid. Training may part them.
    """
    own = conv.weight[:: factor**2]
    conv.weight.copy_(own.repeat_interleave(factor**2, dim=0))
    if conv.bias is not None:
        conv.bias.copy_(conv.bias[:: factor**2].repeat_interleave(factor**2))


@equation("9.5", tests="tests/equations/test_srgan_equations.py::test_doubling")
class Doubling(nn.Module):
    """(B, C, H, W) -> (B, C, 2H, 2W), then PReLU.

    "shuffle": a convolution makes 4C channels, and channel 4c + 2i + j becomes pixel (i, j) of each 2x2 cell of
    channel c (Shi et al. 2016). The four come from different weights; before these agree, they draw a grid.
    "icnr": the same, but the four begin with the same weights.
    "resize": bilinear interpolation, then a convolution with one set of weights for all: flat stays flat.
    """

    def __init__(self, width: int, upsampling: Upsampling) -> None:
        super().__init__()
        self.shuffle = upsampling != "resize"
        self.conv = nn.Conv2d(width, 4 * width if self.shuffle else width, 3, padding=1)
        if upsampling == "icnr":
            icnr_(self.conv)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        if self.shuffle:
            x = F.pixel_shuffle(self.conv(x), 2)  # (B, 4C, H, W) -> (B, C, 2H, 2W)
        else:
            x = self.conv(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))
        out: Tensor = self.prelu(x)
        return out


class SRResNet(nn.Module):
    """G: small pictures (B, 3, H, W) in [-1, 1] of any size -> (B, 3, rH, rW), near [-1, 1], not clamped.

    Inside, the small picture lies in [0, 1] and the large one in [-1, 1], as in the paper. The default network has
    1 547 350 weights, if each PReLU has one slope (INFERRED; the paper does not say) and no bias stands before a norm.

    Raises:
        NetworkError: settings of which no network can be built.
    """

    def __init__(self, config: SRResNetConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or SRResNetConfig()
        c.check()
        pad = c.kernel // 2
        self.first = nn.Sequential(nn.Conv2d(3, c.width, c.kernel, padding=pad), nn.PReLU())
        self.blocks = nn.Sequential(
            *[SRBlock(c.width, norm=c.norm) for _ in range(c.blocks)], ConvNorm(c.width, norm=c.norm)
        )
        self.doublings = nn.Sequential(*[Doubling(c.width, c.upsampling) for _ in range(c.factor.bit_length() - 1)])
        self.paint = nn.Conv2d(c.width, 3, c.kernel, padding=pad)
        if c.base == "bicubic":  # begin as "add little"
            nn.init.normal_(self.paint.weight, std=0.1 / (c.kernel**2 * c.width) ** 0.5)
            assert self.paint.bias is not None
            nn.init.zeros_(self.paint.bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3:
            raise NetworkError(f"SRResNet enlarges pictures (B, 3, H, W), not {tuple(x.shape)}.")
        first = self.first((x + 1) / 2)
        out: Tensor = self.paint(self.doublings(first + self.blocks(first)))
        return out.float() + enlarge(x, self.config.factor) if self.config.base == "bicubic" else out.float()
