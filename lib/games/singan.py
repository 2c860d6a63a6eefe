"""SinGAN: a GAN that learns the patches of one photo, one scale after the other (Shaham et al. 2019).

    players   D   a critic of 11 x 11 patches of this scale, held in check by a gradient penalty
              G   adds this scale's detail to the picture from the scales below, which are frozen

    terms     D   real, fake, penalty          G   gan, rebuild

`SinGANScale` is the game of one scale; `lib.games.singan_model.SinGAN` plays all of them in a row. In the authors'
code three things differ from the paper, and here we take its side in the first two:

    the fake of G's three turns is drawn anew for each: kept, it needs a graph that the first turn has used up;
    z* is drawn once: drawn in every round, no noise is bound to the photo and the rebuilding teaches an average;
    the penalty looks at each pixel's slope, not at the picture's (`slope_penalty`): this part is the code's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.games.game import Game, GameError, Turn
from lib.losses.adversarial import critic_fake, critic_real
from lib.losses.penalties import input_gradient, interpolates
from lib.nn.singan import Norm, Pyramid, ScaleCritic, ScaleGenerator
from lib.training.optim import OptimConfig

__all__ = ["SinGANConfig", "SinGANScale", "noise_amplitude", "slope_penalty"]


@dataclass(frozen=True)
class SinGANConfig:
    """Everything that is chosen before the training; what differs from Shaham et al. 2019 is marked."""

    side: int = 128  # long side of the finest scale, px; 250 in the paper
    least: int = 20  # short side of the coarsest scale, px; 25 in the paper
    factor: float = 0.75  # between two scales, about
    width: int = 32  # channels of the networks of the coarsest scales
    widest: int = 32  # the width doubles every four scales up to this; 128 in the paper
    blocks: int = 5  # convolutions of a network: a field of view of 11 px
    norm: Norm = "none"  # "batch" in the paper
    rounds: int = 800  # at the coarsest scale; 2000 in the paper
    fade: float = 0.75  # every finer scale plays this share of the rounds of the one below; 1 in the paper
    critic_turns: int = 1  # of D in a round; 3 in the paper
    generator_turns: int = 1  # of G in a round; 3 in the paper
    lr: float = 2e-3  # Adam of both players, a tenth of it in the last fifth of the rounds; 5e-4 in the paper
    alpha: float = 10.0  # weight of the rebuilding
    penalty: float = 0.2  # lambda, weight of the slope penalty; 0.1 in the authors' code
    noise: float = 0.5  # sigma_n is this times the error of the rebuilt picture below; 0.1 in the authors' code

    @classmethod
    def quick(cls) -> SinGANConfig:
        """Three minutes on a CPU core: no norms, one turn each, fewer rounds at the fine scales."""
        return cls()

    @classmethod
    def full(cls) -> SinGANConfig:
        """The authors' settings at 250 px, for a GPU. What the book shows comes from `quick`."""
        return cls(
            side=250, least=25, widest=128, norm="batch", rounds=2000, fade=1.0, critic_turns=3, generator_turns=3,
            lr=5e-4, penalty=0.1, noise=0.1,
        )  # fmt: skip

    def check(self) -> None:
        """Raise `GameError` where the settings cannot be played."""
        if min(self.rounds, self.critic_turns, self.generator_turns) < 1 or not 0 < self.fade <= 1:
            raise GameError("SinGAN needs rounds and turns of at least 1, and a fade above 0 and at most 1.")
        if self.least < 2 * self.blocks + 1:
            raise GameError(
                f"The coarsest scale has {self.least} px, but the critic's patches have {2 * self.blocks + 1}; "
                "raise `least` or take fewer blocks."
            )

    def width_at(self, place: int) -> int:
        """Channels of the networks at a scale, counted from the coarsest."""
        return min(self.width << place // 4, self.widest)

    def scale_generator(self, place: int) -> ScaleGenerator:
        """G of a scale, untrained."""
        return ScaleGenerator(self.width_at(place), blocks=self.blocks, norm=self.norm)

    def rounds_at(self, place: int) -> int:
        """Rounds at a scale, counted from the coarsest."""
        return max(1, round(self.rounds * self.fade**place))

    def learning_rate(self, progress: float) -> float:
        """Factor on ``lr``: a tenth from 80 % of the rounds on."""
        return 1.0 if progress < 0.8 else 0.1

    def optimisers(self) -> OptimConfig:
        """Adam for both players."""
        return OptimConfig(lr=self.lr, betas=(0.5, 0.999))


@equation("11.8", tests="tests/equations/test_singan_pyramid.py::test_the_noise_is_as_strong_as_the_missing_detail")
def noise_amplitude(rebuilt: Tensor | None, image: Tensor, share: float = 0.1) -> Tensor:
    """sigma_n = share * RMSE(up(x~^rec_{n+1}), x_n), a scalar: as much noise as detail is missing (SinGAN, sec. 3.1).

    Args:
        rebuilt: the photo as the scale below rebuilds it, enlarged; None at the coarsest scale, where sigma is 1.
        image: x_n, the photo at this scale, of the same shape.
        share: 0.1 in the authors' code; the paper says only "proportional".
    """
    if rebuilt is None:
        return torch.ones((), device=image.device)
    sigma: Tensor = share * (rebuilt - image).square().mean().sqrt()
    return sigma


def slope_penalty(
    D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, generator: torch.Generator
) -> Tensor:  # fmt: skip
    """mean over pixels of (|d sum D / d pixel| - 1)^2, between `real` and `fake` (the authors' code).

    WGAN-GP (chapter 2) takes one norm over the whole picture. A score map of a thousand patches has a thousand times
    the slope of one; asked for slope 1 as a whole it would fall silent. The norm of each pixel's three colours asks the
    same of a critic at every size.
    """
    slopes: Tensor = torch.linalg.vector_norm(input_gradient(D, interpolates(real, fake, generator=generator)), dim=1)
    return (slopes - 1).square().mean()


@equation("11.9", tests="tests/equations/test_singan_pyramid.py::test_the_objective_of_a_scale")
class SinGANScale(Game):
    """The game of one scale, on top of the finished ones.

    Args:
        below: the coarser scales, trained and frozen; also holds z*.
        image: x_n, (1, 3, h, w) in [-1, 1], the photo at this scale.
        config: widths and weights.
        generator: draws noise, and the places of the penalty.

    Raises:
        GameError: the picture does not have the size of the next scale.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D",), "G": ("G",)}
    base_rec: Tensor
    noise_rec: Tensor
    sigma: Tensor

    def __init__(self, below: Pyramid, image: Tensor, config: SinGANConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        config.check()
        self.place = len(below.scales)
        if self.place == len(below.sizes) or tuple(image.shape[-2:]) != below.sizes[self.place]:
            raise GameError(f"The photo is {tuple(image.shape[-2:])} at this scale, but the pyramid has {below.sizes}.")
        self.config, self.below, self.generator = config, below, generator
        self.size = below.sizes[self.place]
        self.G = config.scale_generator(self.place)
        self.D = ScaleCritic(config.width_at(self.place), blocks=config.blocks, norm=config.norm)
        self.to(image.device)
        rebuilt = below.rebuild()
        base = below.base(self.place, rebuilt, self.size)
        # All that the rebuilding starts from stays the same: computed once.
        self.register_buffer("base_rec", base)
        self.register_buffer("noise_rec", base.new_zeros(()) if self.place else below.z_rec.clone())
        self.register_buffer("sigma", noise_amplitude(None if rebuilt is None else base, image, config.noise))

    def begin_from(self, previous: SinGANScale) -> None:
        """Start with the weights of the scale below where the widths are equal, as the authors do."""
        for mine, theirs in ((self.G, previous.G), (self.D, previous.D)):
            if _shapes(mine) == _shapes(theirs):
                mine.load_state_dict(theirs.state_dict())

    def draw(self) -> Tensor:
        """A fake of this scale: every scale adds its noise, and only G has a gradient."""
        below = self.below.draw(1, generator=self.generator)
        z = self.below.noise(self.place, 1, self.size, self.generator)
        fake: Tensor = self.G(self.below.base(self.place, below, self.size), self.sigma * z)
        return fake

    def rebuild(self) -> Tensor:
        """x~_n^rec: what G makes of z* (or, above the coarsest scale, of no noise) and the rebuilt picture below."""
        rebuilt: Tensor = self.G(self.base_rec, self.noise_rec)
        return rebuilt

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """D judges, G answers; ``image`` of the batch is the photo at this scale."""
        c, x = self.config, batch["image"]
        for _ in range(c.critic_turns):
            fake = self.draw()
            slope = slope_penalty(self.D, x, fake, generator=self.generator)
            yield Turn(
                "D", real=critic_real(self.D(x)), fake=critic_fake(self.D(fake.detach())), penalty=c.penalty * slope
            )
        for turn in range(c.generator_turns):
            if turn:
                fake = self.draw()  # G has moved: the graph of the last fake is used up
            gap = (self.rebuild() - x).square().mean()
            yield Turn("G", gan=critic_real(self.D(fake)), rebuild=c.alpha * gap)


def _shapes(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in network.state_dict().values()]
