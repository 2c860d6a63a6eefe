"""DCGAN's two networks (Radford et al. 2016), for pictures of 16, 32 or 64 px, with or without classes.

Both are stacks of 4x4 convolutions at stride 2. 4 is divisible by 2: every output pixel of a transposed
convolution then gets the same number of contributions, so no checkerboard is built in. All weights start as
N(0, 0.02), gains of batch norm as N(1, 0.02).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.nn.blocks import SLOPE
from lib.nn.spectral import spectral_normalised

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "NetworkError", "class_vector", "dcgan_init"]

Norm = Literal["batch", "instance", "spectral", "none"]
Head = Literal["none", "projection", "auxiliary"]

SIZES = (16, 32, 64)
START = 4  # side of G's first and D's last feature map, px
_STD = 0.02


class NetworkError(ValueError):
    """A network cannot be built or called like this. The message says what to give it."""


class DCGANGenerator(nn.Module):
    """G: latent vectors (and classes) -> pictures (B, channels, size, size) in [-1, 1].

    Args:
        latent: size of z.
        size: side of the pictures, 16, 32 or 64 px.
        channels: 1 or 3.
        width: channels before the last layer; each layer before it has twice as many.
        classes: length of the class vector that is set beside z; 0 for none.
    """

    def __init__(self, latent: int, size: int, channels: int = 3, *, width: int = 64, classes: int = 0) -> None:
        super().__init__()
        self.latent, self.size, self.classes = latent, size, classes
        widths = _widths(size, width)[::-1]
        self.project = nn.Linear(latent + classes, widths[0] * START**2, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1))
        self.apply(dcgan_init)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z (B, latent); y class indices (B,) or a class vector (B, classes), for a conditional G only."""
        if self.classes or y is not None:
            z = torch.cat([z, class_vector(y, self.classes, z)], dim=1)
        x = self.project(z).unflatten(1, (-1, START, START))  # (B, C, 4, 4)
        out: Tensor = self.layers(F.relu(self.norm(x)))
        return torch.tanh(out)


class DCGANDiscriminator(nn.Module):
    """D: pictures (B, channels, size, size) -> logits (B, 1), which no sigmoid follows.

    Args:
        size: side of the pictures, 16, 32 or 64 px.
        channels: 1 or 3.
        width: channels of the first layer; each next layer has twice as many.
        norm: "batch" as in the paper (not on the first layer), "instance", "spectral", or "none".
        classes: length of the class vector; 0 for none.
        head: how D uses the class. "projection" adds <V y, features> to the logit (Miyato and Koyama 2018);
            "auxiliary" names the class in a second output, see `judge` (AC-GAN, Odena et al. 2017).

    Raises:
        NetworkError: another size or norm, or classes without a head.
    """

    def __init__(
        self,
        size: int,
        channels: int = 3,
        *,
        width: int = 64,
        norm: Norm = "batch",
        classes: int = 0,
        head: Head = "none",
    ) -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise NetworkError(f"D knows no norm {norm!r}; use {', '.join(map(repr, get_args(Norm)))}.")
        if (classes > 0) != (head != "none"):
            raise NetworkError(f"D has {classes} classes and the head {head!r}; give both, or neither.")
        self.size, self.classes, self.head = size, classes, head
        widths = [channels, *_widths(size, width)]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            normed = norm in ("batch", "instance") and before != channels
            # A norm that removes the mean makes a bias before it idle.
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not normed)]
            if normed:
                layers += [nn.BatchNorm2d(after) if norm == "batch" else nn.InstanceNorm2d(after, affine=True)]
            layers += [nn.LeakyReLU(SLOPE)]
        self.trunk = nn.Sequential(*layers)
        self.score = nn.Linear(widths[-1] * START**2, 1)
        self.project = nn.Linear(classes, widths[-1], bias=False) if head == "projection" else None
        self.classify = nn.Linear(widths[-1] * START**2, classes) if head == "auxiliary" else None
        self.apply(dcgan_init)
        if norm == "spectral":
            spectral_normalised(self)

    def features(self, x: Tensor) -> Tensor:
        """The last feature map: (B, C, 4, 4)."""
        if x.shape[-2:] != (self.size, self.size):
            raise NetworkError(f"This D looks at {self.size} x {self.size} px, not at {tuple(x.shape[-2:])}.")
        out: Tensor = self.trunk(x)
        return out

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits (B, 1). y, class indices (B,) or a vector (B, classes), is for the projection head only."""
        features = self.features(x)
        logits: Tensor = self.score(features.flatten(1)).float()
        if self.project is None and y is None:
            return logits
        if self.project is None:
            raise NetworkError(f"This D has the head {self.head!r} and takes no class; build it with 'projection'.")
        direction: Tensor = self.project(class_vector(y, self.classes, features))  # (B, C)
        return logits + (direction * features.sum(dim=(2, 3))).sum(dim=1, keepdim=True).float()

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of "real" (B, 1) and logits of the class (B, classes), for the auxiliary head."""
        if self.classify is None:
            raise NetworkError(f"This D has the head {self.head!r} and names no class; build it with 'auxiliary'.")
        features = self.features(x).flatten(1)
        return self.score(features).float(), self.classify(features).float()


def class_vector(y: Tensor | None, classes: int, like: Tensor) -> Tensor:
    """Class indices (B,) -> one-hot (B, classes) in the dtype of `like`; a vector (B, classes) passes.

    Raises:
        NetworkError: no class where one is needed, one where none is known, or another shape.
    """
    if y is None or not classes:
        raise NetworkError(f"The network was built for {classes} classes; give y exactly where there are classes.")
    if y.ndim == 1 and not y.is_floating_point():
        return F.one_hot(y, classes).to(like)
    if y.ndim == 2 and y.shape[1] == classes:
        return y.to(like)
    raise NetworkError(f"y must be class indices (B,) or a vector (B, {classes}), not {tuple(y.shape)} {y.dtype}.")


def dcgan_init(layer: nn.Module) -> None:
    """Weights from N(0, 0.02), gains from N(1, 0.02), no biases (Radford et al. 2016, sec. 4); for `apply`."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, _STD)
    elif isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d) and layer.weight is not None:
        nn.init.normal_(layer.weight, 1.0, _STD)
    else:
        return
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _widths(size: int, width: int) -> list[int]:
    """Channels of D's feature maps, from half size down to 4 x 4."""
    if size not in SIZES:
        raise NetworkError(f"DCGAN draws {', '.join(map(str, SIZES))} px, not {size}.")
    halvings = (size // START).bit_length() - 1
    return [width * 2**level for level in range(halvings)]
