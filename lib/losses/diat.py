"""DIAT's losses: an identity in feature maps, a learned eye for artefacts, and what the second stage asks for.

    l_c^{phi,l}(y, x) = ||phi_l(y) - phi_l(x)||_F^2 / (2 C_l H_l W_l)                content, layer l
    l_id              = sum_l w_l l_c^{phi,l}(T(x), x)                               fixed phi, or D itself (DIAT-A)
    l_smooth          = ||f(T(x)) - T(x)||_F^2                                       f: a trained denoiser
    L_E, local        = ||(1 - m)(E(T(x)) - x)||_F^2 + sum_i beta_i l_c^{phi,i}(m T(x), m E(T(x)))
    L_E, global       = ||E(B(x)) - x||_F^2                                          B: a blur

after Li, Zuo and Zhang (2016, version 1). Squared norms are means over values here, so that a weight means the same
at every size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.losses.adversarial import at_least_float32
from lib.losses.perceptual import perceptual_loss

__all__ = [
    "artefact_map", "artefacts", "best_change", "content_loss", "denoising_losses", "masked_loss",
    "misprinted_attribute_loss",
]  # fmt: skip

Picture2Picture = Callable[[Tensor], Tensor]


@equation("7.1", tests="tests/equations/test_diat_stages.py::test_best_change")
def best_change(direction: Tensor, metric: Tensor, weight: float) -> Tensor:
    """delta* = K^-1 w / (lambda + w' K^-1 w), the least of (1 - w' delta)^2 / 2 + lambda delta' K delta / 2.

    A toy of DIAT's stage 1 (ours). The attribute is reached where w' delta = 1; K says how much phi sees of each
    change of a picture. lambda decides how far T goes, and phi in which direction.

    Args:
        direction: w (n,), what D calls the attribute.
        metric: K (n, n), symmetric and positive definite: phi' phi for a linear phi.
        weight: lambda, not negative; 0 goes all the way.

    Returns:
        (n,), the change that T makes.
    """
    way: Tensor = torch.linalg.solve(metric, direction)
    return way / (weight + direction @ way)


@equation("7.3", tests="tests/equations/test_diat_stages.py::test_content_loss")
def content_loss(
    features_fake: Sequence[Tensor], features_real: Sequence[Tensor], weights: Sequence[float] | None = None
) -> Tensor:
    """l_id = sum_l w_l ||phi_l(fake) - phi_l(real)||_F^2 / (2 C_l H_l W_l), mean over pictures.

    With phi fixed it is DIAT's identity loss; with the maps of the D that is being trained, DIAT-A's adaptive one,
    whose target moves with every turn of D.

    Raises:
        PerceptualError: the lists do not fit.
    """
    return 0.5 * perceptual_loss(features_fake, features_real, weights)


def artefact_map(f: Picture2Picture, picture: Tensor) -> Tensor:
    """(f(y) - y)^2, mean over channels: where the denoiser would change the picture. (B, H, W)."""
    y = at_least_float32(picture)
    return (at_least_float32(f(picture)) - y).square().mean(dim=1)


@equation("7.5", tests="tests/equations/test_diat_dtn.py::test_the_denoisers_losses_by_hand")
def artefacts(f: Picture2Picture, picture: Tensor) -> Tensor:
    """l_smooth = mean (f(y) - y)^2: DIAT's perceptual regularisation, a scalar.

    f has learned to leave clean faces alone and to take away what feature losses leave behind. The gradient passes
    both through f and around it.
    """
    return artefact_map(f, picture).mean()


@equation("7.4", tests="tests/equations/test_diat_dtn.py::test_the_denoisers_losses_by_hand")
def denoising_losses(f: Picture2Picture, rough: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """What f learns: mean (f(g(x)) - x)^2, to repair, and mean (f(x) - x)^2, to leave clean pictures alone.

    Args:
        rough: g(x), a picture with the artefacts.
        clean: x.
    """
    repair = (at_least_float32(f(rough)) - at_least_float32(clean)).square().mean()
    return repair, artefacts(f, clean)


def masked_loss(picture: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """mean (mask (picture - target))^2 over all values, in the mask or not: the outer part of the local L_E.

    Args:
        picture, target: (B, C, H, W).
        mask: (B, 1, H, W); 1 where the difference counts, that is 1 - m.
    """
    return (mask * (at_least_float32(picture) - at_least_float32(target))).square().mean()


@equation("7.10", tests="tests/equations/test_diat_dtn.py::test_the_misprinted_logarithm_is_the_non_saturating_loss")
def misprinted_attribute_loss(logits: Tensor) -> Tensor:
    """mean (1 - log D): one printing of DIAT's attribute loss has it where log(1 - D) is meant; D = sigma(a).

    As T's loss it is 1 + softplus(-a), the *non-saturating* loss and a constant: same direction, other strength, namely
    1 - D instead of D. For D, who ascends it on fakes, it would be the same wish with another curvature.
    """
    return 1 + F.softplus(-at_least_float32(logits)).mean()
