"""Matches corrected pixel by pixel: what the last step of a painting mends, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lib.data.augment import identity_grid
from lib.losses.patch_match import MatchSearch
from lib.losses.patches import patch_coherence
from lib.losses.refine import follow_matches
from tests.scenes import layout, noise, photo

IMAGE, LAYOUT = photo()[0].unsqueeze(0), layout().one_hot()
WIDE = MatchSearch(size=5, iterations=4, radius=24)
TARGET = layout(ball=(0.5, 0.65)).one_hot()


def test_the_photo_is_its_own_fixed_point() -> None:
    torch.testing.assert_close(follow_matches(IMAGE, IMAGE, LAYOUT, LAYOUT).image, IMAGE)


def test_noise_is_taken_away() -> None:
    clean = 0.8 * layout(ball=(0.5, 0.65)).to_rgb().unsqueeze(0)
    start = (clean + 0.4 * noise(1, 3, 32, 48, seed=3)).clamp(-1, 1)
    mended = follow_matches(start, IMAGE, TARGET, LAYOUT, search=WIDE, sweeps=3).image
    strange = [float(patch_coherence(x, IMAGE, sizes=(5,), distance="squared")) for x in (start, mended)]
    assert strange[1] < 0.3 * strange[0]
    assert (mended - clean).abs().mean() < 0.7 * (start - clean).abs().mean()


def test_a_match_that_is_off_by_three_pixels_is_corrected() -> None:
    wrong = identity_grid(32, 48).unsqueeze(0) + torch.tensor([2 * 3 / 48, 0.0])
    blind = follow_matches(IMAGE, IMAGE, LAYOUT, LAYOUT, wrong, MatchSearch(size=5, iterations=0), sweeps=1)
    torch.testing.assert_close(blind.grid[:, :, :40], wrong[:, :, :40])
    mended = follow_matches(IMAGE, IMAGE, LAYOUT, LAYOUT, wrong)
    assert (mended.image - IMAGE).abs().mean() < 0.1 * (blind.image - IMAGE).abs().mean()
    assert (mended.grid - identity_grid(32, 48)).abs().mean() < 0.2 * (wrong - identity_grid(32, 48)).abs().mean()


def test_the_layout_decides_between_equal_colours() -> None:
    """A grey picture: only the labels can say where the ball is."""
    grey = torch.zeros_like(IMAGE)
    mended = follow_matches(grey, IMAGE, TARGET, LAYOUT, search=WIDE).image
    heedless = follow_matches(grey, IMAGE, TARGET, LAYOUT, search=WIDE, label_weight=0.0).image
    core = -F.max_pool2d(-TARGET[:, 2:], 5, 1, 2) > 0.5
    ball = IMAGE[(-F.max_pool2d(-LAYOUT[:, 2:], 5, 1, 2) > 0.5).expand(-1, 3, -1, -1)].view(3, -1).mean(dim=1)
    error = [(x[core.expand(-1, 3, -1, -1)].view(3, -1).mean(dim=1) - ball).abs().max() for x in (mended, heedless)]
    assert error[0] < 0.2 < error[1]


def test_a_class_that_the_photo_lacks_takes_the_nearest_colours() -> None:
    lacking = layout().one_hot()
    lacking[:, 0] += lacking[:, 2]
    lacking[:, 2] = 0  # the photo has no ball
    painted = follow_matches(IMAGE, IMAGE, LAYOUT, lacking).image
    torch.testing.assert_close(painted, IMAGE)  # a wrong label everywhere, so the colours decide


def test_several_pictures_are_corrected_at_once() -> None:
    start = torch.cat([IMAGE, 0.5 * IMAGE])
    both = follow_matches(start, IMAGE, torch.cat([LAYOUT, TARGET]), LAYOUT).image
    assert both.shape == start.shape
    torch.testing.assert_close(both[:1], IMAGE)


def test_what_does_not_fit_speaks() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        follow_matches(IMAGE, IMAGE, LAYOUT[..., 1:], LAYOUT)
