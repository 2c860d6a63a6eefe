"""DIAT's networks (Li et al. 2016, version 1): transform network T, attribute adversary D, enhancement network E.

The paper's T has 16 convolutions: 3 (two of them halve), 5 residual blocks of 2, 2 that double, 1 that paints. Widths,
kernels and norms are UNVERIFIED; ours follow Johnson et al. 2016, whose skeleton it is (INFERRED). D is "convolutions,
then fully connected layers"; its table, and everything about E's, is INFERRED, too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lib.nn.blocks import SLOPE, leaky_product
from lib.nn.dcgan import NetworkError, dcgan_init
from lib.nn.padding import cut, pad_to_multiple
from lib.nn.resnet_generator import ConvLayer, Padding, ResnetConfig, ResnetGenerator
from lib.nn.stargan import Blur

__all__ = ["AttributeDiscriminator", "FacePipeline", "Output", "PipelineConfig", "TransformConfig", "TransformNetwork"]

Output = Literal["picture", "change", "coat"]
"""What T paints: all of it (the paper's version 1); a change of x; or a coat over x, and where it covers.

The last two are ours. A coat (Pumarola et al. 2018) leaves alone what it does not cover; version 3 of the paper
blends input and transformed face by a mask, too.
"""

_NEARLY = 0.97  # black and white stay where tanh still has a slope
_TIMID = -2.0  # before the first round the coat covers an eighth


@dataclass(frozen=True)
class TransformConfig:
    """The size of T or E; the defaults are DIAT's T (INFERRED but for the number of layers)."""

    width: int = 32  # channels of the first layer; each halving doubles them
    blocks: int = 5  # residual blocks
    halvings: int = 2  # the blocks work at size / 2^halvings
    up_kernel: int = 3  # of the doublings; 4 leaves no checkerboard
    padding: Padding = "reflect"  # of the plain convolutions
    output: Output = "picture"  # what it paints
    smooth: bool = False  # blur after each doubling (ours): then no grid can be drawn


class TransformNetwork(nn.Module):
    """T: pictures (B, 3, H, W) of any size from 8 px on -> pictures in [-1, 1]."""

    def __init__(self, config: TransformConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or TransformConfig()
        resnet = ResnetGenerator(
            ResnetConfig(width=c.width, blocks=c.blocks, padding=c.padding, halvings=c.halvings, up_kernel=c.up_kernel)
        )
        self.layers, self.paint = resnet.layers, resnet.paint
        if c.smooth:
            for doubling in list(self.layers)[-c.halvings :]:
                assert isinstance(doubling, ConvLayer)
                doubling.conv = nn.Sequential(doubling.conv, Blur())
        if c.output == "change":
            nn.init.normal_(self.paint.weight, std=0.01 / (49 * c.width) ** 0.5)  # it starts as x, all but exactly
        elif c.output == "coat":
            # It also sees x itself: the norms of the layers forget how dark a skin is.
            self.paint = nn.Conv2d(c.width + 3, 4, 7, padding=3, padding_mode=c.padding)
            dcgan_init(self.paint)

    def forward(self, x: Tensor) -> Tensor:
        padded, border = pad_to_multiple(x, 2**self.config.halvings)
        original, seen = padded.float(), self.layers(padded)
        if self.config.output == "coat":
            out = self.paint(torch.cat([seen, padded], dim=1)).float()
            colour, cover = torch.tanh(out[:, :3]), torch.sigmoid(out[:, 3:] + _TIMID)
            return cut(torch.lerp(original, colour, cover), border)
        out = self.paint(seen).float()
        if self.config.output == "change":
            return cut((torch.tanh(out + torch.atanh(_NEARLY * original)) / _NEARLY).clamp(-1, 1), border)
        return cut(torch.tanh(out), border)


class AttributeDiscriminator(nn.Module):
    """D: pictures (B, 3, size, size) -> logits (B, 1): is it real, and does it show the attribute?

    Both at once, because "real" are the pictures of the guided set alone. `judge` also gives the maps of the last
    two stages, which DIAT-A compares.

    Args:
        size: side of the pictures, divisible by 2^stages.
        width: channels of the first stage; each next one has twice as many, up to 8 times.
        stages: halvings, 5 or fewer for small pictures.
        hidden: units of the fully connected layer before the score.
    """

    def __init__(self, size: int = 128, *, width: int = 64, stages: int = 5, hidden: int = 512) -> None:
        super().__init__()
        if stages < 2 or size % 2**stages:
            raise NetworkError(
                f"{size} px cannot be halved {stages} times; use a multiple of {2**stages}, stages >= 2."
            )
        self.size = size
        widths = [3, *(width * min(2**stage, 8) for stage in range(stages))]
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths))
        self.hidden = nn.Linear(widths[-1] * (size >> stages) ** 2, hidden)
        self.score = nn.Linear(hidden, 1)
        for layer in [
            *self.stages,
            self.hidden,
        ]:  # without a norm, He's start keeps the maps of all stages alike in size
            nn.init.kaiming_normal_(layer.weight, SLOPE)
            nn.init.zeros_(layer.bias)

    def judge(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (B, 1) and the maps of the last two stages, from one pass."""
        if x.shape[-2:] != (self.size, self.size):
            raise NetworkError(f"This D looks at {self.size} x {self.size} px, not at {tuple(x.shape[-2:])}.")
        maps = []
        for stage in self.stages:
            x = leaky_product(stage(x), SLOPE)  # R1 takes the gradient of a gradient
            maps.append(x)
        logits: Tensor = self.score(leaky_product(self.hidden(x.flatten(1)), SLOPE))
        return logits.float(), maps[-2:]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 1)."""
        return self.judge(x)[0]


@dataclass(frozen=True)
class PipelineConfig:
    """Both stages, as a card holds them; `TransformConfig` explains the fields."""

    width: int = 32  # of T
    blocks: int = 5
    halvings: int = 2
    up_kernel: int = 3
    padding: Padding = "reflect"
    output: Output = "picture"
    smooth: bool = False
    e_width: int = 0  # of E; 0: no second stage
    e_blocks: int = 3
    e_halvings: int = 1

    @classmethod
    def of(cls, T: TransformNetwork, E: TransformNetwork | None = None) -> PipelineConfig:
        """The config of finished networks."""
        second: dict[str, Any] = {}
        if E is not None:
            second = {"e_width": E.config.width, "e_blocks": E.config.blocks, "e_halvings": E.config.halvings}
        return cls(**asdict(T.config), **second)

    def transform(self) -> TransformConfig:
        """Of T."""
        return TransformConfig(
            self.width, self.blocks, self.halvings, self.up_kernel, self.padding, self.output, self.smooth
        )

    def enhancement(self) -> TransformConfig | None:
        """Of E: it always paints a change, with doublings of 4 x 4. None without a second stage."""
        if not self.e_width:
            return None
        return TransformConfig(self.e_width, self.e_blocks, self.e_halvings, up_kernel=4, output="change")


class FacePipeline(nn.Module):
    """E(T(x)): pictures (B, 3, H, W) in [-1, 1] -> pictures with the attribute.

    No mask is needed any more: E has learned from masks, and sees T's picture alone.
    """

    def __init__(self, config: PipelineConfig) -> None:
        super().__init__()
        self.config = config
        self.T = TransformNetwork(config.transform())
        second = config.enhancement()
        self.E = None if second is None else TransformNetwork(second)

    @classmethod
    def joined(cls, T: TransformNetwork, E: TransformNetwork | None = None) -> FacePipeline:
        """The pipeline of finished networks, which it shares."""
        pipeline = cls(PipelineConfig.of(T, E))
        pipeline.T, pipeline.E = T, E
        return pipeline

    def forward(self, x: Tensor, *, enhanced: bool = True) -> Tensor:
        """The result of both stages, or of the first alone."""
        picture: Tensor = self.T(x)
        return self.E(picture) if enhanced and self.E is not None else picture
