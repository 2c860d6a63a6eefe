"""What pix2pix asks of pictures, on numbers small enough to check (Isola et al. 2017, sec. 3.1)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation

__all__ = ["best_constant", "cgan_value"]


@equation("4.2", tests="tests/equations/test_paired.py::test_cgan_value")
def cgan_value(on_true: Tensor, on_painted: Tensor) -> Tensor:
    """L_cGAN = E log D(x, y) + E log(1 - D(x, G(x, z))), which D raises and G lowers (Isola et al. 2017, eq. 1).

    The mean over a PatchGAN's map is part of the expectation: a patch is one sample.

    Args:
        on_true: D's logits of true pairs, of any shape.
        on_painted: its logits of painted pairs.
    """
    return F.logsigmoid(on_true).mean() + F.logsigmoid(-on_painted).mean()


@equation("4.1", tests="tests/equations/test_paired.py::test_best_constant")
def best_constant(y: Tensor, distance: Literal["l1", "l2"]) -> Tensor:
    """The one answer g with the smallest mean |y - g| or (y - g)^2: the median or the mean of y.

    It is what a perfect regression paints where x leaves several y open, pixel by pixel.

    Args:
        y: true values (N, …), equally likely.
    """
    return torch.quantile(y, 0.5, dim=0) if distance == "l1" else y.mean(dim=0)
