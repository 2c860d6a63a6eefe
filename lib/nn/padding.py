"""Pictures of any size for networks that halve their sides: pad to a multiple, cut the answer back."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["cut", "pad_to_multiple"]

Border = tuple[int, int, int, int]  # left, right, top, bottom, in pixels


def pad_to_multiple(x: Tensor, multiple: int) -> tuple[Tensor, Border]:
    """Repeat the border pixels of (B, C, H, W) until both sides are multiples of `multiple`.

    The old picture stays in the middle. Repeating works for any size, and a one-hot layout stays one-hot;
    mirroring needs a picture larger than the border.

    Returns:
        The larger picture (x itself where nothing is missing) and what was added, for `cut`.
    """
    rows, columns = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    border = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    return (F.pad(x, border, mode="replicate") if any(border) else x), border


def cut(x: Tensor, border: Border) -> Tensor:
    """Take away what `pad_to_multiple` added."""
    left, right, top, bottom = border
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]
