"""Why FID is never 0: what it costs to know a Gaussian from N samples only, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.book.equations import equation

__all__ = ["fid_bias", "fid_of_gaussians"]


@equation("2.17", tests="tests/equations/test_convergence.py::test_fid_of_gaussians")
def fid_of_gaussians(shift: float, scale: float, dimensions: int) -> float:
    """FID between N(0, I) and N(m, s^2 I) in D dimensions = |m|^2 + D (1 - s)^2, exactly.

    Args:
        shift: |m|.
        scale: s >= 0.
    """
    return shift**2 + dimensions * (1 - scale) ** 2


@equation("2.18", tests="tests/equations/test_convergence.py::test_fid_bias")
def fid_bias(covariance: Tensor, count: int) -> float:
    """What FID measures between two samples of one Gaussian, N each, to first order in 1/N.

        bias = 1/N ( 2 sum_i l_i  +  sum_i l_i / 2  +  sum_ij l_i l_j / (l_i + l_j) )

    with the eigenvalues l of the covariance: the first part from the two means, the others from the two
    covariances. For D white features it is D (D + 5) / (2 N). It grows with the square of the dimension and falls
    as 1/N, so a FID at another N is another number.

    Args:
        covariance: (D, D), symmetric, of the features; N must be well above D.
        count: N, samples in each set.
    """
    found = torch.linalg.eigvalsh(covariance.double()).clamp_min(0)
    values = found[found > 1e-12 * found.max()]
    pairs = values[:, None] * values[None, :] / (values[:, None] + values[None, :])
    return float((2.5 * values.sum() + pairs.sum()) / count)
