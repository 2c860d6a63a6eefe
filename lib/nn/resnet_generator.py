"""The residual generator of CycleGAN (Johnson et al. 2016; Zhu et al. 2017, sec. 7.2), and the layers it is made of.

    c7s1-w  d2w  d4w  R4w x blocks  u2w  uw  c7s1-3

Two halvings, residual blocks at a quarter of the size, two doublings. Its layers can be told a label; StarGAN's
generator (`lib.nn.stargan`) uses that.

Instance norm keeps no running statistics here, so training and evaluation mode draw the same picture, and a
picture does not depend on the others of its batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.nn.dcgan import NetworkError, dcgan_init
from lib.nn.padding import cut, pad_to_multiple

__all__ = [
    "ConvLayer", "InstanceNorm", "Padding", "ResidualLayer", "ResnetConfig", "ResnetGenerator", "doubled",
]  # fmt: skip

Padding = Literal["reflect", "zeros"]


class InstanceNorm(nn.Module):
    """Each channel of each picture to mean 0 and variance 1, then a gain and a shift.

    The gain and the shift are 1 and 0 (CycleGAN), learned (``affine``), or a linear function of a label
    (``labels`` > 0; conditional instance norm, Dumoulin et al. 2017).

    Args:
        channels: of its input.
        affine: learn gain and shift.
        labels: length of the label vector; 0 for none.
    """

    def __init__(self, channels: int, *, affine: bool = False, labels: int = 0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels)) if affine and not labels else None
        self.shift = nn.Parameter(torch.zeros(channels)) if affine and not labels else None
        self.modulate = nn.Linear(labels, 2 * channels) if labels else None

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """x (B, C, H, W), label (B, labels) -> the shape of x."""
        x = F.instance_norm(x, weight=self.gain, bias=self.shift)
        if self.modulate is None:
            return x
        if label is None:
            raise NetworkError("This norm takes its gain and shift from a label; give one to the network.")
        gain, shift = self.modulate(label)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
        return torch.addcmul(x + shift, x, gain)


class ConvLayer(nn.Module):
    """Convolution (plain, to half or to double the size), instance norm, ReLU.

    Args:
        channels_in, channels_out: of the convolution.
        kernel: its side. Down and up: 3 (CycleGAN) or 4 (StarGAN, without a checkerboard).
        scale: "same", "down" or "up".
        padding: of the plain convolutions; halving and doubling pad with zeros in both papers.
        relu: False leaves the ReLU out.
        affine, labels: see `InstanceNorm`.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: int = 3, scale: Literal["same", "down", "up"] = "same",
        padding: Padding = "reflect", relu: bool = True, affine: bool = False, labels: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        # Instance norm removes the mean of each channel: a bias before it would do nothing.
        if scale == "up":
            self.conv: nn.Module = nn.ConvTranspose2d(
                channels_in, channels_out, kernel, stride=2, padding=1, output_padding=kernel % 2, bias=False
            )
        elif scale == "down":
            self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride=2, padding=1, bias=False)
        else:
            self.conv = nn.Conv2d(
                channels_in, channels_out, kernel, padding=kernel // 2, padding_mode=padding, bias=False
            )
        self.norm = InstanceNorm(channels_out, affine=affine, labels=labels)
        self.relu = relu

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.norm(self.conv(x), label)
        return F.relu(x) if self.relu else x


class ResidualLayer(nn.Module):
    """x + layer(layer(x)), no ReLU after the sum (Gross and Wilber's variant, which both papers use)."""

    def __init__(self, channels: int, *, padding: Padding = "reflect", affine: bool = False, labels: int = 0) -> None:
        super().__init__()
        self.first = ConvLayer(channels, channels, padding=padding, affine=affine, labels=labels)
        self.second = ConvLayer(channels, channels, padding=padding, relu=False, affine=affine, labels=labels)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        out: Tensor = x + self.second(self.first(x, label), label)
        return out


@dataclass(frozen=True)
class ResnetConfig:
    """The size of the network; the defaults are the paper's from 256 px on."""

    channels_in: int = 3  # 3 for pictures, K for one-hot label maps
    channels_out: int = 3
    width: int = 64  # channels of the first layer; each halving doubles them
    blocks: int = 9  # residual blocks; 6 for 128 px
    padding: Padding = "reflect"  # of the plain convolutions; "zeros" is faster and leaves a frame
    halvings: int = 2  # the blocks work at size / 2^halvings; 1 for 64 px keeps the paper's 32 x 32 of 128 px
    up_kernel: int = 3  # of the doublings; 3 covers pixels unevenly, a checkerboard early in training; 4 does not
    skip: bool = False  # the last layer also sees the first one's output: details need no lesson in a short training


class ResnetGenerator(nn.Module):
    """G: pictures (B, channels_in, H, W) of any size from 8 px on -> pictures (B, channels_out, H, W) in [-1, 1].

    Sides that cannot be halved so often are padded, and cut again. With the default width and channels the network
    has 11 372 931 weights (9 blocks) or 7 833 987 (6 blocks). The authors' code has 5248 and 3712 more: biases
    before a norm that removes them.
    """

    def __init__(self, config: ResnetConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or ResnetConfig()
        widths = doubled(c.width, c.halvings)
        self.layers = nn.Sequential(
            ConvLayer(c.channels_in, c.width, kernel=7, padding=c.padding),
            *[ConvLayer(before, after, scale="down") for before, after in pairwise(widths)],
            *[ResidualLayer(widths[-1], padding=c.padding) for _ in range(c.blocks)],
            *[ConvLayer(b, a, scale="up", kernel=c.up_kernel) for b, a in pairwise(widths[::-1])],
        )
        self.paint = nn.Conv2d(2 * c.width if c.skip else c.width, c.channels_out, 7, padding=3, padding_mode=c.padding)
        self.apply(dcgan_init)

    def forward(self, x: Tensor) -> Tensor:
        padded, border = pad_to_multiple(x, 2**self.config.halvings)
        first = self.layers[0](padded)
        last = self.layers[1:](first)
        out: Tensor = self.paint(torch.cat([last, first], dim=1) if self.config.skip else last)
        return cut(torch.tanh(out.float()), border)


def doubled(width: int, halvings: int) -> list[int]:
    """Channels from full size down to size / 2^halvings."""
    return [width * 2**level for level in range(halvings + 1)]
