"""The generative adversarial network: Algorithm 1 of Goodfellow et al. 2014, and what has been added since.

    players   D   tells real samples from fakes
              G   turns noise z into samples that D takes for real

G may be any network (B, latent) -> samples, D any network samples -> logits: points or pictures. A game with
classes overrides `fakes` and `round`: see `lib.games.acgan`. Two learning rates (TTUR) and the average of G's
weights (EMA) belong to the training: `lib.training.optim.OptimConfig` and `lib.training.ema.EMA`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lib.book.equations import equation
from lib.games.game import Game, GameError, Turn
from lib.losses.adversarial import adversarial_loss
from lib.losses.penalties import gradient_penalty, r1

__all__ = ["GAN", "GANConfig"]

_SMOOTHABLE = ("minimax", "non-saturating", "lsgan")


@dataclass(frozen=True)
class GANConfig:
    """Everything about the game that is chosen before training; the defaults are the game of DCGAN."""

    loss: str = "non-saturating"  # a name in lib.losses.adversarial.LOSSES
    latent: int = 64  # size of z, standard normal
    n_critic: int = 1  # turns of D in a round (k of Algorithm 1); each takes its own part of the batch
    r1: float = 0.0  # gamma of the R1 penalty on real samples
    gp: float = 0.0  # lambda of the WGAN-GP penalty between real samples and fakes
    every: int = 1  # a penalty acts in every so many turns of D, that much more strongly (lazy regularisation)
    smooth: float = 0.0  # one-sided label smoothing: the target of real samples is 1 - smooth
    noise: float = 0.0  # standard deviation of the noise on all that D sees, falling to 0 with the training
    key: str = "image"  # where the real samples are in a batch

    def check(self) -> None:
        """Raise `GameError` where two choices contradict each other."""
        adversarial_loss(self.loss)
        if self.smooth and self.loss not in _SMOOTHABLE:
            raise GameError(f"The loss {self.loss!r} has no labels to smooth; set smooth=0.")
        if not 0 <= self.smooth < 1:
            raise GameError(f"smooth={self.smooth} puts the target of real samples outside (0, 1]; try 0.1.")
        if min(self.latent, self.n_critic, self.every) < 1 or min(self.r1, self.gp, self.noise) < 0:
            raise GameError("latent, n_critic and every start at 1; r1, gp and noise at 0.")


@equation("1.11", tests="tests/wiring/test_gan.py::test_algorithm_1")
class GAN(Game):
    """The game between D and G.

    Args:
        G: (B, latent) -> samples.
        D: samples -> logits, one or several for each sample.
        config: the rules.
        generator: draws z, the noise on D's input and the places of the gradient penalty; default seed 0.

    Raises:
        GameError: the rules contradict each other or the networks.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D",), "G": ("G",)}

    def __init__(
        self, G: nn.Module, D: nn.Module, config: GANConfig | None = None, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config or GANConfig()
        self.config.check()
        if (self.config.gp or self.config.r1) and any(isinstance(layer, _BatchNorm) for layer in D.modules()):
            raise GameError(
                "Batch norm in D mixes the samples whose slopes a penalty (gp, r1) measures one by one; use instance "
                "norm, spectral normalisation or none."
            )
        self.G, self.D = G, D
        self.loss = adversarial_loss(self.config.loss)
        self.generator = generator or torch.Generator().manual_seed(0)

    def latents(self, count: int) -> Tensor:
        """Draw z: (count, latent), standard normal, on G's device."""
        return self._normal((count, self.config.latent)).to(next(self.G.parameters()).device, non_blocking=True)

    def fakes(self, count: int) -> Tensor:
        """Draw samples of G."""
        samples: Tensor = self.G(self.latents(count))
        return samples

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """Algorithm 1: `n_critic` turns of D, then one of G; each turn draws its own noise."""
        parts = self._parts(batch)
        for index, real in enumerate(parts):
            with torch.no_grad():  # D's turn needs no graph through G
                fake = self.fakes(len(real))
            yield Turn("D", **self.d_terms(real, fake, index))
        yield Turn("G", **self.g_terms(self.fakes(len(parts[0]))))

    def d_terms(self, real: Tensor, fake: Tensor, index: int = 0) -> dict[str, Tensor]:
        """D's weighted terms in its turn number `index` of the round."""
        # Two passes, so that batch norm sees real samples and fakes apart.
        logits, logits_fake = self.D(self._seen(real)), self.D(self._seen(fake))
        smooth = self.config.smooth
        on_real = self.loss.real(logits)
        if smooth:
            on_real = (1 - smooth) * on_real + smooth * self.loss.fake(logits)
        return {"real": on_real, "fake": self.loss.fake(logits_fake), **self._penalties(real, fake, index)}

    def g_terms(self, fake: Tensor) -> dict[str, Tensor]:
        """G's terms."""
        return {"gan": self.loss.fool(self.D(self._seen(fake)))}

    def _penalties(self, real: Tensor, fake: Tensor, index: int) -> dict[str, Tensor]:
        c, terms = self.config, {}
        if self._due(index):
            if c.r1:
                terms["r1"] = c.every * c.r1 * r1(self.D, real)
            if c.gp:
                terms["gp"] = c.every * c.gp * gradient_penalty(self.D, real, fake, generator=self.generator)
        return terms

    def _due(self, index: int) -> bool:
        """Whether a penalty acts in D's turn number `index` of this round."""
        # Counted from rounds_done, which a checkpoint keeps: a resumed training penalises in the same turns.
        return (self.rounds_done * self.config.n_critic + index) % self.config.every == 0

    def _parts(self, batch: Mapping[str, Any]) -> list[Tensor]:
        """The real samples of each turn of D."""
        key, turns = self.config.key, self.config.n_critic
        if key not in batch:
            raise GameError(f"The batch has no {key!r}, only {', '.join(map(repr, batch))}; set GANConfig.key.")
        real: Tensor = batch[key]
        if len(real) % turns:
            raise GameError(f"A batch of {len(real)} cannot be shared evenly by {turns} turns of D.")
        return list(real.chunk(turns))

    def _seen(self, x: Tensor) -> Tensor:
        """What D sees of x: with instance noise, less of it as the training goes on."""
        sigma = self.config.noise * (1 - self.progress)
        return x + sigma * self._normal(tuple(x.shape)).to(x) if sigma else x

    def _normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)
