"""The numbered equations of chapter 4."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.games.pix2pix import D_SCALE, Pix2Pix, Pix2PixConfig, pixel_loss
from lib.losses.paired import best_constant, cgan_value
from lib.metrics.segmentation_score import score_of
from lib.nn.patch_family import PatchGAN
from lib.nn.receptive_field import Layer, gradient_map, receptive_field, support
from lib.runtime import seeded
from tests.scenes import noise

DISTANCES: tuple[Literal["l1", "l2"], ...] = ("l1", "l2")


def game(**changes: Any) -> Pix2Pix:
    torch.manual_seed(0)
    return Pix2Pix(2, Pix2PixConfig(size=16, width=2, d_width=2, patch=16, noise=False, **changes))


def test_cgan_value() -> None:
    """Against probabilities written out; a guessing D has the value -log 4, as in chapter 1."""
    true, painted = noise(2, 1, 3, 3) * 3, noise(2, 1, 3, 3, seed=1) * 3
    written = torch.sigmoid(true).log().mean() + (1 - torch.sigmoid(painted)).log().mean()
    torch.testing.assert_close(cgan_value(true, painted), written)
    assert float(cgan_value(torch.zeros(4), torch.zeros(4))) == pytest.approx(-math.log(4))
    assert math.isfinite(float(cgan_value(torch.tensor([200.0]), torch.tensor([200.0]))))  # log(1 - 1) is not


def test_d_descends_half_the_negative_value() -> None:
    own, data = game(), {"condition": noise(2, 2, 16, 16), "image": noise(2, 3, 16, 16, seed=1)}
    (turn, *_), fake = list(own.round(data)), own.paint(data["condition"])
    x, y = data["condition"], data["image"]
    value = cgan_value(own.judge(x, y), own.judge(x, fake))
    torch.testing.assert_close(turn.loss, -D_SCALE * value)


def test_judge() -> None:
    """(4.3): an unconditional D gives the same value for any order of the conditions, a conditional one does not."""
    x, y = noise(3, 2, 16, 16), noise(3, 3, 16, 16, seed=1)
    for conditional in (True, False):
        own = game(conditional=conditional)
        assert isinstance(own, Pix2Pix)
        same, other = own.judge(x, y), own.judge(x.roll(1, 0), y)
        assert torch.equal(same, other) is not conditional


def test_pixel_loss() -> None:
    fake, y = torch.tensor([[0.0, 0.5]]), torch.tensor([[1.0, 0.0]])
    assert float(pixel_loss(fake, y)) == 0.75 and float(pixel_loss(fake, y, "l2")) == 0.625


def test_objective() -> None:
    """(4.5): G descends its side of the game and lambda times the distance."""
    for weight in (0.0, 1.0, 100.0):
        own, data = game(l1=weight), {"condition": noise(2, 2, 16, 16), "image": noise(2, 3, 16, 16, seed=1)}
        assert isinstance(own, Pix2Pix)
        *_, turn = list(own.round(data))
        fake = own.paint(data["condition"])
        fooling = -torch.sigmoid(own.judge(data["condition"], fake)).log().mean()
        torch.testing.assert_close(turn.loss, fooling + weight * (fake - data["image"]).abs().mean())


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=12))
def test_best_constant(values: list[float]) -> None:
    """No other constant on a fine grid is better."""
    y = torch.tensor(values, dtype=torch.float64)
    grid = torch.linspace(-1, 1, 81, dtype=torch.float64)
    for distance in DISTANCES:
        best = float(pixel_loss(best_constant(y, distance).expand_as(y), y, distance))
        others = torch.stack([pixel_loss(g.expand_as(y), y, distance) for g in grid])
        assert best <= float(others.min()) + 1e-9


def test_receptive_field() -> None:
    """By hand for 4 - 4 - 4 at strides 2, 1, 1, and by gradients for the 34 px D."""
    assert receptive_field([Layer(4, 2), Layer(4), Layer(4)]).size == 16
    D = PatchGAN(1, patch=34, width=2, norm="none")
    top, bottom, _, _ = support(gradient_map(D, 1, 96))
    assert bottom - top == receptive_field(D).size == 34


def test_score_of() -> None:
    """(4.7) from a 2 x 2 table: rows ordered, columns found."""
    score = score_of(torch.tensor([[6, 2], [1, 1]]))
    assert score.pixel_accuracy == pytest.approx(7 / 10)
    assert score.class_accuracy == pytest.approx((6 / 8 + 1 / 2) / 2)
    assert score.miou == pytest.approx((6 / 9 + 1 / 4) / 2)


def test_randomness_is_the_generators() -> None:
    """Two games with equal seeds paint alike with noise on."""
    x = noise(1, 2, 16, 16)
    painted = []
    for _ in range(2):
        torch.manual_seed(0)
        own = Pix2Pix(2, Pix2PixConfig(size=16, width=2, d_width=2, patch=16), generator=seeded(3))
        painted.append(own.paint(x))
    assert torch.equal(*painted)
