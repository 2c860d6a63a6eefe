"""What conditioning changes, as numbers: values of games on finite tables, and the class term of AC-GAN.

The tables have one row per class and one column per picture: ``joint`` (Y, X) holds p(x, y) and sums to 1;
``model`` (Y, X) holds the generator's g(x | y), each row sums to 1. Logarithms are natural; 0 log 0 = 0.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.losses.adversarial import at_least_float32
from lib.losses.divergences import best_value, optimal_discriminator

__all__ = [
    "TableError",
    "acgan_criterion",
    "ambiguous_share",
    "blind_criterion",
    "class_log_likelihood",
    "conditional_criterion",
    "conditional_value",
    "optimal_conditional_discriminator",
    "source_log_likelihood",
]


class TableError(ValueError):
    """Tables that are no probabilities, or that do not fit each other."""


@equation("3.1", tests="tests/equations/test_conditioning.py::test_conditional_value")
def conditional_value(joint: Tensor, model: Tensor, d: Tensor) -> Tensor:
    """V(D, G) of the conditional game (Mirza and Osindero 2014, eq. 2), exact on tables.

    Args:
        d: D(x, y) in (0, 1), (Y, X).
    """
    fakes = _fakes(joint, model)
    return torch.xlogy(joint, d).sum() + torch.xlogy(fakes, 1 - d).sum()


@equation("3.2", tests="tests/equations/test_conditioning.py::test_optimal_conditional_discriminator")
def optimal_conditional_discriminator(joint: Tensor, model: Tensor) -> Tensor:
    """D*(x, y) = p(x, y) / (p(x, y) + p(y) g(x | y)), (Y, X); 1/2 where neither ever occurs."""
    return optimal_discriminator(joint, _fakes(joint, model))


@equation("3.3", tests="tests/equations/test_conditioning.py::test_conditional_criterion")
def conditional_criterion(joint: Tensor, model: Tensor) -> Tensor:
    """What G descends when D, which sees the class, is optimal: -log 4 + 2 E_y JSD(p(x|y), g(x|y))."""
    return best_value(joint, _fakes(joint, model))


@equation("3.4", tests="tests/equations/test_conditioning.py::test_blind_criterion")
def blind_criterion(joint: Tensor, model: Tensor) -> Tensor:
    """The same when D sees the picture only: -log 4 + 2 JSD of the marginals. The pairing is gone."""
    return best_value(joint.sum(dim=0), _fakes(joint, model).sum(dim=0))


@equation("3.5", tests="tests/equations/test_conditioning.py::test_source_log_likelihood")
def source_log_likelihood(real: Tensor, fake: Tensor) -> Tensor:
    """L_S: how well D tells the source of a picture (Odena et al. 2017, eq. 2); -2 log 2 for a D that guesses.

    Args:
        real, fake: D's source logits, any shape.
    """
    return F.logsigmoid(at_least_float32(real)).mean() + F.logsigmoid(-at_least_float32(fake)).mean()


@equation("3.6", tests="tests/equations/test_conditioning.py::test_class_log_likelihood")
def class_log_likelihood(logits: Tensor, classes: Tensor) -> Tensor:
    """One half of L_C: the mean log-probability of the right class (Odena et al. 2017, eq. 3).

    L_C adds this for real pictures with their labels and for fakes with the classes asked for.

    Args:
        logits: (B, K).
        classes: (B,) int64.
    """
    return -F.cross_entropy(at_least_float32(logits), classes)


@equation("3.8", tests="tests/equations/test_conditioning.py::test_acgan_criterion")
def acgan_criterion(joint: Tensor, model: Tensor, weight: float = 1.0) -> Tensor:
    """What G descends in AC-GAN when D is optimal: the blind criterion plus `weight` times its class cost.

    The classifier has learned from real pictures alone (``class_on_fakes=0``) and knows p(y | x) perfectly; a
    picture that is never real counts as a coin toss between the classes. Where it learns from fakes too, as in
    Odena et al. and by default in `ACGAN`, it knows the posterior of the mixture instead, and this does not hold
    unless the two agree, as they do by symmetry in the toy of `ambiguous_share`.
    """
    marginal = joint.sum(dim=0, keepdim=True)
    posterior = torch.where(marginal > 0, joint / marginal.clamp_min(torch.finfo(joint.dtype).tiny), 1 / joint.shape[0])
    class_cost = -torch.xlogy(_fakes(joint, model), posterior).sum()
    return blind_criterion(joint, model) + weight * class_cost


@equation("3.9", tests="tests/equations/test_conditioning.py::test_ambiguous_share")
def ambiguous_share(weight: float) -> float:
    """The share a* of ambiguous pictures that AC-GAN's optimum draws, where the truth is 1/2.

    The world of the toy: pictures 0, 1, 2; class A shows 0 or 1, class B shows 1 or 2, each half of the time.
    G draws picture 1 with probability a, else the picture that belongs to its class alone. The optimum solves
    a (3 - 2a) / ((1 + 2a)(1 - a)) = k with k = 2^-weight, which is a quadratic equation.
    """
    k = math.exp2(-weight)
    square, linear, constant = 1 - k, -(3 - k) / 2, k / 2
    # The smaller root, written so that it stays exact where the square term vanishes (weight 0).
    return 2 * constant / (-linear + math.sqrt(linear**2 - 4 * square * constant))


def _fakes(joint: Tensor, model: Tensor) -> Tensor:
    """p(y) g(x | y), after checking both tables."""
    if joint.shape != model.shape or joint.ndim != 2:
        raise TableError(
            f"Both tables must have shape (classes, pictures), not {tuple(joint.shape)} and {tuple(model.shape)}."
        )
    if bool((joint < 0).any()) or bool((model < 0).any()):
        raise TableError("A probability is negative.")
    if abs(float(joint.sum()) - 1) > 1e-4 or bool(((model.sum(dim=1) - 1).abs() > 1e-4).any()):
        raise TableError("The joint table must sum to 1 and each row of the model to 1; divide by the sums.")
    return joint.sum(dim=1, keepdim=True) * model
