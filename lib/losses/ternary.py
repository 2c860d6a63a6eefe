"""DTN's discriminator has three answers, and its generator keeps what a frozen f sees (Taigman et al. 2017).

    L_D     = - mean_s log D_1(G(x)) - mean_t log D_2(G(x)) - mean_t log D_3(x)
    L_GANG  = - mean_s log D_3(G(x)) - mean_t log D_3(G(x))
    L_CONST = mean_s d(f(x), f(G(x)))
    L_TID   = mean_t (x - G(x))²

Class 1: a translated source picture; 2: a translated target picture; 3: a real target picture. Where G is perfect and
the three batches are equal, the best D answers 1/3 each, so each term rests at log 3, not at log 2.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.losses.adversarial import at_least_float32
from lib.losses.verdicts import verdict

__all__ = [
    "FROM_SOURCE", "FROM_TARGET", "REAL", "best_ternary", "class_spread", "constancy", "minus_log", "target_identity",
]  # fmt: skip

FROM_SOURCE, FROM_TARGET, REAL = 0, 1, 2
"""Places of D's answers in its logits: D_1, D_2 and D_3 in the paper."""


def minus_log(logits: Tensor, answer: int) -> Tensor:
    """mean -log D_answer(x), D = softmax of the logits (B, n).

    Each term of L_D and L_GANG is one of these: D is told the truth, G wants `REAL`.
    """
    # One number for three answers: the log-odds of REAL, as in a D with two answers.
    verdict("real" if answer == REAL else "fake", lambda: logits[:, REAL] - logits[:, :REAL].logsumexp(dim=1))
    return -F.log_softmax(at_least_float32(logits), dim=1)[:, answer].mean()


@equation("8.3", tests="tests/equations/test_dtn_equations.py::test_the_least_loss_of_d")
def best_ternary(from_source: Tensor, from_target: Tensor, real: Tensor) -> Tensor:
    """The D that minimises L_D for known densities (…): (…, 3), each density over their sum.

    As for two classes (Goodfellow et al. 2014, prop. 1), point by point: where all three agree it is 1/3 each.
    """
    densities = torch.stack([from_source, from_target, real], dim=-1)
    return densities / densities.sum(dim=-1, keepdim=True)


@equation("8.5", tests="tests/equations/test_diat_dtn.py::test_constancy_and_target_identity_by_hand")
def constancy(code: Tensor, again: Tensor, distance: Literal["mse", "cosine"] = "mse") -> Tensor:
    """L_CONST: mean d(f(x), f(G(x))); d is the mean squared difference, or 1 - cosine.

    f stands still, but the gradient must pass *through* f to G: `again` needs its graph.

    Args:
        code: f(x) (B, D); the target, without a gradient.
        again: f(G(x)) (B, D).
    """
    code, again = at_least_float32(code.detach()), at_least_float32(again)
    if distance == "cosine":
        return (1 - F.cosine_similarity(again, code, dim=1)).mean()
    return (again - code).square().mean()


@equation("8.6", tests="tests/equations/test_diat_dtn.py::test_constancy_and_target_identity_by_hand")
def target_identity(painted: Tensor, x: Tensor) -> Tensor:
    """L_TID: mean (x - G(x))² on target pictures; CycleGAN's identity loss has its origin here."""
    return (at_least_float32(painted) - at_least_float32(x)).square().mean()


@equation("8.9", tests="tests/equations/test_dtn_equations.py::test_the_spread_about_each_classs_own_mean")
def class_spread(code: Tensor, answer: Tensor) -> Tensor:
    """mean (f(x) - m)², m the mean of those codes in the batch that have the same answer.

    A centre loss (Wen et al. 2016) whose centres are read off the batch: pictures of one meaning get one code,
    however they were drawn. 0 for a batch in which no answer occurs twice.

    Args:
        code: f(x) (B, D).
        answer: (B,), integers.
    """
    code = at_least_float32(code)
    same = (answer[:, None] == answer).to(code)  # (B, B)
    mean = (same @ code) / same.sum(dim=1, keepdim=True)
    return (code - mean).square().mean()
