r"""SinGAN: a pyramid of small generators and critics, one pair for each scale of a single photo (Shaham et al. 2019).

Every network sees 11 x 11 px. At the coarsest scale that is a large part of the picture, so there it decides where
things stand; at the finest it is a bit of texture. Symbols of the paper, with scale N the coarsest and 0 the finest:

    G_n   `ScaleGenerator`       x~_n = up(x~_{n+1}) + psi_n(up(x~_{n+1}) + sigma_n z_n)
    D_n   `ScaleCritic`          one score for every 11 x 11 patch
    all G `Pyramid`              pictures from noise, or from any picture that enters at any scale
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.book.equations import equation
from lib.nn.blocks import SLOPE, leaky_product
from lib.nn.dcgan import NetworkError

__all__ = ["Norm", "Pyramid", "ScaleCritic", "ScaleGenerator", "pyramid_sizes", "resized", "shrunk"]

Norm = Literal["batch", "none"]
Size = tuple[int, int]


def pyramid_sizes(height: int, width: int, *, least: int, factor: float = 0.75) -> list[Size]:
    """(height, width) of every scale, coarsest first: the short side grows from `least` by about 1 / `factor`.

    The factor is adapted so that both ends are met. The authors' code does so too, and then adds a scale or two.

    Raises:
        NetworkError: the picture is smaller than `least`, or the factor does not shrink.
    """
    if not 0 < factor < 1:
        raise NetworkError(f"The factor between two scales must lie between 0 and 1, not at {factor}; 0.75 is usual.")
    short = min(height, width)
    if least < 1 or short < least:
        raise NetworkError(f"{width} x {height} px are too small for a coarsest scale of {least} px.")
    steps = round(math.log(least / short) / math.log(factor))
    shares = [(least / short) ** ((steps - k) / steps) for k in range(steps)] + [1.0]
    return [(max(1, round(height * share)), max(1, round(width * share))) for share in shares]


def resized(image: Tensor, size: Size) -> Tensor:
    """(B, C, h, w) -> (B, C, *size), bicubic: the ``up`` of the paper."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size=size, mode="bicubic", align_corners=False)


def shrunk(image: Tensor, size: Size) -> Tensor:
    """(B, C, H, W) -> (B, C, *size), bicubic and antialiased, inside [-1, 1]."""
    if image.shape[-2:] == size:
        return image
    small = F.interpolate(image, size=size, mode="bicubic", align_corners=False, antialias=True)
    return small.clamp(-1, 1)


class ScaleGenerator(nn.Module):
    """G_n: adds to the picture from the scale below what is missing there (SinGAN, eq. 5).

    The convolutions do not pad. Zeros are put round the picture once, as many as the network eats away: inside it
    no layer sees a border that is not there.

    Args:
        width: channels between the convolutions; 32 at the coarsest scales of the paper.
        blocks: convolutions of 3 x 3; the field of view has 2 * blocks + 1 px.
        norm: "batch" as in the paper, which is instance norm for a batch of one; "none" is faster (ours).
    """

    def __init__(self, width: int = 32, *, blocks: int = 5, norm: Norm = "batch") -> None:
        super().__init__()
        self.margin = blocks
        self.blocks = _blocks(width, blocks - 1, norm)
        self.paint = nn.Conv2d(width, 3, 3)
        _initialise(self, norm)
        if norm == "none":
            nn.init.normal_(self.paint.weight, std=0.02)  # begin near the picture from below

    @equation("11.7", tests="tests/equations/test_singan_pyramid.py::test_a_scale_adds_what_is_missing")
    def forward(self, below: Tensor, noise: Tensor) -> Tensor:
        """The finer picture, of the size of `below`.

        Args:
            below: (B, 3, H, W), the picture of the next coarser scale, enlarged; zeros at the coarsest scale.
            noise: (B, 3 or 1, H, W), sigma_n * z_n.
        """
        x = F.pad(below + noise, [self.margin] * 4)
        for block in self.blocks:
            x = F.leaky_relu(block(x), SLOPE)
        finer: Tensor = below + torch.tanh(self.paint(x))
        return finer


class ScaleCritic(nn.Module):
    """D_n: (B, 3, H, W) -> scores (B, 1, H - 10, W - 10), one for each patch that lies wholly in the picture.

    Args:
        width, blocks, norm: as for `ScaleGenerator`.
    """

    def __init__(self, width: int = 32, *, blocks: int = 5, norm: Norm = "batch") -> None:
        super().__init__()
        self.blocks = _blocks(width, blocks - 1, norm)
        self.score = nn.Conv2d(width, 1, 3)
        _initialise(self, norm)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for block in self.blocks:
            x = leaky_product(block(x))  # the penalty takes the gradient of a gradient
        scores: Tensor = self.score(x)
        return scores.float()


