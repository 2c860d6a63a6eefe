"""Two ways to teach an encoder the inverse of a generator, and a linear generator where the answer is known."""

from __future__ import annotations

from torch import Tensor

from lib.book.equations import equation
from lib.losses.adversarial import at_least_float32

__all__ = ["image_loss", "latent_loss", "linear_inversion_error"]


@equation("3.10", tests="tests/equations/test_conditioning.py::test_latent_loss")
def latent_loss(found: Tensor, z: Tensor) -> Tensor:
    """Mean squared error of the latent, per dimension: 1 for an encoder that always answers 0.

    ‖E(G(z, c)) - z‖² / d (Dong et al. 2017; Perarnau et al. 2016, eq. 3; proposed in Goodfellow et al. 2014, sec. 7).

    Args:
        found, z: (B, d).
    """
    return (at_least_float32(found) - z).square().mean()


@equation("3.13", tests="tests/equations/test_conditioning.py::test_image_loss")
def image_loss(rebuilt: Tensor, image: Tensor) -> Tensor:
    """Mean squared error of the picture, per value: ‖G(E(x), c) - x‖² / n; both (B, C, H, W) in [-1, 1]."""
    return (at_least_float32(rebuilt) - image).square().mean()


@equation("3.11", tests="tests/equations/test_conditioning.py::test_linear_inversion_error")
def linear_inversion_error(offset: Tensor) -> Tensor:
    """The least possible ‖E(x) - z‖² of an affine encoder that is not told the class; summed over dimensions.

    The generator is G(z, c) = z ± offset / 2 with two equally frequent classes and z ~ N(0, I). All of the
    offset lies in the span of the latent, so E cannot tell a shift of the class from a shift of z:
    (s/4) / (1 + s/4) with s = ‖offset‖². Outside the span, or with the class given, the error is 0.

    Args:
        offset: (d,).
    """
    quarter = offset.square().sum() / 4
    return quarter / (1 + quarter)
