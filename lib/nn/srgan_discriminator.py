"""D of SRGAN (Ledig et al. 2017, fig. 4): eight convolutions, then dense layers that fix the size of the picture.

    k3n64s1 - n64s2 - n128s1 - n128s2 - n256s1 - n256s2 - n512s1 - n512s2 - dense 1024 - dense 1

Each is followed by LeakyReLU 0.2; batch norm stands on all convolutions but the first.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lib.nn.blocks import SLOPE
from lib.nn.dcgan import NetworkError

__all__ = ["Head", "SRDiscriminator"]

Head = Literal["dense", "pool"]

_HALVINGS = 4


class SRDiscriminator(nn.Module):
    """D: pictures (B, 3, size, size) -> logits (B, 1), which no sigmoid follows.

    At 96 px and the default width 23 563 649 weights, of which 18.9 million connect the last map to the first dense
    layer. Many later codes average that map instead (``head="pool"``): 5 213 569 weights, any size, and no knowledge
    of where in the crop something is.

    Args:
        size: side of the pictures, a multiple of 16; without effect for "pool".
        width: channels of the first layer.
        head: "dense" as in the paper, or "pool".
        norm: batch norm as in the paper. With it a logit depends on the whole batch.

    Raises:
        NetworkError: another size or width.
    """

    def __init__(self, *, size: int = 96, width: int = 64, head: Head = "dense", norm: bool = True) -> None:
        super().__init__()
        self.size, self.dense = size, head == "dense"
        if width < 1 or size < 2**_HALVINGS or size % 2**_HALVINGS:
            raise NetworkError(f"SRGAN's D halves {_HALVINGS} times: give a width and a size in multiples of 16 px, "
                               f"not {width} and {size}.")  # fmt: skip
        widths = [width * 2**level for level in range(_HALVINGS) for _ in range(2)]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(SLOPE)]
        for place, (before, after) in enumerate(pairwise(widths), start=1):
            layers.append(nn.Conv2d(before, after, 3, stride=1 + place % 2, padding=1, bias=not norm))
            layers += [nn.BatchNorm2d(after), nn.LeakyReLU(SLOPE)] if norm else [nn.LeakyReLU(SLOPE)]
        self.trunk = nn.Sequential(*layers)
        cells = (size >> _HALVINGS) ** 2 if self.dense else 1
        self.hidden = nn.Linear(widths[-1] * cells, 2 * widths[-1])
        self.score = nn.Linear(2 * widths[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.dense and x.shape[-2:] != (self.size, self.size):
            raise NetworkError(
                f"This D looks at {self.size} x {self.size} px, not at {tuple(x.shape[-2:])}; its dense layer knows "
                'one size only. head="pool" takes any.'
            )
        maps = self.trunk(x)
        seen = maps.flatten(1) if self.dense else maps.mean(dim=(2, 3))
        logits: Tensor = self.score(F.leaky_relu(self.hidden(seen), SLOPE))
        return logits.float()
