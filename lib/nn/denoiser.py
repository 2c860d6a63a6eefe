"""DIAT's denoiser: two convolutions that know what feature losses do to pixels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Denoiser"]


class Denoiser(nn.Module):
    """f: pictures (B, 3, H, W) -> repaired pictures of the same shape; it sees 5 x 5 px.

    Two 3 x 3 convolutions, as in the paper, whose answer is *added* to the picture (ours): f starts as the identity,
    which is what clean faces ask for.

    Args:
        width: channels between the two (UNVERIFIED in the paper).
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1, padding_mode="reflect")
        self.second = nn.Conv2d(width, 3, 3, padding=1, padding_mode="reflect")
        nn.init.normal_(self.second.weight, std=1e-2)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]  # this layer has a bias

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.relu(self.first(x)))
        return out
