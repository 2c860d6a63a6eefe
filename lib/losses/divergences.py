r"""The exact quantities of the minimax game, for densities on a grid or on a finite set.

p is the density of the data, q that of the generator: tensors of the same shape, non-negative, with
``(p * dx).sum() == 1``. `dx` is the width of a grid cell, 1 for probabilities on a finite set. In float64 every
identity of chapter 1 holds to rounding.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation

__all__ = [
    "best_value",
    "game_value",
    "js",
    "kl",
    "non_saturating_gradient",
    "optimal_discriminator",
    "optimal_logits",
    "saturating_gradient",
    "total_variation",
    "wasserstein_1d",
]


@equation("1.2", tests="tests/equations/test_minimax.py::test_optimal_discriminator")
def optimal_discriminator(p: Tensor, q: Tensor) -> Tensor:
    """D*(x) = p(x) / (p(x) + q(x)), the best answer to a generator q (Goodfellow et al. 2014, eq. 2).

    Where neither lives it is undefined, and no expectation asks: 1/2 there.
    """
    total = p + q
    return torch.where(total > 0, p / total.clamp(min=torch.finfo(p.dtype).tiny), 0.5)


def optimal_logits(p: Tensor, q: Tensor) -> Tensor:
    """logit D*(x) = log p(x) - log q(x): D learns a ratio of densities without knowing either."""
    return p.log() - q.log()


def game_value(logits: Tensor, p: Tensor, q: Tensor, dx: float = 1.0) -> Tensor:
    """V(D, q) = E_p log D + E_q log(1 - D) for D's logits on the grid (Goodfellow et al. 2014, eq. 3).

    In logits, since D itself rounds to 1 in the tails, where log(1 - D) is still finite.
    """
    return _mean(p, F.logsigmoid(logits), dx) + _mean(q, F.logsigmoid(-logits), dx)


@equation("1.3", tests="tests/equations/test_minimax.py::test_kl")
def kl(p: Tensor, q: Tensor, dx: float = 1.0) -> Tensor:
    """KL(p || q) = E_p log(p / q) >= 0, in nats; infinite where q = 0 < p."""
    return _mean(p, _log_ratio(p, q), dx)


@equation("1.4", tests="tests/equations/test_minimax.py::test_js")
def js(p: Tensor, q: Tensor, dx: float = 1.0) -> Tensor:
    """JSD(p || q) = 1/2 KL(p || m) + 1/2 KL(q || m) with m = (p + q) / 2, in [0, log 2] nats."""
    m = (p + q) / 2
    return (kl(p, m, dx) + kl(q, m, dx)) / 2


@equation("1.5", tests="tests/equations/test_minimax.py::test_best_value")
def best_value(p: Tensor, q: Tensor, dx: float = 1.0) -> Tensor:
    """C(G) = max_D V(D, G) = -log 4 + 2 JSD(p || q), in [-log 4, 0] (Goodfellow et al. 2014, eq. 6)."""
    return 2 * js(p, q, dx) - math.log(4)


def saturating_gradient(p: Tensor, q: Tensor, dq: Tensor, dx: float = 1.0) -> Tensor:
    """d/dtheta of E_q log(1 - D) at D = D*, held fixed while G moves; equal to the slope of 2 JSD(p || q_theta).

    Args:
        dq: the derivative of the generator's density with respect to theta, on the grid.
    """
    return _mean(dq, F.logsigmoid(-optimal_logits(p, q)), dx)


@equation("1.10", tests="tests/equations/test_minimax.py::test_non_saturating_gradient")
def non_saturating_gradient(p: Tensor, q: Tensor, dq: Tensor, dx: float = 1.0) -> Tensor:
    """d/dtheta of E_q[-log D] at D = D*, held fixed: the slope of KL(q_theta || p) - 2 JSD(p || q_theta).

    So the loss that everybody uses does not descend the JSD: it *climbs* it, and a reverse KL pulls it back
    (Arjovsky and Bottou 2017, theorem 2.5).

    Args:
        dq: the derivative of the generator's density with respect to theta, on the grid.
    """
    return _mean(dq, -F.logsigmoid(optimal_logits(p, q)), dx)


def total_variation(p: Tensor, q: Tensor, dx: float = 1.0) -> Tensor:
    """TV(p, q) = 1/2 sum |p - q|, in [0, 1]."""
    return (p - q).abs().sum() * dx / 2


def wasserstein_1d(p: Tensor, q: Tensor, dx: float = 1.0) -> Tensor:
    """W_1(p, q) on a line = integral |P(x) - Q(x)| dx of the distribution functions: mass times way.

    Args:
        p, q: (N,) densities on an evenly spaced grid of step `dx`; probabilities on the integers for dx = 1.
    """
    return ((p - q).cumsum(0) * dx).abs().sum() * dx


def _log_ratio(p: Tensor, q: Tensor) -> Tensor:
    """log p - log q, and 0 where neither has mass: masked before the logarithm, whose slope there is infinite."""
    neither = (p == 0) & (q == 0)
    return torch.where(neither, 1.0, p).log() - torch.where(neither, 1.0, q).log()


def _mean(weight: Tensor, f: Tensor, dx: float) -> Tensor:
    """sum weight * f * dx with 0 * infinity = 0: what has no mass has no say."""
    return torch.where(weight == 0, 0.0, weight * f).sum() * dx
