"""GANs that are told the class: the conditional GAN and AC-GAN.

    game    D sees            what makes G obey the class
    CGAN    picture, class    D: a good picture of the wrong class is no real pair (Mirza and Osindero 2014)
    ACGAN   picture           a second output of D that names the class (Odena et al. 2017)

With ``class_weight=0`` ACGAN is the game whose D is blind to the class: nothing makes G obey.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lib.book.equations import equation
from lib.games.game import GameError, Turn
from lib.games.gan import GAN, GANConfig
from lib.losses.conditioning import class_log_likelihood
from lib.losses.penalties import r1
from lib.nn.dcgan import DCGANDiscriminator

__all__ = ["ACGAN", "CGAN", "ClassGAN", "ClassGANConfig", "every_class"]


@dataclass(frozen=True)
class ClassGANConfig(GANConfig):
    """The rules of a game with classes; the defaults are AC-GAN's."""

    label: str = "domain"  # where the classes of the real samples are in a batch
    classes: int = 2  # K
    g_turns: int = 1  # turns of G in a round; 2 in Dong et al.'s code
    class_weight: float = 1.0  # of L_C for G, and for D on real pictures
    class_on_fakes: float = 1.0  # of L_C for D on fakes: 1 in Odena et al., 0 in Dong et al.'s code

    def check(self) -> None:
        """Raise `GameError` where two choices contradict each other."""
        super().check()
        if self.gp or self.noise or self.smooth:
            raise GameError("A game with classes knows the penalty R1 only; set gp, noise and smooth to 0.")
        if min(self.g_turns, self.classes) < 1 or min(self.class_weight, self.class_on_fakes) < 0:
            raise GameError("g_turns and classes start at 1; the weights of the class terms at 0.")


class ClassGAN(GAN):
    """What both games share: G(z, y), and classes that come with the batch.

    Args:
        G: (z (B, latent), y (B,)) -> pictures.
        D: see the subclasses.
        config: the rules.
        generator: draws z; default seed 0.
    """

    config: ClassGANConfig

    def fakes(self, count: int, y: Tensor | None = None) -> Tensor:
        """Draw samples of the classes y (count,); of random classes where none are given."""
        if y is None:
            y = torch.randint(self.config.classes, (count,), generator=self.generator)
        z = self.latents(count)
        samples: Tensor = self.G(z, y.to(z.device))
        return samples

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """`n_critic` turns of D, then `g_turns` of G. Fakes take the classes of the real batch."""
        parts = list(zip(self._parts(batch), self._labels(batch), strict=True))
        for index, (real, y) in enumerate(parts):
            with torch.no_grad():  # D's turn needs no graph through G
                fake = self.fakes(len(y), y)
            yield Turn("D", **self.d_terms_with(real, fake, y, index))
        y = parts[0][1]
        z = self.latents(len(y))
        for _ in range(self.config.g_turns):
            yield Turn("G", **self.g_terms_with(self.G(z, y), y))

    def d_terms_with(self, real: Tensor, fake: Tensor, y: Tensor, index: int = 0) -> dict[str, Tensor]:
        """D's weighted terms in its turn number `index`; real and fake show the classes y."""
        raise NotImplementedError(f"{type(self).__name__} does not say what D wants; write d_terms_with().")

    def g_terms_with(self, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """G's weighted terms."""
        raise NotImplementedError(f"{type(self).__name__} does not say what G wants; write g_terms_with().")

    def _slope(self, critic: Callable[[Tensor], Tensor], real: Tensor, index: int) -> dict[str, Tensor]:
        """R1, in every so many turns (as `GAN` counts them)."""
        c = self.config
        return {"r1": c.every * c.r1 * r1(critic, real)} if c.r1 and self._due(index) else {}

    def _labels(self, batch: Mapping[str, Any]) -> list[Tensor]:
        name = self.config.label
        if name not in batch:
            raise GameError(f"The batch has no classes {name!r}, only {', '.join(map(repr, batch))}; set label=.")
        y: Tensor = batch[name]
        return list(y.chunk(self.config.n_critic))


class CGAN(ClassGAN):
    """The conditional GAN: D(x, y) judges the pair. D's forward takes (picture, classes)."""

    def d_terms_with(self, real: Tensor, fake: Tensor, y: Tensor, index: int = 0) -> dict[str, Tensor]:
        """True pairs against drawn pairs."""
        terms = {"real": self.loss.real(self.D(real, y)), "fake": self.loss.fake(self.D(fake, y))}
        return terms | self._slope(lambda x: self.D(x, y), real, index)

    def g_terms_with(self, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The pair shall pass."""
        return {"gan": self.loss.fool(self.D(fake, y))}


@equation("3.7", tests="tests/wiring/test_two_step.py::test_terms_of_acgan")
class ACGAN(ClassGAN):
    """AC-GAN: D descends -(L_S + L_C), G descends -(L_C - L_S) with the non-saturating form of L_S.

    D has `judge`: pictures -> source logits (B, 1), class logits (B, K).
    """

    D: DCGANDiscriminator

    def d_terms_with(self, real: Tensor, fake: Tensor, y: Tensor, index: int = 0) -> dict[str, Tensor]:
        """Tell the source; name the class of real pictures and, in the paper, of fakes."""
        c = self.config
        (source, named), (source_fake, named_fake) = self.D.judge(real), self.D.judge(fake)
        terms = {"real": self.loss.real(source), "fake": self.loss.fake(source_fake)}
        if c.class_weight:
            terms["class"] = -c.class_weight * class_log_likelihood(named, y)
        if c.class_weight and c.class_on_fakes:
            terms["class_fake"] = -c.class_on_fakes * class_log_likelihood(named_fake, y)
        return terms | self._slope(lambda x: self._joint(x, y), real, index)

    def _joint(self, x: Tensor, y: Tensor) -> Tensor:
        """What R1 smooths: both answers of D, for a rough class head can be pleased by details nobody sees (ours)."""
        source, named = self.D.judge(x)
        return source[:, 0] + named.gather(1, y[:, None])[:, 0]

    def g_terms_with(self, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Pass as real, and be named as the class that was asked for."""
        source, named = self.D.judge(fake)
        terms = {"gan": self.loss.fool(source)}
        if self.config.class_weight:
            terms["class"] = -self.config.class_weight * class_log_likelihood(named, y)
        return terms


def every_class(G: torch.nn.Module, z: Tensor, classes: int) -> Tensor:
    """Each latent (N, d) in each class: pictures (N, classes, C, H, W). What z keeps is seen along a row."""
    y = torch.arange(classes, device=z.device).repeat(len(z))
    pictures: Tensor = G(z.repeat_interleave(classes, dim=0), y)
    return pictures.reshape(len(z), classes, *pictures.shape[1:])
