"""Toy data whose density is known: mixtures of Gaussians in one or two dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["GaussianMixture", "ModeScore", "PointStream", "grid_of_gaussians", "ring_of_gaussians"]

REACH = 3.0  # a point is good within so many standard deviations of a mode
_ENOUGH = 0.1  # of its fair share of the points, and a mode counts as covered


@dataclass(frozen=True)
class ModeScore:
    """How well points cover a mixture."""

    modes: int  # modes that hold at least a tenth of their fair share of good points
    quality: float  # share of points within 3 standard deviations of a mode, in [0, 1]
    shares: Tensor  # (K,) share of the good points at each mode


@dataclass(frozen=True)
class GaussianMixture:
    """An equal mixture of round Gaussians.

    Attributes:
        means: (K, D), the modes.
        std: standard deviation of each.
    """

    means: Tensor
    std: float

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Points (count, D), on the generator's device."""
        device, (modes, size) = generator.device, self.means.shape
        which = torch.randint(modes, (count,), generator=generator, device=device)
        noise = torch.randn(count, size, generator=generator, device=device)
        return self.means.to(device)[which] + self.std * noise

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x), in nats: (..., D) -> (...)."""
        modes, size = self.means.shape
        square = (x.unsqueeze(-2) - self.means.to(x)).square().sum(dim=-1) / self.std**2  # (..., K)
        constant = math.log(modes) + size / 2 * math.log(2 * math.pi * self.std**2)
        return torch.logsumexp(-square / 2, dim=-1) - constant

    def score(self, points: Tensor) -> ModeScore:
        """Modes covered and share of good points, for points (N, D)."""
        modes = len(self.means)
        distance, nearest = torch.cdist(points.detach(), self.means.to(points)).min(dim=1)
        good = distance <= REACH * self.std
        counts = torch.bincount(nearest[good], minlength=modes).float()
        fair_share = len(points) / modes
        return ModeScore(
            modes=int((counts >= _ENOUGH * fair_share).sum()),
            quality=float(good.float().mean()),
            shares=counts / counts.sum().clamp(min=1),
        )


def ring_of_gaussians(modes: int = 8, *, radius: float = 2.0, std: float = 0.05) -> GaussianMixture:
    """Modes on a circle, the usual test of mode collapse in two dimensions (Metz et al. 2017)."""
    angle = 2 * math.pi * torch.arange(modes) / modes
    return GaussianMixture(radius * torch.stack([angle.cos(), angle.sin()], dim=1), std)


def grid_of_gaussians(side: int = 5, *, spacing: float = 1.0, std: float = 0.05) -> GaussianMixture:
    """side x side modes on a square grid round the origin."""
    line = spacing * (torch.arange(side, dtype=torch.float32) - (side - 1) / 2)
    return GaussianMixture(torch.cartesian_prod(line, line), std)


class PointStream:
    """An endless, seeded stream of points: ``{"point": (batch, D)}``; a `lib.training.streams.Stream`."""

    def __init__(self, mixture: GaussianMixture, *, batch: int = 256, seed: int = 0) -> None:
        self.mixture, self.batch = mixture, batch
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, progress: float = 0.0) -> dict[str, Any]:
        """The next batch."""
        return {"point": self.mixture.sample(self.batch, generator=self.generator)}

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.generator.set_state(state["generator"])
