"""Measures of an edit: does the picture obey where the layout changed, and did it leave the rest alone?

Scores over the whole picture flatter small edits: a photo that ignores the wish to widen a smile still agrees with
19 of 20 pixels of the new layout. These two look at the two sides of the border of the edit, one each.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.metrics.checks import MeasureError, check_images
from lib.metrics.layout import Judge

__all__ = ["change_outside", "edit_mask", "obedience_inside"]


def edit_mask(layout: Tensor, target: Tensor) -> Tensor:
    """Where two one-hot layouts (B, K, H, W) differ: (B, 1, H, W) bool.

    Raises:
        MeasureError: their shapes differ, or nothing does.
    """
    if layout.shape != target.shape:
        raise MeasureError(f"The layouts differ in shape: {tuple(layout.shape)} and {tuple(target.shape)}; resize one.")
    mask = (layout != target).any(dim=1, keepdim=True)
    if not bool(mask.any()):
        raise MeasureError("The two layouts are equal, so there is no edit to measure.")
    return mask


@equation("13.1", tests="tests/metrics/test_edits.py::test_only_the_edited_pixels_count")
def obedience_inside(picture: Tensor, target: Tensor, layout: Tensor, judge: Judge) -> float:
    """Share of the edited pixels in which a judge reads the class that was ordered. The photo itself gets about 0.

    Args:
        picture: (B, 3, H, W) in [-1, 1].
        target, layout: one-hot (B, K, H, W), what was ordered and what the photo shows.
        judge: took no part in the training.

    Raises:
        MeasureError: the shapes do not fit, or there is no edit.
    """
    mask = edit_mask(layout, target)[:, 0]
    read = judge.predict(check_images(picture))
    if read.shape != mask.shape:
        raise MeasureError(f"The picture {tuple(picture.shape)} does not fit the layout {tuple(target.shape)}.")
    return float((read == target.argmax(dim=1))[mask].float().mean())


@equation("13.2", tests="tests/metrics/test_edits.py::test_a_known_change_outside_is_returned")
def change_outside(picture: Tensor, photo: Tensor, target: Tensor, layout: Tensor, *, margin: int = 8) -> float:
    """Mean absolute difference from the photo, over the pixels further than ``margin`` from the edit.

    The margin leaves room for what must change beside an edit: a shadow, a border, a patch that straddles it. An
    object that is *moved* takes its own inside with it, so the measure is meant for edits that stay in place.

    Args:
        picture, photo: (B, 3, H, W) in [-1, 1].
        target, layout: one-hot (B, K, H, W).
        margin: in pixels, along rows and columns.

    Returns:
        In units of the picture, [0, 2]; NaN if the edit reaches everywhere.

    Raises:
        MeasureError: the shapes do not fit, or there is no edit.
    """
    if picture.shape != photo.shape or picture.shape[-2:] != target.shape[-2:]:
        raise MeasureError(
            f"Picture {tuple(picture.shape)}, photo {tuple(photo.shape)} and layout {tuple(target.shape)} do not fit."
        )
    near = F.max_pool2d(edit_mask(layout, target).float(), 2 * margin + 1, stride=1, padding=margin) > 0.5
    difference = (check_images(picture) - check_images(photo, name="photo")).abs().mean(dim=1, keepdim=True)
    return float(torch.masked_select(difference, ~near).mean())