class Pyramid(nn.Module):
    """The finished scales of one photo, coarsest first. They are frozen: always in evaluation mode.

    Args:
        sizes: (height, width) of every scale that shall be, coarsest first.

    Attributes:
        scales: the generators that are finished.
        sigma: (scales,), the standard deviation of the noise at each scale.
        z_rec: (1, 1, h, w), z*: the one noise that must give the photo back. Zeros until `fix_noise`.
    """

    sigma: Tensor
    z_rec: Tensor

    def __init__(self, sizes: Sequence[Size]) -> None:
        super().__init__()
        self.sizes = tuple((int(h), int(w)) for h, w in sizes)
        self.scales = nn.ModuleList()
        self.register_buffer("sigma", torch.ones(len(self.sizes)))
        self.register_buffer("z_rec", torch.zeros(1, 1, *self.sizes[0]))

    def train(self, mode: bool = True) -> Pyramid:
        """Stay in evaluation mode, whatever the game round it does."""
        return super().train(False)

    def fix_noise(self, generator: torch.Generator) -> None:
        """Draw z* once and for all."""
        self.z_rec.copy_(self.noise(0, 1, self.sizes[0], generator))

    def add(self, scale: ScaleGenerator, sigma: Tensor) -> None:
        """Put a trained generator on top, and freeze it.

        Raises:
            NetworkError: every scale has its generator already.
        """
        place = len(self.scales)
        if place == len(self.sizes):
            raise NetworkError(f"All {place} scales of this pyramid are trained; build a new one.")
        self.sigma[place] = sigma
        self.scales.append(scale.eval().requires_grad_(False))

    def close(self) -> None:
        """Give up the scales that are not trained: the finest trained one is the end."""
        count = len(self.scales)
        self.sizes, self.sigma = self.sizes[:count], self.sigma[:count].clone()

    def noise(self, place: int, count: int, size: Size, generator: torch.Generator) -> Tensor:
        """z at a scale, standard normal: one grey channel at the coarsest (as in the paper), else three."""
        z = torch.randn(count, 3 if place else 1, *size, generator=generator, device=generator.device)
        return z.to(self.z_rec)

    def base(self, place: int, below: Tensor | None, size: Size, count: int = 1) -> Tensor:
        """What the generator at `place` starts from: the picture from below, enlarged; zeros at the coarsest."""
        if below is not None:
            return resized(below, size)
        if place:
            raise NetworkError(f"Scale number {place} above the coarsest needs a picture to start from.")
        return self.z_rec.new_zeros(count, 3, *size)

    @torch.no_grad()
    def draw(
        self, count: int, *, generator: torch.Generator | None, start: int = 0, below: Tensor | None = None,
        sizes: Sequence[Size] | None = None,
    ) -> Tensor | None:  # fmt: skip
        """`count` pictures of the finest scale that is trained; `below` itself where none is.

        Args:
            generator: draws the noise; None adds none.
            start: scale at which to begin, counted from the coarsest.
            below: (B, 3, h, w) picture that enters at `start`; None begins from noise alone.
            sizes: (height, width) of each scale; default those of the photo.
        """
        chosen = self.sizes if sizes is None else sizes
        for place in range(start, len(self.scales)):
            base = self.base(place, below, chosen[place], count)
            noise = base.new_zeros(()) if generator is None else self.noise(place, count, chosen[place], generator)
            below = self.scales[place](base, self.sigma[place] * noise)
        return below

    @torch.no_grad()
    def rebuild(self) -> Tensor | None:
        """x~^rec: z* at the coarsest scale, no noise above; None while no scale is trained."""
        if not len(self.scales):
            return None
        first = self.scales[0](self.base(0, None, self.sizes[0]), self.sigma[0] * self.z_rec)
        return self.draw(1, generator=None, start=1, below=first)


def _blocks(width: int, count: int, norm: Norm) -> nn.ModuleList:
    """`count` unpadded convolutions 3 x 3 from 3 channels on, each with its norm."""
    if count < 1 or width < 1:
        raise NetworkError(f"A scale needs two or more convolutions and a width, not {count + 1} and {width}.")
    widths = [3] + [width] * count
    return nn.ModuleList(
        nn.Sequential(nn.Conv2d(a, b, 3), nn.BatchNorm2d(b) if norm == "batch" else nn.Identity())
        for a, b in pairwise(widths)
    )


def _initialise(network: nn.Module, norm: Norm) -> None:
    """N(0, 0.02) below a norm, as in the authors' code; weights that keep the size of their signal without one."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            if norm == "batch":
                nn.init.normal_(layer.weight, std=0.02)
            else:
                nn.init.kaiming_normal_(layer.weight, SLOPE)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, mean=1.0, std=0.02)
