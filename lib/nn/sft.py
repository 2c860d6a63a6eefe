"""The SFT module: a change of layout becomes a scale and a shift of image features.

Li et al. 2020 give the two a branch each. With F_s, F_t the features of the source and target layout,

    gamma = Lin_scale(F_t / F_s),    beta = Lin_shift(F_t - F_s),    x <- gamma * norm(x) + beta.    (12.2-12.4)

Where the layouts agree, the ratio is 1 and the difference 0: the photo has nothing to change there, and the
fixed-point loss asks for gamma = 1 and beta = 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.nn.blocks import SLOPE, pixel_norm, zero_bias


@equation("12.2", tests="tests/equations/test_analogy.py::test_log_ratio")
def log_ratio(target: Tensor, source: Tensor) -> Tensor:
    """log((F_t + 1) / (F_s + 1)), the numerically safe form of F_t / F_s (12.2).

    For features >= 0 it is finite, 0 exactly where the features agree, and odd under a swap of the two.
    """
    return torch.log1p(target) - torch.log1p(source)


@equation("12.3", tests="tests/equations/test_analogy.py::test_sft_branches")
class SFT(nn.Module):
    """Scale and shift of image features from two layouts' features, by separate branches (12.3).

    Args:
        layout_channels: channels of F_s and F_t.
        image_channels: channels of the features to modulate.

    Returns of ``forward``:
        gamma_img, beta_img: (B, image_channels, H, W) each, near 1 and 0 before training.
    """

    def __init__(self, layout_channels: int, image_channels: int) -> None:
        super().__init__()
        self.scale = _branch(layout_channels, image_channels)
        self.shift = _branch(layout_channels, image_channels)

    def forward(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        gamma = 1 + self.scale(log_ratio(target, source))
        beta = self.shift(target - source)
        return gamma, beta


@equation("12.4", tests="tests/equations/test_analogy.py::test_modulate")
def modulate(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """gamma * norm(x) + beta (12.4); at gamma = 1, beta = 0 it is the norm, not the identity."""
    return gamma * pixel_norm(x) + beta


def _branch(layout_channels: int, image_channels: int) -> nn.Sequential:
    """1x1 convolutions act at each position alone. The last one starts small: modulation grows from nothing."""
    last = nn.Conv2d(layout_channels, image_channels, 1)
    nn.init.normal_(last.weight, std=0.02)
    zero_bias(last)
    return nn.Sequential(nn.Conv2d(layout_channels, layout_channels, 1), nn.LeakyReLU(SLOPE), last)
