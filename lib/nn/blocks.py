"""The convolution blocks that the single-photo networks are made of.

Every block normalises with `pixel_norm`. It looks at one position only, so it behaves the same in training
and at test time, at batch size 1, and when a layout changes how much of the picture is sky: batch and
instance norm mix the whole picture into every pixel, which shifts colours when the shares of the classes
change.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of every LeakyReLU, as in the SemIA and pix2pix codes


def pixel_norm(x: Tensor, eps: float = 1e-4) -> Tensor:
    """x / rms over channels, at each position: (B, C, H, W) -> same shape (Karras et al. 2018, sec. 4.2)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + eps)


def leaky_product(x: Tensor, slope: float = SLOPE) -> Tensor:
    """LeakyReLU written as x times its slope, for a D under a gradient penalty.

    Values and gradients are those of `F.leaky_relu`. But to the second derivative, which is zero, `F.leaky_relu` gives
    a tensor of zeros, and a penalty then carries these zeros back through the whole forward pass of D.
    """
    slopes = torch.full_like(x, slope, requires_grad=False).masked_fill_(x.detach() > 0, 1.0)
    return x * slopes


class ConvBlock(nn.Module):
    """Convolution, pixel norm, LeakyReLU: (B, C_in, H, W) -> (B, C_out, H, W), or half the size with ``down``.

    A downsampling kernel is 4x4 at stride 2: every input pixel takes part in the same number of outputs, so
    no checkerboard is built in.
    """

    def __init__(self, c_in: int, c_out: int, *, kernel: int = 3, down: bool = False) -> None:
        super().__init__()
        self.conv = (
            nn.Conv2d(c_in, c_out, 4, stride=2, padding=1) if down
            else nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2)
        )  # fmt: skip
        nn.init.kaiming_normal_(self.conv.weight, SLOPE)
        zero_bias(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(pixel_norm(self.conv(x)), SLOPE)


class ResidualBlock(nn.Module):
    """x + conv(block(x)); the last convolution starts small, so the block starts near the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = ConvBlock(channels, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.normal_(self.conv.weight, std=0.01)
        zero_bias(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv(self.block(x))
        return out


def zero_bias(conv: nn.Conv2d) -> None:
    """Start a convolution without a bias."""
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
