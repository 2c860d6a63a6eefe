"""What the number of samples does to FID, and what FID would be without end of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lib.metrics.checks import MeasureError
from lib.metrics.features import Features
from lib.metrics.fidelity import fid, rows_of

__all__ = ["fid_at_sizes", "fid_infinity"]


def fid_at_sizes(
    real: Tensor,
    fake: Tensor,
    features: Features | None = None,
    *,
    sizes: Sequence[int],
    generator: torch.Generator,
) -> dict[int, float]:
    """FID of random subsets: size -> FID, with that many samples drawn from both sets.

    Args:
        real, fake: as in `lib.metrics.fidelity.fid`.
        sizes: numbers of samples, at least 2 each.
        generator: draws the subsets.

    Raises:
        MeasureError: a size that the samples do not have.
    """
    rows_r = rows_of(real, features, name="real samples")
    rows_f = rows_of(fake, features, name="fake samples")
    most = min(len(rows_r), len(rows_f))
    if not sizes or min(sizes) < 2 or max(sizes) > most:
        raise MeasureError(f"The sizes must lie between 2 and the {most} samples that there are, not {list(sizes)}.")

    def some(rows: Tensor, size: int) -> Tensor:
        order = torch.randperm(len(rows), generator=generator, device=generator.device)
        return rows[order[:size].to(rows.device)]

    return {size: fid(some(rows_r, size), some(rows_f, size)) for size in sizes}


def fid_infinity(at_sizes: dict[int, float]) -> float:
    """The limit of FID for N -> infinity: intercept of a least-squares line in 1/N (Chong and Forsyth, CVPR 2020).

    They let only the number of fakes vary; here both sets shrink together, so that the real set's share of the
    bias is removed, too.

    Args:
        at_sizes: what `fid_at_sizes` returned, at two sizes or more; sizes well above the number of features,
            where the bias is a line in 1/N.

    Raises:
        MeasureError: fewer than two sizes.
    """
    if len(at_sizes) < 2:
        raise MeasureError("A line in 1/N needs FID at two sizes or more; give fid_at_sizes more sizes.")
    inverse = torch.tensor([1 / size for size in at_sizes], dtype=torch.float64)
    values = torch.tensor(list(at_sizes.values()), dtype=torch.float64)
    design = torch.stack([torch.ones_like(inverse), inverse], dim=1)
    return float(torch.linalg.lstsq(design, values[:, None]).solution[0, 0])
