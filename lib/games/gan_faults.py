"""The mistakes that GAN code is known for, each as one small switch that can be turned on.

Nothing here is meant to be used; everything is meant to be recognised. `lib.games.fault_clinic` says for each switch
which symptom it causes, which number gives it away, and how to mend it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.games.game import Turn
from lib.games.gan import GAN
from lib.losses.adversarial import LOSSES, AdversarialLoss, bce_fake, bce_real
from lib.nn.dcgan import DCGANGenerator
from lib.training.streams import Stream

__all__ = [
    "CutGAN",
    "HalfRange",
    "LeakyGAN",
    "NormalisedInput",
    "OverlapGenerator",
    "SigmoidTwice",
    "normal_interpolates",
    "overlaps",
    "sigmoid_then_log",
    "swapped_labels",
    "targets_above_one",
    "with_loss",
]


def with_loss(game: GAN, loss: AdversarialLoss) -> GAN:
    """The same game, played with another loss; changed in place and returned."""
    game.loss = loss
    return game


def _log_probability(logits: Tensor) -> Tensor:
    return -torch.sigmoid(logits).log().mean()


def _log_complement(logits: Tensor) -> Tensor:
    return -(1 - torch.sigmoid(logits)).log().mean()


def sigmoid_then_log() -> AdversarialLoss:
    """Cross-entropy as the formula is printed: in float32, 1 - sigmoid(a) is 0 from a = 17 on, and its log -inf."""
    return AdversarialLoss("sigmoid, then log", _log_probability, _log_complement, _log_probability)


def swapped_labels() -> AdversarialLoss:
    """G is paid for being caught: it descends the loss that is D's own on fakes."""
    return replace(LOSSES["non-saturating"], name="labels swapped", fool=bce_fake)


def targets_above_one(target: float = 1.1) -> AdversarialLoss:
    """Label noise that leaves [0, 1]: with the target 1.1 the loss on real data is unbounded below."""

    def real(logits: Tensor) -> Tensor:
        return (F.softplus(logits) - target * logits).mean()

    return AdversarialLoss("targets above 1", real, bce_fake, bce_real)


class SigmoidTwice(nn.Module):
    """D that ends in a sigmoid, although the loss takes logits and applies its own."""

    def __init__(self, D: nn.Module) -> None:
        super().__init__()
        self.D = D

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.D(x))


class NormalisedInput(nn.Module):
    """D whose first layer is a batch norm: it sees each batch in units of that batch.

    Args:
        D: (B, features) -> logits.
        features: entries of a point.
    """

    def __init__(self, D: nn.Module, features: int) -> None:
        super().__init__()
        self.norm, self.D = nn.BatchNorm1d(features), D

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.D(self.norm(x))
        return logits


class CutGAN(GAN):
    """G's turn uses fakes without a graph: every loss is right, and G never moves."""

    def g_terms(self, fake: Tensor) -> dict[str, Tensor]:
        """G's term, on a detached fake."""
        return super().g_terms(fake.detach())


class LeakyGAN(GAN):
    """D's loss on fakes reaches G, as in a hand-written loop that forgets ``.detach()`` and ``zero_grad``."""

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """As in `GAN`, but what D's backward pass left in G's gradients is stepped with G's own."""
        (real,) = self._parts(batch)
        fake = self.fakes(len(real))
        yield Turn("D", **self.d_terms(real, fake.detach()))
        fake = self.fakes(len(real))
        yield Turn("G", **self.g_terms(fake), leak=self.loss.fake(self.D(fake)))


class HalfRange:
    """A stream of pictures in [0, 1], as loaders give them, where [-1, 1] was meant."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def draw(self, progress: float) -> dict[str, Any]:
        """The next batch, its pictures halved and raised."""
        batch = dict(self.stream.draw(progress))
        return {**batch, "image": (batch["image"] + 1) / 2}

    def state_dict(self) -> dict[str, Any]:
        """The state of the stream inside."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.stream.load_state_dict(dict(state))


class OverlapGenerator(DCGANGenerator):
    """DCGAN's G with 3x3 kernels at stride 2: 3 is not divisible by 2, and neighbours get unequal shares."""

    def __init__(self, latent: int, size: int, channels: int = 3, *, width: int = 64) -> None:
        super().__init__(latent, size, channels, width=width)
        for index, layer in enumerate(self.layers):
            if isinstance(layer, nn.ConvTranspose2d):
                self.layers[index] = nn.ConvTranspose2d(
                    layer.in_channels, layer.out_channels, 3, stride=2, padding=1, output_padding=1, bias=False
                )


@torch.no_grad()
def overlaps(layer: nn.ConvTranspose2d, side: int = 8) -> Tensor:
    """How many input pixels each output pixel is made of, away from the edges: (H, W), float.

    Equal everywhere where the kernel is divisible by the stride; else a checkerboard (Odena et al. 2016).
    """
    counter = nn.ConvTranspose2d(1, 1, layer.kernel_size, layer.stride, layer.padding, layer.output_padding, bias=False)  # type: ignore[arg-type]
    nn.init.ones_(counter.weight)
    counts: Tensor = counter(torch.ones(1, 1, side, side))
    return counts[0, 0, 4:-4, 4:-4]


def normal_interpolates(real: Tensor, fake: Tensor, *, generator: torch.Generator) -> Tensor:
    """`lib.losses.penalties.interpolates` with ``randn`` for ``rand``: two thirds of the points leave the line."""
    eps = torch.randn(len(real), generator=generator, device=generator.device).to(real)
    return torch.lerp(fake.detach(), real.detach(), eps.view(-1, *[1] * (real.ndim - 1)))
