"""Enlarging with SinGAN: the finest scale by itself, played again and again.

Photos repeat themselves across scales: a small petal near is what a large one is far away. A generator that has
learned to go from three quarters of the size to the full size can therefore be asked to go on from there.

The paper trains a whole pyramid for it, with alpha = 100 so that the rebuilding comes near to the photo, and uses the
finest generator alone. Ours gives that generator the photo itself to start from, which is what the large alpha is
after, and needs no other scale. The generators of a pyramid for samples cannot do it: they expect soft pictures from
below, and what they add to sharp ones adds up.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lib.games.singan import SinGANConfig, SinGANScale, noise_amplitude
from lib.nn.singan import Pyramid, ScaleGenerator, resized, shrunk

__all__ = ["EnlargingScale", "enlarge", "enlarging"]


def enlarging(config: SinGANConfig, rounds: int | None = None) -> SinGANConfig:
    """The settings for an enlarger: alpha = 100, as in the paper, and a third of the rounds of a coarse scale."""
    return replace(config, alpha=100.0, rounds=rounds or max(1, config.rounds // 3))


class EnlargingScale(SinGANScale):
    """The game of the finest scale, with the photo itself below it.

    Args:
        image: (1, 3, h, w) in [-1, 1], the photo at full size.
        config: see `enlarging`.
        generator: draws noise, and the places of the penalty.
    """

    def __init__(self, image: Tensor, config: SinGANConfig, *, generator: torch.Generator) -> None:
        height, width = image.shape[-2:]
        super().__init__(Pyramid([(height, width)]).to(image.device), image, config, generator=generator)
        small = shrunk(image, (round(height * config.factor), round(width * config.factor)))
        self.base_rec = resized(small, self.size)
        self.noise_rec = self.base_rec.new_zeros(())
        self.sigma = noise_amplitude(self.base_rec, image, config.noise)

    def draw(self) -> Tensor:
        """The photo, enlarged from three quarters of its size, with other details."""
        z = torch.randn(self.base_rec.shape, generator=self.generator, device=self.generator.device)
        fake: Tensor = self.G(self.base_rec, self.sigma * z.to(self.base_rec))
        return fake


@torch.no_grad()
def enlarge(G: ScaleGenerator, picture: Tensor, factor: float, step: float) -> Tensor:
    """(1, 3, h, w) -> (1, 3, h * factor, w * factor) in steps of about 1 / `step`, without noise."""
    height, width = picture.shape[-2:]
    steps = max(1, round(math.log(factor) / -math.log(step)))
    for done in range(1, steps + 1):
        share = factor ** (done / steps)
        base = resized(picture, (round(height * share), round(width * share)))
        picture = G(base, base.new_zeros(())).float().clamp(-1, 1)
    return picture
