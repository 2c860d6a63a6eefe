"""Patch voting class by class: the same aim as the guided search, for large pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lib.losses.patches import patch_coherence
from lib.losses.refine import patch_refine, refine_within_classes
from tests.scenes import layout, noise, photo

IMAGE, LAYOUT = photo()[0].unsqueeze(0), layout().one_hot()
TARGET = layout(ball=(0.5, 0.65)).one_hot()


def coherence(image: Tensor) -> float:
    return float(patch_coherence(image, IMAGE, sizes=(5,), distance="squared"))


def test_the_photo_is_its_own_fixed_point() -> None:
    torch.testing.assert_close(refine_within_classes(IMAGE, IMAGE, LAYOUT, LAYOUT), IMAGE, atol=1e-4, rtol=0)


def test_noise_is_taken_away_as_the_guided_search_does() -> None:
    clean = 0.8 * layout(ball=(0.5, 0.65)).to_rgb().unsqueeze(0)
    start = (clean + 0.4 * noise(1, 3, 32, 48, seed=3)).clamp(-1, 1)
    fast = refine_within_classes(start, IMAGE, TARGET, LAYOUT, iterations=3)
    guided = patch_refine(
        start, IMAGE, levels=(1,), iterations=3, completeness=0.0, power=0.8,
        image_layout=TARGET, source_layout=LAYOUT, label_weight=0.3,
    )  # fmt: skip
    assert coherence(fast) < 0.3 * coherence(start)
    assert coherence(fast) < 1.3 * coherence(guided)
    assert (fast - clean).abs().mean() < 0.7 * (start - clean).abs().mean()


def test_a_repainted_class_gets_the_colours_of_its_class() -> None:
    """The sky is asked for where the photo shows ground: only patches of the sky may answer."""
    upside_down = layout().one_hot().flip(2)
    painted = refine_within_classes(IMAGE, IMAGE, upside_down, LAYOUT, iterations=4)
    inner = upside_down[0, 0, 24:30, 4:44].bool()
    sky = IMAGE[0, :, :10].mean(dim=(1, 2))
    assert (painted[0, :, 24:30, 4:44][:, inner].mean(dim=1) - sky).abs().max() < 0.15
    assert (IMAGE[0, :, 24:30, 4:44][:, inner].mean(dim=1) - sky).abs().max() > 0.5


def test_a_class_that_the_photo_lacks_stays_as_it_was() -> None:
    lacking = layout().one_hot()
    lacking[:, 0] += lacking[:, 2]
    lacking[:, 2] = 0  # the photo has no ball
    painted = refine_within_classes(IMAGE, IMAGE, TARGET, lacking)
    ball = TARGET[:, 2:] > 0
    core = -torch.nn.functional.max_pool2d(-ball.float(), 7, 1, 3) > 0.5
    assert core.any() and torch.allclose(
        painted[core.expand(-1, 3, -1, -1)], IMAGE[core.expand(-1, 3, -1, -1)], atol=1e-5
    )


@pytest.mark.parametrize("wrong", [{"size": 4}, {"stride": 6}])
def test_what_it_cannot_do_it_says(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="odd size and a stride"):
        refine_within_classes(IMAGE, IMAGE, LAYOUT, LAYOUT, **wrong)
    with pytest.raises(ValueError, match="does not fit"):
        refine_within_classes(IMAGE, IMAGE, LAYOUT[..., 1:], LAYOUT)
