r"""Adversarial losses. All take logits: D's raw score a, of which sigma(a) is the probability "real".

    name             D minimises                              G minimises
    minimax          softplus(-a_real) + softplus(a_fake)     -softplus(a_fake)      saturates
    non-saturating   softplus(-a_real) + softplus(a_fake)     softplus(-a_fake)
    lsgan            (a_real - 1)^2 + a_fake^2                (a_fake - 1)^2
    hinge            relu(1 - a_real) + relu(1 + a_fake)      -a_fake
    wgan             -a_real + a_fake                         -a_fake

Every loss is a mean over all logits. Chapter 1 derives the first two, chapter 2 the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.losses.verdicts import says

__all__ = [
    "LOSSES",
    "AdversarialLoss",
    "UnknownLoss",
    "adversarial_loss",
    "at_least_float32",
    "bce_fake",
    "bce_real",
    "critic_fake",
    "critic_real",
    "feature_matching",
    "hinge_fake",
    "hinge_real",
    "least_squares",
    "lsgan_fake",
    "lsgan_real",
    "non_saturating",
    "saturating",
    "value",
]

Loss = Callable[[Tensor], Tensor]


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32, or in float64 where it is already: half precision is too coarse for a loss."""
    return x.float() if x.dtype.itemsize < 4 else x


class UnknownLoss(ValueError):
    """There is no adversarial loss of that name."""


@dataclass(frozen=True)
class AdversarialLoss:
    """What D and G want of D's logits. Each part maps logits of any shape to a scalar, in float32 at least.

    Attributes:
        name: key in `LOSSES`.
        real: D's loss on real data.
        fake: D's loss on fakes.
        fool: G's loss on D's logits of its fakes.
    """

    name: str
    real: Loss
    fake: Loss
    fool: Loss


@equation("1.1", tests="tests/equations/test_minimax.py::test_value")
def value(real: Tensor, fake: Tensor) -> Tensor:
    """V(D, G) = mean log D(x) + mean log(1 - D(G(z))), at most 0 (Goodfellow et al. 2014, eq. 1).

    D ascends it and G descends it. In logits, log D = -softplus(-a) and log(1 - D) = -softplus(a): nothing
    overflows, where sigmoid followed by log would.
    """
    return -bce_real(real) - bce_fake(fake)


@equation("1.6", tests="tests/equations/test_adversarial.py::test_bce_real")
@says("real")
def bce_real(logits: Tensor) -> Tensor:
    """mean -log D(x) = mean softplus(-a): binary cross-entropy with the label 1 (Goodfellow et al. 2014)."""
    return F.softplus(-at_least_float32(logits)).mean()


@equation("1.7", tests="tests/equations/test_adversarial.py::test_bce_fake")
@says("fake")
def bce_fake(logits: Tensor) -> Tensor:
    """mean -log(1 - D(G(z))) = mean softplus(a): binary cross-entropy with the label 0."""
    return F.softplus(at_least_float32(logits)).mean()


@equation("1.8", tests="tests/equations/test_adversarial.py::test_saturating_slope")
def saturating(logits: Tensor) -> Tensor:
    """mean log(1 - D(G(z))) = mean -softplus(a): G's side of the minimax game.

    Its slope is -sigma(a) = -D(G(z)): nothing is left where D is sure that the fake is fake.
    """
    return -F.softplus(at_least_float32(logits)).mean()


@equation("1.9", tests="tests/equations/test_adversarial.py::test_non_saturating_slope")
def non_saturating(logits: Tensor) -> Tensor:
    """mean -log D(G(z)) = mean softplus(-a): G's loss in practice (Goodfellow et al. 2014, sec. 3).

    Its slope is sigma(a) - 1 = D(G(z)) - 1: strongest where the fake is worst.
    """
    return F.softplus(-at_least_float32(logits)).mean()


@equation("12.8", tests="tests/equations/test_analogy.py::test_lsgan_real")
@says("real")
def lsgan_real(logits: Tensor) -> Tensor:
    """mean (D - 1)^2: D's wish for real images, and G's wish for its fakes (Mao et al. 2017, eq. 9)."""
    return (at_least_float32(logits) - 1).square().mean()


@equation("12.9", tests="tests/equations/test_analogy.py::test_lsgan_fake")
@says("fake")
def lsgan_fake(logits: Tensor) -> Tensor:
    """mean D^2: D's wish for fakes (Mao et al. 2017, eq. 9)."""
    return at_least_float32(logits).square().mean()


@equation("2.1", tests="tests/equations/test_convergence.py::test_least_squares")
def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> AdversarialLoss:
    """LSGAN with target a for fakes, b for real data, and c for fakes that shall fool (Mao et al. 2017, eq. 2).

    Without the paper's factor 1/2, which Adam does not see. With b - c = 1 and b - a = 2 the value at the best D is
    Pearson's chi^2, although G's gradient is not its slope (chapter 2). (0, 1, 1) is what everybody uses.
    """

    def towards(target: float) -> Loss:
        return lambda logits: (at_least_float32(logits) - target).square().mean()

    return AdversarialLoss(f"lsgan({a:g}, {b:g}, {c:g})", real=towards(b), fake=towards(a), fool=towards(c))


@equation("2.4", tests="tests/equations/test_convergence.py::test_hinge_real")
@says("real")
def hinge_real(logits: Tensor) -> Tensor:
    """mean relu(1 - a): D's wish for real data; satisfied once a >= 1 (Miyato et al. 2018, eq. 16)."""
    return F.relu(1 - at_least_float32(logits)).mean()


@equation("2.5", tests="tests/equations/test_convergence.py::test_hinge_fake")
@says("fake")
def hinge_fake(logits: Tensor) -> Tensor:
    """mean relu(1 + a): D's wish for fakes; satisfied once a <= -1."""
    return F.relu(1 + at_least_float32(logits)).mean()


@says("real")
def critic_real(logits: Tensor) -> Tensor:
    """mean -a: high scores wanted. The critic's wish for real data, G's for its fakes (Arjovsky et al. 2017)."""
    return -at_least_float32(logits).mean()


@says("fake")
def critic_fake(logits: Tensor) -> Tensor:
    """mean a: low scores wanted. Bounded only where something keeps D's slope in check (chapter 2)."""
    return at_least_float32(logits).mean()


LOSSES: dict[str, AdversarialLoss] = {
    loss.name: loss
    for loss in (
        AdversarialLoss("minimax", bce_real, bce_fake, saturating),
        AdversarialLoss("non-saturating", bce_real, bce_fake, non_saturating),
        AdversarialLoss("lsgan", lsgan_real, lsgan_fake, lsgan_real),
        AdversarialLoss("hinge", hinge_real, hinge_fake, critic_real),
        AdversarialLoss("wgan", critic_real, critic_fake, critic_real),
    )
}


def adversarial_loss(name: str) -> AdversarialLoss:
    """The loss called `name`.

    Raises:
        UnknownLoss: there is none.
    """
    if name not in LOSSES:
        raise UnknownLoss(f"There is no adversarial loss {name!r}; the losses are {', '.join(LOSSES)}.")
    return LOSSES[name]


@equation("12.10", tests="tests/equations/test_analogy.py::test_feature_matching")
def feature_matching(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean absolute difference of D's hidden features, averaged over layers (Wang et al. 2018, eq. 4).

    Args:
        fake: features of G's image; the gradient flows here.
        real: features of the true image; detached, for D must not be pulled towards the fakes.
    """
    gaps = [(f - r.detach()).abs().float().mean() for f, r in zip(fake, real, strict=True)]
    return torch.stack(gaps).mean()
