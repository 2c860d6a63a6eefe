"""E_seg, the segmentation encoder of semantic image analogy (Li et al. 2020, SFT module).

One network with shared weights reads both layouts. What the two have in common gives equal features; only
their differences may change the photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class LayoutEncoder(nn.Module):
    """One-hot layout (B, K, H, W) -> positive features at scales 1, 1/2, 1/4, ... (one per width).

    The softplus keeps every feature above zero. The paper divides F_target by F_source; a ratio of positive
    numbers has a meaning, while the reference code divides LeakyReLU outputs of either sign and meets ratios
    of 1e5.

    Args:
        classes: K, number of classes of the palette.
        widths: channels of each level, finest first.
    """

    def __init__(self, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.head = nn.Conv2d(classes, widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths))

    def forward(self, layout: Tensor) -> list[Tensor]:
        features = [F.softplus(self.head(layout))]
        for conv in self.down:
            features.append(F.softplus(conv(features[-1])))
        return features
