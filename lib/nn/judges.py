"""Networks that judge pictures and never make any: a residual trunk and a U-Net.

Both normalise by batch: their batches are large and mixed, and at test time the running moments make every
answer a function of one picture alone.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GRID = 4  # the trunk ends in GRID x GRID cells, so that place still counts


def conv_norm(c_in: int, c_out: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and batch norm, no activation: (B, c_in, H, W) -> (B, c_out, H / stride, W / stride)."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


class NormalisedBlock(nn.Module):
    """relu(shortcut + two convolutions), after He et al. 2016; `down` halves the sides."""

    def __init__(self, c_in: int, c_out: int, *, down: bool = False) -> None:
        super().__init__()
        stride = 2 if down else 1
        self.first = conv_norm(c_in, c_out, stride=stride)
        self.second = conv_norm(c_out, c_out)
        self.shortcut = nn.Identity() if c_in == c_out and not down else conv_norm(c_in, c_out, kernel=1)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        residual = self.second(F.relu(self.first(x)))
        short = F.avg_pool2d(x, 2) if self.down else x
        return F.relu(residual + self.shortcut(short))


class Glances(nn.Module):
    """Look at a few places that depend on the picture: (B, C, H, W) -> (B, count * (C + 2)).

    Each glance is a softmax over the positions; it returns the features found there and where that is. Small things
    that move about, such as pupils, are read the same way wherever they are, which a dense layer over all positions
    would have to learn for each place anew.
    """

    def __init__(self, channels: int, count: int = 4) -> None:
        super().__init__()
        self.where = nn.Conv2d(channels, count, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.where(x).flatten(2), dim=2)  # (B, count, H*W)
        rows, columns = (torch.linspace(-1, 1, side, device=x.device, dtype=x.dtype) for side in x.shape[-2:])
        place = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).flatten(1).expand(len(x), -1, -1)
        seen = torch.cat([x.flatten(2), place], dim=1)  # (B, C + 2, H*W)
        return (weights @ seen.transpose(1, 2)).flatten(1)


class ResidualTrunk(nn.Module):
    """Picture (B, 3, size, size) -> feature vector (B, features).

    The vector is made of the coarse map, cell by cell, and of `Glances` at the two last resolutions.

    Args:
        size: side of the pictures, a power of two from 16 on.
        width: channels of the first stage; doubled at every halving after it.
        features: length of the vector.
    """

    def __init__(self, size: int, *, width: int = 24, features: int = 128) -> None:
        super().__init__()
        stem = 2 if size >= 32 else 1
        first = nn.Sequential(conv_norm(3, width, kernel=5, stride=stem), nn.ReLU(), NormalisedBlock(width, width))
        stages, side = [first], size // stem
        widths = [width]
        while side > 2 * GRID:
            width, side = 2 * width, side // 2
            stages.append(nn.Sequential(NormalisedBlock(width // 2, width, down=True), NormalisedBlock(width, width)))
            widths.append(width)
        self.stages = nn.ModuleList(stages)
        self.glances = nn.ModuleList(Glances(channels) for channels in widths[-2:])
        seen = width * GRID**2 + sum(4 * (channels + 2) for channels in widths[-2:])
        self.head = nn.Sequential(nn.Linear(seen, features), nn.BatchNorm1d(features), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        maps = [image]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        seen = [glance(x) for glance, x in zip(self.glances, maps[-2:], strict=True)]
        vector: Tensor = self.head(torch.cat([F.avg_pool2d(maps[-1], 2).flatten(1), *seen], dim=1))
        return vector


class UNet(nn.Module):
    """Picture (B, 3, H, W) -> class logits (B, classes, H, W); H and W divisible by 2^(len(widths) - 1).

    Args:
        classes: of the label map.
        widths: channels at each resolution, from the finest to the coarsest.
    """

    def __init__(self, classes: int, *, widths: tuple[int, ...] = (16, 32, 48, 64)) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.stem = nn.Sequential(conv_norm(3, widths[0]), nn.ReLU())
        self.downs = nn.ModuleList(NormalisedBlock(fine, coarse, down=True) for fine, coarse in pairs)
        self.ups = nn.ModuleList(
            nn.Sequential(conv_norm(coarse + fine, fine), nn.ReLU()) for fine, coarse in reversed(pairs)
        )
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        levels = [self.stem(image)]
        for down in self.downs:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for up in self.ups:
            skip = levels.pop()
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        logits: Tensor = self.head(x)
        return logits
