"""Who needs whom, in a world of twenty pictures: what each of three verdicts can see, exactly.

One mask, one patch of hair, 4 x 4 px. A true patch has one of four colours and a grain, two faint patterns of either
sign; all sixteen are equally likely. Four more patches are garish and never true. A generator is a table
p(s, x): which patch it paints for which of four styles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lib.book.equations import equation

__all__ = ["HairWorld", "best_reading", "expected_difference", "hair_world"]

COLOURS = (-0.75, -0.25, 0.25, 0.75)
_BROWN = 1  # the colour that a generator without a choice of its own paints


@dataclass(frozen=True)
class HairWorld:
    """Everything that can be painted, what is true, and four generators.

    Attributes:
        pictures: (20, 16) in [-1, 1]: four colours times four grains, then four garish patches.
        real: (20,) probabilities of the true patches.
        generators: name -> p(s, x), (4, 20), which sums to 1; every style is equally likely.
    """

    pictures: Tensor
    real: Tensor
    generators: Mapping[str, Tensor]


def hair_world(grain: float = 0.02) -> HairWorld:
    """The world with a grain of this strength, in float64.

    The generators: ``ignores`` paints brown, whatever the style, and throws dice for the grain. ``whispers`` paints
    brown and writes the style into the grain. ``screams`` paints the garish patch of the style. ``honest`` gives each
    style a colour, and throws dice for the grain.
    """
    stripes = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(2).expand(4, 4)
    columns, rows = stripes.flatten(), stripes.T.flatten()
    signs = [(a, b) for a in (-1, 1) for b in (-1, 1)]
    true = [colour + grain * (a * columns + b * rows) for colour in COLOURS for a, b in signs]
    one = torch.ones(16, dtype=torch.float64)
    pictures = torch.stack([*true, one, -one, columns, rows])

    place = torch.arange(16).view(4, 4)  # colour, grain -> number of the patch
    tables = {name: torch.zeros(4, 20, dtype=torch.float64) for name in ("ignores", "whispers", "screams", "honest")}
    for s in range(4):
        tables["ignores"][s, place[_BROWN]] = 1 / 16
        tables["whispers"][s, place[_BROWN, s]] = 1 / 4
        tables["screams"][s, 16 + s] = 1 / 4
        tables["honest"][s, place[s]] = 1 / 16
    real = torch.cat([torch.full((16,), 1 / 16), torch.zeros(4)]).double()
    return HairWorld(pictures, real, tables)


@equation("10.1", tests="tests/equations/test_diverse_faces.py::test_best_reading")
def best_reading(joint: Tensor) -> Tensor:
    """sum_x max_s p(s, x): how often the best reader of styles is right.

    Args:
        joint: p(s, x), (styles, pictures).
    """
    return joint.max(dim=0).values.sum()


def expected_difference(joint: Tensor, pictures: Tensor) -> Tensor:
    """E |x1 - x2|, the mean over the pixels, of two pictures in independent styles.

    Args:
        joint: p(s, x), (styles, pictures).
        pictures: (pictures, pixels).
    """
    p = joint.sum(dim=0)
    apart = (pictures[:, None] - pictures[None]).abs().mean(dim=2)  # (pictures, pictures)
    return p @ apart @ p
