"""Cycle consistency and identity: what ties an unpaired translation to its input (Zhu et al. 2017).

Two translators, G: X -> Y and F: Y -> X. Both losses are means over all values, of pictures in [-1, 1]. So the
paper's weight lambda = 10 means the same at every size.
"""

from __future__ import annotations

from torch import Tensor

from lib.book.equations import equation
from lib.losses.adversarial import at_least_float32

__all__ = ["cycle_loss", "identity_loss"]


@equation("5.5", tests="tests/equations/test_cycle.py::test_the_losses_are_mean_absolute_differences")
def cycle_loss(rebuilt: Tensor, x: Tensor) -> Tensor:
    """mean |F(G(x)) - x|: one direction of the cycle (Zhu et al. 2017, eq. 2; StarGAN's eq. 4).

    Forward with x and F(G(x)), backward with y and G(F(y)); the paper adds both.

    Args:
        rebuilt: the picture after the whole cycle.
        x: the picture it began with, of the same shape.
    """
    return (at_least_float32(rebuilt) - x).abs().mean()


@equation("5.2", tests="tests/equations/test_cycle.py::test_a_flipped_sign_fools_everything_but_the_identity_term")
def identity_loss(kept: Tensor, y: Tensor) -> Tensor:
    """mean |G(y) - y|: a picture that is already in G's target domain stays as it is (Zhu et al. 2017, sec. 5.2).

    It forbids what the cycle allows: to tint every picture on the way there and to take the tint off on the way
    back.

    Args:
        kept: G(y).
        y: a picture of G's target domain, of the same shape.
    """
    return cycle_loss(kept, y)
