"""The best answer of D to a fixed G, in closed form: what the losses of chapter 2 are once D has done its work.

As in `lib.losses.divergences`, p is the density of the data and q that of the generator: tensors of one shape with
``(p * dx).sum() == 1``; `dx` is the width of a grid cell, 1 for probabilities on a finite set.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib.book.equations import equation

__all__ = ["best_hinge_loss", "best_lsgan_scores", "critic_gap", "lsgan_gradient", "pearson_chi2", "penalised_slope"]


@equation("2.2", tests="tests/equations/test_convergence.py::test_best_lsgan_scores")
def best_lsgan_scores(p: Tensor, q: Tensor, *, a: float = 0.0, b: float = 1.0) -> Tensor:
    """D*(x) = (b p + a q) / (p + q): targets a for fakes and b for data, weighted by density (Mao et al. 2017, eq. 5).

    Halfway between the targets where neither lives, for no expectation asks.
    """
    total = p + q
    return torch.where(total > 0, (b * p + a * q) / total.clamp(min=torch.finfo(p.dtype).tiny), (a + b) / 2)


@equation("2.3", tests="tests/equations/test_convergence.py::test_pearson_chi2")
def pearson_chi2(p: Tensor, q: Tensor, dx: float = 1.0) -> Tensor:
    """chi^2(p + q || 2 q) = integral (p - q)^2 / (p + q), in [0, 2] (Mao et al. 2017, eq. 7).

    It is the *value* E_p (D* - c)^2 + E_q (D* - c)^2 where b - c = 1 and b - a = 2. It is not what G descends: D*
    moves with q and minimises another loss, so that the slope of this value is not `lsgan_gradient`.
    """
    total = p + q
    return (torch.where(total > 0, (p - q).square() / total.clamp(min=torch.finfo(p.dtype).tiny), 0.0) * dx).sum()


def lsgan_gradient(
    p: Tensor, q: Tensor, dq: Tensor, dx: float = 1.0, *, a: float = 0.0, b: float = 1.0, c: float = 1.0
) -> Tensor:
    """d/dtheta of E_q (D - c)^2 at D = D*, held fixed while G moves: what the generator of LSGAN follows.

    For (0, 1, 1) it is the slope of an f-divergence: (D* - 1)^2 = r^2 / (1 + r)^2 grows with r = q / p. For
    (-1, 1, 0) it is (1 - r)^2 / (1 + r)^2, the same where G draws too much and where it draws too little: 0 for
    p = (0.7, 0.3) and q = (0.3, 0.7), in every direction.

    Args:
        dq: the derivative of the generator's density with respect to theta, on the grid.
    """
    return (dq * (best_lsgan_scores(p, q, a=a, b=b) - c).square() * dx).sum()


@equation("2.6", tests="tests/equations/test_convergence.py::test_best_hinge_loss")
def best_hinge_loss(p: Tensor, q: Tensor, dx: float = 1.0) -> Tensor:
    """min_D E_p relu(1 - D) + E_q relu(1 + D) = 2 integral min(p, q) = 2 - 2 TV(p, q), in [0, 2].

    The loss is linear in D(x) between -1 and 1, so the best D sits at a corner: 1 where p > q, else -1.
    """
    return 2 * (torch.minimum(p, q) * dx).sum()


@equation("2.7", tests="tests/equations/test_convergence.py::test_critic_gap")
def critic_gap(scores: Tensor, p: Tensor, q: Tensor, dx: float = 1.0) -> Tensor:
    """E_p D - E_q D: what the Wasserstein critic ascends; W_1(p, q) at the best D of slope 1 (Arjovsky et al. 2017).

    Args:
        scores: D on the grid. A steeper D gets more, so that without a limit on the slope there is no best one.
    """
    return ((p - q) * scores * dx).sum()


@equation("2.9", tests="tests/equations/test_convergence.py::test_penalised_slope")
def penalised_slope(gap: float, weight: float, *, target: float = 1.0) -> float:
    """s* = target + d / (2 lambda): the best slope of a linear critic D(x) = s x under the gradient penalty.

    The critic wins d for each unit of slope and pays lambda (s - target)^2. The penalty is soft, so the slope
    exceeds its target, and the estimated distance is d (target + d / (2 lambda)), not d.

    Args:
        gap: d >= 0, the distance between the mean of the data and that of the fakes.
        weight: lambda > 0.
    """
    if weight <= 0:
        raise ValueError(f"The gradient penalty has the weight {weight}; without a positive one no slope is the best.")
    return target + gap / (2 * weight)
