"""Measures of an edit: inside, outside, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lib.metrics.checks import MeasureError
from lib.metrics.edits import change_outside, edit_mask, obedience_inside
from tests.scenes import layout, noise, photo


class Reads:
    """A judge with a fixed answer."""

    def __init__(self, answer: Tensor) -> None:
        self.answer = answer

    def predict(self, images: Tensor) -> Tensor:
        return self.answer


BEFORE, AFTER = layout().one_hot(), layout(ball=(0.55, 0.7)).one_hot()
PICTURE = photo()[0].unsqueeze(0)


def test_only_the_edited_pixels_count() -> None:
    edited = edit_mask(BEFORE, AFTER)[0, 0]
    assert edited.sum() == (layout().index != layout(ball=(0.55, 0.7)).index).sum()
    wrong_outside = torch.where(edited, AFTER.argmax(1), (AFTER.argmax(1) + 1) % 3)
    assert obedience_inside(PICTURE, AFTER, BEFORE, Reads(wrong_outside)) == 1
    assert obedience_inside(PICTURE, AFTER, BEFORE, Reads(BEFORE.argmax(1))) == 0
    half = torch.where(torch.arange(48) < 24, AFTER.argmax(1), BEFORE.argmax(1))
    share = obedience_inside(PICTURE, AFTER, BEFORE, Reads(half))
    assert share == pytest.approx(float(edited[:, :24].sum() / edited.sum()))


def test_what_changes_inside_the_edit_or_beside_it_is_free() -> None:
    near = torch.nn.functional.max_pool2d(edit_mask(BEFORE, AFTER).float(), 5, stride=1, padding=2) > 0
    repainted = torch.where(near, noise(1, 3, 32, 48, seed=7), PICTURE)
    assert change_outside(repainted, PICTURE, AFTER, BEFORE, margin=2) == 0
    assert change_outside(repainted, PICTURE, AFTER, BEFORE, margin=1) > 0


def test_a_known_change_outside_is_returned() -> None:
    shifted = PICTURE * 0.5
    near = edit_mask(BEFORE, AFTER).expand(-1, 3, -1, -1)
    expected = (PICTURE / 2).abs()[~near].mean()
    assert change_outside(shifted, PICTURE, AFTER, BEFORE, margin=0) == pytest.approx(float(expected), rel=1e-5)
    assert math.isnan(change_outside(shifted, PICTURE, AFTER, BEFORE, margin=60))


def test_what_cannot_be_measured_says_so() -> None:
    with pytest.raises(MeasureError, match="no edit to measure"):
        edit_mask(BEFORE, BEFORE)
    with pytest.raises(MeasureError, match="differ in shape"):
        edit_mask(BEFORE, AFTER[..., 1:])
    with pytest.raises(MeasureError, match="do not fit"):
        change_outside(PICTURE[..., 1:], PICTURE, AFTER, BEFORE)
    with pytest.raises(MeasureError, match="does not fit"):
        obedience_inside(PICTURE, AFTER, BEFORE, Reads(torch.zeros(1, 8, 8, dtype=torch.long)))
