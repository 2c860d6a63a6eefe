"""A GAN small enough to train in milliseconds: points on a circle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.games.game import Game, Turn


class CircleGan(Game):
    """A non-saturating GAN on 2-D points, with a generator of its own noise and a frozen network."""

    players: ClassVar = {"D": ("D",), "G": ("G", "scale")}

    def __init__(self, seed: int = 0, width: int = 8) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.G = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, 2))
            self.D = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))
            self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(2))
        self.noise = torch.Generator().manual_seed(seed)

    def draw(self, batch: int) -> Tensor:
        out: Tensor = self.G(torch.randn(batch, 3, generator=self.noise)) * self.scale
        return out

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        x = batch["x"]
        fake = self.draw(len(x))
        yield Turn("D", real=F.softplus(-self.D(x)).mean(), fake=F.softplus(self.D(fake.detach())).mean())
        yield Turn("G", gan=F.softplus(-self.D(fake)).mean(), size=0.1 * (fake.norm(dim=1) - 1).square().mean())


class Circle:
    """An endless stream of points on the unit circle, drawn with its own generator."""

    def __init__(self, seed: int = 1, batch: int = 16) -> None:
        self.batch, self.generator = batch, torch.Generator().manual_seed(seed)

    def draw(self, progress: float) -> dict[str, Any]:
        angle = 6.2831853 * torch.rand(self.batch, generator=self.generator)
        return {"x": torch.stack([angle.cos(), angle.sin()], dim=1)}

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.generator.set_state(state["generator"])
