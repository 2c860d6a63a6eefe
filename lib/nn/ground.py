"""The ground stays where it is: a prior for matches between a photo's layout and an edit of it.

Layouts do not say what moves. If a head moves to the left, the trees behind it may have moved along, and from warps,
where everything moves together, the matcher has learned that they do. An edit means something else: what keeps its
label keeps its place, unless it belongs to a thing that was moved. The classes that the frame cuts off are ground, the
others are things, as figure and ground are told apart since Rubin (1921).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.data.single_photo import CELL

__all__ = ["ground_classes", "with_rest"]

_UNCHANGED = 0.95  # overlap of the class shares of a cell before and after


def ground_classes(shares: Tensor) -> Tensor:
    """Which classes are ground: those that meet the frame along half the outline of a square of their area, or more.

    Args:
        shares: (B, K, rows, columns), of the classes in each cell.

    Returns:
        (B, K), 1 or 0. A class that is absent is no ground.
    """
    frame = torch.ones_like(shares[:1, :1])
    frame[..., 1:-1, 1:-1] = 0
    outline, area = (shares * frame).sum(dim=(2, 3)), shares.sum(dim=(2, 3))
    return ((outline >= 2 * area.sqrt()) & (area > 0)).to(shares.dtype)


@torch.no_grad()
@equation("12.20", tests="tests/equations/test_analogy.py::test_unchanged_ground_prefers_its_place")
def with_rest(logits: Tensor, target: Tensor, source: Tensor, *, bonus: float) -> Tensor:
    """Logits (B, T, S) in which every unchanged cell of ground prefers its own place by ``bonus`` nats (12.20).

    Layouts of different sizes have no common places; their logits stay as they are.

    Args:
        logits: from `lib.nn.alignment.LayoutMatcher`.
        target, source: one-hot layouts (B, K, H, W), sides divisible by 4.
        bonus: 0 leaves everything to the matcher.
    """
    if not bonus or target.shape[-2:] != source.shape[-2:]:
        return logits
    wanted, known = (F.avg_pool2d(layout.float(), CELL) for layout in (target, source))
    unchanged = (wanted * known).sqrt().sum(dim=1) > _UNCHANGED
    ground = (wanted * ground_classes(known)[:, :, None, None]).sum(dim=1)
    rested = logits.clone()
    rested.diagonal(dim1=1, dim2=2).add_(bonus * (ground * unchanged).flatten(1))
    return rested
