"""Features for a content loss on photos, learned by the book itself: a small network in the shape of VGG.

SRGAN compares pictures in VGG-19, trained on a million photos. Here a network of the same shape learns from the few
training photos of the book: which photo does this patch come from? To tell brick from grass it must see what a mean
squared error in pixels does not: texture. The layers are named as in the paper, phi_{i,j}: the j-th convolution,
after its activation, before the i-th max pooling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from lib.nn.dcgan import NetworkError

__all__ = ["PhotoFeatures", "PhotoFeaturesConfig"]


@dataclass(frozen=True)
class PhotoFeaturesConfig:
    """What the network tells apart, and how large it is."""

    classes: tuple[str, ...]  # names of the photos
    widths: tuple[int, ...] = (16, 32, 64)  # channels before each pooling
    depth: int = 2  # convolutions before each pooling

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PhotoFeaturesConfig:
        """The config that a card holds."""
        return cls(**{**values, "classes": tuple(values["classes"]), "widths": tuple(values["widths"])})


class PhotoFeatures(nn.Module):
    """Patches (B, 3, H, W) in [-1, 1] -> logits (B, classes); its inner layers are what it is for.

    No norm: a feature at one place must not depend on the rest of the batch.
    """

    config_type: ClassVar[type[PhotoFeaturesConfig]] = PhotoFeaturesConfig

    def __init__(self, config: PhotoFeaturesConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = 3
        for width in config.widths:
            for _ in range(config.depth):
                conv = nn.Conv2d(before, width, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
                layers += [conv, nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.trunk = nn.Sequential(*layers[:-1])
        self.answer = nn.Linear(before, len(config.classes))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.trunk(x)
        logits: Tensor = self.answer(F.adaptive_avg_pool2d(maps, 1).flatten(1))
        return logits.float()

    def layer(self, i: int, j: int) -> str:
        """The name in ``trunk`` of phi_{i,j}, after the ReLU.

        Raises:
            NetworkError: there is no such convolution.
        """
        depth, stages = self.config.depth, len(self.config.widths)
        if not 1 <= i <= stages or not 1 <= j <= depth:
            raise NetworkError(f"These features have {stages} x {depth} convolutions; there is no phi_({i},{j}).")
        return str((i - 1) * (2 * depth + 1) + 2 * (j - 1) + 1)

    def stem(self, i: int, j: int) -> nn.Sequential:
        """The network as far as phi_{i,j}."""
        return nn.Sequential(*list(self.trunk)[: int(self.layer(i, j)) + 1])
