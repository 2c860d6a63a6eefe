"""Adaptive instance norm: a style code sets mean and spread of every channel (Huang and Belongie 2017).

    AdaIN(x, y) = sigma(y) (x - mu(x)) / sigma(x) + mu(y)                              (their eq. 8)

There, y is another picture's features. A generator is told a code s instead, of which a linear layer makes the two:
sigma = 1 + gamma(s), mu = beta(s). That is `lib.nn.resnet_generator.InstanceNorm` with the code as its label.
"""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lib.book.equations import equation
from lib.nn.blocks import SLOPE
from lib.nn.resnet_generator import InstanceNorm

__all__ = ["ResidualStep", "adain", "he_init"]

Norm = Literal["none", "instance", "adain"]


@equation(
    "10.2", tests="tests/equations/test_srgan_maskface.py::test_adain_gives_exactly_the_mean_and_spread_of_the_style"
)
def adain(x: Tensor, mean: Tensor, std: Tensor, *, eps: float = 1e-5) -> Tensor:
    """x with the given mean and standard deviation in each channel of each picture.

    Args:
        x: (B, C, H, W).
        mean, std: (B, C), of the style. The spread is exact up to `eps`, where x has any.
    """
    return std[:, :, None, None] * F.instance_norm(x, eps=eps) + mean[:, :, None, None]


class ResidualStep(nn.Module):
    """(x's shortcut + two times norm, LeakyReLU, 3x3 convolution) / sqrt 2, as in StarGAN v2 (Choi et al. 2020).

    Dividing by sqrt 2 keeps the variance of a sum of two unit variances. Halving averages 2x2 pixels between the two
    convolutions; doubling repeats pixels before the first.

    Args:
        before, after: channels.
        scale: "same", "down" or "up".
        norm: "none", "instance" with learned gain and shift, or "adain".
        style: length of the code, for "adain".
        smooth: doubling interpolates instead (ours): a short training has no time to blur the steps.
    """

    def __init__(
        self, before: int, after: int, *, scale: Literal["same", "down", "up"] = "same", norm: Norm = "none",
        style: int = 0, smooth: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.scale, self.smooth = scale, smooth
        # As in the authors' code: a decoder changes the number of channels first, an encoder last.
        middle = after if norm == "adain" else before
        self.norms = nn.ModuleList(_norm(norm, channels, style) for channels in (before, middle))
        self.first = nn.Conv2d(before, middle, 3, padding=1)
        self.second = nn.Conv2d(middle, after, 3, padding=1)
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """x (B, before, H, W), style (B, style) for "adain" -> (B, after, H', W')."""
        # A 1x1 convolution commutes with averaging and repeating: it is done where there are fewer pixels.
        short = self._repeated(self.shortcut(self._averaged(x)))
        x = self.first(self._repeated(F.leaky_relu(self._normed(0, x, style), SLOPE)))
        x = self.second(F.leaky_relu(self._normed(1, self._averaged(x), style), SLOPE))
        out: Tensor = (x + short) / math.sqrt(2)
        return out

    def _normed(self, place: int, x: Tensor, style: Tensor | None) -> Tensor:
        norm = self.norms[place]
        out: Tensor = norm(x, style) if isinstance(norm, InstanceNorm) else norm(x)
        return out

    def _averaged(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if self.scale == "down" else x

    def _repeated(self, x: Tensor) -> Tensor:
        if self.scale != "up":
            return x
        return F.interpolate(x, scale_factor=2.0, mode="bilinear" if self.smooth else "nearest")


def he_init(layer: nn.Module) -> None:
    """He et al. 2015: variance 2 / fan-in, biases 0. For ``network.apply``."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _norm(kind: Norm, channels: int, style: int) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    return InstanceNorm(channels, affine=kind == "instance", labels=style if kind == "adain" else 0)
