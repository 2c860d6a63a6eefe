"""Adversarial losses. All take logits."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.book.equations import equation

__all__ = ["feature_matching", "lsgan_fake", "lsgan_real"]


@equation("12.8", tests="tests/equations/test_analogy.py::test_lsgan_real")
def lsgan_real(logits: Tensor) -> Tensor:
    """mean (D - 1)^2: D's wish for real images, and G's wish for its fakes (Mao et al. 2017, eq. 9)."""
    return (logits.float() - 1).square().mean()


@equation("12.9", tests="tests/equations/test_analogy.py::test_lsgan_fake")
def lsgan_fake(logits: Tensor) -> Tensor:
    """mean D^2: D's wish for fakes (Mao et al. 2017, eq. 9)."""
    return logits.float().square().mean()


@equation("12.10", tests="tests/equations/test_analogy.py::test_feature_matching")
def feature_matching(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean absolute difference of D's hidden features, averaged over layers (Wang et al. 2018, eq. 4).

    Args:
        fake: features of G's image; the gradient flows here.
        real: features of the true image; detached, for D must not be pulled towards the fakes.
    """
    gaps = [(f - r.detach()).abs().float().mean() for f, r in zip(fake, real, strict=True)]
    return torch.stack(gaps).mean()
