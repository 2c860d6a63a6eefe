"""Large pictures from a small model: what goes where is decided at the model's size, the detail comes from the photo.

A generator that matches cells of a 256 px picture compares sixteen times as many pairs as at 128 px. But where a cell
comes from, and what colour the whole should have, is seen well enough at 128 px; only the detail is missing, and
detail is what the larger photo has. So, coarse to fine:

    1. the model paints the small target, and its matches are corrected           `follow_matches`
    2. the large photo is copied along the same matches
    3. the small painting gives the low frequencies, the copy the high ones,
       as far as the gate let the copy through                                    `with_detail`
    4. large patches of the photo, looked for close by, vote for every pixel      `follow_matches`

Ours; the coarse-to-fine use of one match field is that of image pyramids since PatchMatch (Barnes et al. 2009).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.data.augment import identity_grid
from lib.data.single_photo import CELL
from lib.games.analogist import Analogist
from lib.labelmaps import LabelError, LabelMap
from lib.losses.patch_match import MatchSearch
from lib.losses.refine import follow_matches
from lib.nn.alignment import copy_along

__all__ = ["enlarged", "paint_fine", "with_detail"]

_CLOSE_BY = MatchSearch(size=5, iterations=1, steps=(1,), radius=2)  # what goes where was decided at the small size


@torch.no_grad()
def paint_fine(
    analogist: Analogist, photo: Tensor, layout: LabelMap, target: LabelMap, *, refine: bool = True
) -> Tensor:
    """The photo that fits a target layout, at a larger size than the model was trained at: (3, H', W') in [-1, 1].

    Args:
        analogist: trained on the same photo at the smaller size, with alignment.
        photo: (3, H, W) in [-1, 1], both sides a whole number of times those of the analogist's photo.
        layout: the photo's layout at its large size.
        target: what to paint, both sides divisible by 8 times that number.
        refine: correct the matches. Without, a draft along the cells of the matcher, in a fraction of the time.

    Raises:
        ValueError: the photo's size is no multiple of the model's.
        LabelError: a layout does not fit.
    """
    factor = _factor(analogist, photo, layout, target)
    if factor == 1:
        return analogist.paint(target, refine=refine)
    asked = target.resized(target.height // factor, target.width // factor)
    small = analogist.painting(asked)
    device = analogist.runtime.device
    large, source, wanted = photo.unsqueeze(0).to(device), layout.one_hot(device), target.one_hot(device)
    if not refine:
        copied = copy_along(small.aligned.position, large, source, wanted, cell=factor * CELL).image
        return with_detail(small.image.float(), copied, small.gate)[0].clamp(-1, 1)
    known = analogist.image.unsqueeze(0), analogist.layout.one_hot(device)
    followed = follow_matches(small.image.float(), known[0], asked.one_hot(device), known[1], small.aligned.grid)
    grid = enlarged(followed.grid, factor)
    copied = F.grid_sample(large, grid, mode="bicubic", padding_mode="border", align_corners=False)
    picture = with_detail(followed.image, copied, small.gate)
    return follow_matches(picture, large, wanted, source, grid, _CLOSE_BY, sweeps=1).image[0].clamp(-1, 1)


@equation(
    "12.18",
    tests="tests/wiring/test_fine_painting.py::test_a_trusted_copy_that_the_painting_agrees_with_stays_as_it_is",
)
def with_detail(small: Tensor, copied: Tensor, gate: Tensor) -> Tensor:
    """up(small) + (1 - up(gate)) * (copied - up(down(copied))): low frequencies of one, detail of the other.

    Args:
        small: (B, 3, h, w), the painting.
        copied: (B, 3, H, W), sharp, of the same scene.
        gate: (B, 1, h, w) in [0, 1]; 1 where the copy is not to be trusted.
    """
    size, coarse = copied.shape[-2:], small.shape[-2:]
    blurred = F.interpolate(copied, size=coarse, mode="bicubic", antialias=True)
    base, below = (F.interpolate(t, size=size, mode="bicubic") for t in (small, blurred))
    trust = 1 - F.interpolate(gate.float(), size=size, mode="bilinear")
    return base + trust * (copied - below)


def enlarged(grid: Tensor, factor: int) -> Tensor:
    """A grid (1, H, W, 2) for pixels cut into ``factor`` x ``factor`` smaller ones, which move as the pixel did."""
    height, width = grid.shape[1:3]
    home = identity_grid(height, width, grid.device)
    move = F.interpolate((grid - home).permute(0, 3, 1, 2), scale_factor=factor, mode="nearest")
    return move.permute(0, 2, 3, 1) + identity_grid(factor * height, factor * width, grid.device)


def _factor(analogist: Analogist, photo: Tensor, layout: LabelMap, target: LabelMap) -> int:
    """How many times larger the photo is than the one that was learned."""
    known = analogist.layout
    factor = photo.shape[-1] // known.width
    if factor < 1 or tuple(photo.shape) != (3, factor * known.height, factor * known.width):
        raise ValueError(
            f"The photo is {tuple(photo.shape)}; it must be (3, {known.height}, {known.width}) times a whole number, "
            "for that is the size the model was trained at."
        )
    if not analogist.config.aligned:
        raise ValueError("Only a model that copies (aligned=True) can borrow detail from a larger photo.")
    layout.require_size(*photo.shape[-2:])
    if target.height % (8 * factor) or target.width % (8 * factor):
        raise LabelError(
            f"The target is {target.width} x {target.height} px; both sides must be multiples of {8 * factor}: "
            "use target.resized(height, width)."
        )
    return factor
