"""DTN's networks (Taigman et al. 2017): G = g o f, a code and a picture painted from it, and a D with three answers.

The layers for 32 px digits are those of public reimplementations; the paper's own (f: 64-128-256-128 channels; g with
1 x 1 convolutions for faces) are UNVERIFIED beyond that.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.book.equations import equation
from lib.nn.blocks import SLOPE
from lib.nn.dcgan import NetworkError, dcgan_init
from lib.nn.judges import ResidualTrunk

__all__ = [
    "AnswerDiscriminator",
    "CodeDecoder",
    "ConceptEncoder",
    "DomainTransfer",
    "DomainTransferConfig",
    "PortraitEncoder",
    "in_colour",
]

START = 4  # side of g's first and D's last feature map, px


@dataclass(frozen=True)
class DomainTransferConfig:
    """The size of G; the defaults are for 32 px digits."""

    encoder: Literal["conv", "trunk", "portrait"] = "conv"  # f: `ConceptEncoder`, a judge's trunk, `PortraitEncoder`
    size: int = 32  # px, of both domains; a power of two from 16 on
    f_width: int = 64  # channels of f's first layer
    code: int = 128  # length of f's answer
    channels: int = 1  # of the pictures that g paints
    g_width: int = 128  # channels before g's last layer; each layer before has twice as many
    g_widest: int = 512  # but not more than so many
    pointwise: bool = False  # a 1 x 1 convolution after each doubling, the paper's for faces
    doubling: Literal["transposed", "resize"] = "transposed"  # how g grows: learned, or each pixel four times


class ConceptEncoder(nn.Module):
    """f: pictures (B, 3, size, size) -> codes (B, code) in [-1, 1], learned by naming the classes of the source.

    Args:
        size: of the pictures, a power of two from 16 on.
        width: channels of the first layer; each next one has twice as many.
        code: length of the code.
        classes: that `name` tells apart.
    """

    def __init__(self, size: int = 32, *, width: int = 64, code: int = 128, classes: int = 10) -> None:
        super().__init__()
        widths = [3, *(width * 2**level for level in range(_halvings(size)))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):  # batch norm removes the mean: a bias before it would be idle
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.Conv2d(widths[-1], code, START, bias=False), nn.BatchNorm2d(code), nn.Tanh(), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        self.classify = nn.Linear(code, classes)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.layers(x)
        return code

    def name(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.classify(self(x))
        return logits.float()


class PortraitEncoder(ResidualTrunk):
    """f for faces: the trunk of a judge, and behind it a code too narrow for what no answer needs.

    Pictures (B, 3, size, size) -> codes (B, code) in [-1, 1].

    Args:
        size, width, features: of the trunk.
        code: length of the code.
    """

    def __init__(self, size: int, *, width: int = 16, features: int = 128, code: int = 48) -> None:
        super().__init__(size, width=width, features=features)
        self.narrow = nn.Linear(features, code)

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(self.narrow(super().forward(image)))


class CodeDecoder(nn.Module):
    """g: codes (B, code) -> pictures (B, channels, size, size) in [-1, 1].

    Args:
        config: `code`, `channels`, `size`, `g_width`, `g_widest`, `pointwise` and `doubling` of it.
    """

    def __init__(self, config: DomainTransferConfig) -> None:
        super().__init__()
        c = config
        widths = [min(c.g_width * 2**level, c.g_widest) for level in range(_halvings(c.size))][::-1]
        self.start = nn.ConvTranspose2d(c.code, widths[0], START, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for before, after in pairwise(widths):
            layers += [_doubling(c, before, after, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            if c.pointwise:
                layers += [nn.Conv2d(after, after, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, _doubling(c, widths[-1], c.channels, bias=True))
        self.apply(dcgan_init)

    def forward(self, code: Tensor) -> Tensor:
        out: Tensor = self.layers(self.start(code[:, :, None, None]))
        return torch.tanh(out.float())


class AnswerDiscriminator(nn.Module):
    """D: pictures (B, channels, size, size) -> logits of its answers (B, answers): 3 in the paper, 1 for a usual GAN.

    Args:
        size: of the pictures, a power of two from 16 on.
        channels: of the pictures.
        width: channels of the first layer; each next one has twice as many.
        widest: no layer has more channels.
        answers: 3 or 1.
        norm: batch norm from the second layer on, as in the reimplementations.
    """

    def __init__(
        self, size: int = 32, channels: int = 1, *, width: int = 128, widest: int = 512, answers: int = 3,
        norm: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        widths = [channels, *(min(width * 2**level, widest) for level in range(_halvings(size)))]
        layers: list[nn.Module] = []
        for place, (before, after) in enumerate(pairwise(widths)):
            normed = norm and place > 0
            layers.append(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=not normed))
            layers += [nn.BatchNorm2d(after)] if normed else []
            layers.append(nn.LeakyReLU(SLOPE))
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], answers, START), nn.Flatten())
        self.apply(dcgan_init)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits.float()


class DomainTransfer(nn.Module):
    """G = g o f: pictures (B, 1 or 3, H, W) of the source, any size -> pictures (B, 3, size, size).

    Grey pictures come out with three equal channels; the game works on ``g(code(x))``, which has the target's own.

    Args:
        config: how large.
        f: the encoder, pictures -> codes; default an untrained one of the config.
        frozen: f stands still, in evaluation mode, whatever mode the game is put into; False: G learns its own.
    """

    def __init__(self, config: DomainTransferConfig, f: nn.Module | None = None, *, frozen: bool = True) -> None:
        super().__init__()
        self.config, self.frozen = config, frozen
        self.f = encoder_of(config) if f is None else f
        self.f.requires_grad_(not frozen)
        self.g = CodeDecoder(config)
        self.train()

    def train(self, mode: bool = True) -> DomainTransfer:
        """Set g's mode; a frozen f keeps its own."""
        super().train(mode)
        if self.frozen:
            self.f.eval()
        return self

    def code(self, x: Tensor) -> Tensor:
        """f(x) (B, code); without a graph where f stands still, for pictures need no gradient here."""
        side = self.config.size
        if x.shape[-2:] != (side, side):
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            vector: Tensor = self.f(in_colour(x))
        return vector

    @equation("8.1", tests="tests/equations/test_dtn_equations.py::test_g_of_x_is_g_of_f_of_x")
    def forward(self, x: Tensor) -> Tensor:
        return in_colour(self.g(self.code(x)))


def encoder_of(config: DomainTransferConfig) -> nn.Module:
    """The untrained f of a config."""
    if config.encoder == "trunk":
        return ResidualTrunk(config.size, width=config.f_width, features=config.code)
    if config.encoder == "portrait":
        return PortraitEncoder(config.size, width=config.f_width, code=config.code)
    return ConceptEncoder(config.size, width=config.f_width, code=config.code)


def in_colour(x: Tensor) -> Tensor:
    """Grey pictures (B, 1, H, W) as three equal channels; f reads both domains."""
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x


def _doubling(config: DomainTransferConfig, before: int, after: int, *, bias: bool) -> nn.Module:
    """4 x 4 at stride 2 (the reimplementations have 3 x 3 for digits, 4 x 4 for faces), or a resized 3 x 3.

    A transposed convolution has to learn that the four pixels it makes of one are alike; a repeated pixel is that from
    the start, which flat colours need.
    """
    if config.doubling == "resize":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1, bias=bias))
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)


def _halvings(size: int) -> int:
    """From the picture to 4 x 4 px."""
    if size < 16 or size & (size - 1):
        raise NetworkError(f"DTN's networks take powers of two from 16 px on, not {size}.")
    return (size // START).bit_length() - 1
