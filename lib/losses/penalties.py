"""Penalties on D's slope with respect to its input, which keep D from running ahead of G (chapter 2).

Each takes D as a function of the picture alone: for a conditional D give ``lambda x: D(x, y)``. Each is a mean
over the batch and differentiable with respect to D's weights. Their other half, spectral normalisation, is a
property of the network: `lib.nn.spectral.spectral_normalised`, importable from here too.

Batch norm in D makes every logit depend on every picture of the batch, so the slope at one picture is no
longer defined; use no norm, instance norm or spectral normalisation with a penalty.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lib.book.equations import equation
from lib.losses.adversarial import at_least_float32
from lib.nn.spectral import spectral_normalised

__all__ = ["gradient_penalty", "input_gradient", "interpolates", "r1", "r2", "spectral_normalised"]

Critic = Callable[[Tensor], Tensor]


def input_gradient(D: Critic, x: Tensor) -> Tensor:
    """d D(x) / dx for every sample: the shape of `x`, float32 at least, itself differentiable.

    Several logits of one sample (a PatchGAN) are summed.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(at_least_float32(D(x)).sum(), x, create_graph=True)
    return at_least_float32(gradient)


def interpolates(real: Tensor, fake: Tensor, *, generator: torch.Generator) -> Tensor:
    """x_hat = eps * real + (1 - eps) * fake with one eps ~ U[0, 1] for each sample: (B, …) -> (B, …).

    One number per sample, not per pixel, and uniform, not normal: so x_hat lies on the straight line between.

    Raises:
        ValueError: `real` and `fake` differ in shape.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"The gradient penalty pairs real with fake samples, but their shapes are {tuple(real.shape)} and "
            f"{tuple(fake.shape)}; draw as many fakes as there are real samples."
        )
    eps = torch.rand(len(real), generator=generator, device=generator.device).to(real)
    return torch.lerp(fake.detach(), real.detach(), eps.view(-1, *[1] * (real.ndim - 1)))


@equation("2.8", tests="tests/equations/test_convergence.py::test_gradient_penalty")
def gradient_penalty(
    D: Critic, real: Tensor, fake: Tensor, *, generator: torch.Generator, target: float = 1.0
) -> Tensor:
    """mean (|grad D(x_hat)|_2 - target)^2 at `interpolates` (Gulrajani et al. 2017, eq. 3; without its lambda).

    The norm runs over all entries of a sample. For a linear D(x) = w . x it is (|w| - target)^2, whatever the
    data.

    Args:
        real, fake: (B, …), the same shape.
        generator: draws where on the line between real and fake the slope is measured.
        target: the slope asked for; 0 gives a zero-centred penalty.
    """
    gradient = input_gradient(D, interpolates(real, fake, generator=generator))
    norm: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norm - target).square().mean()


@equation("2.10", tests="tests/equations/test_convergence.py::test_r1")
def r1(D: Critic, real: Tensor) -> Tensor:
    """1/2 mean |grad D(x)|_2^2 on real data (Mescheder et al. 2018, eq. 9; without its gamma).

    The weight of this term is the paper's gamma. The authors' code leaves the 1/2 out: its 10 is gamma = 20.
    """
    return 0.5 * input_gradient(D, real).flatten(1).square().sum(dim=1).mean()


def r2(D: Critic, fake: Tensor) -> Tensor:
    """1/2 mean |grad D(x)|_2^2 on fakes (Mescheder et al. 2018, eq. 10; without its gamma)."""
    return r1(D, fake)
