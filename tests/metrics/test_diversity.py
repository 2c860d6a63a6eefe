"""Diversity: distances by hand, collapse within a class, MS-SSIM's scales, weights that are not on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib.metrics.checks import MeasureError
from lib.metrics.diversity import (
    FeatureDistance,
    Lpips,
    ms_ssim,
    ms_ssim_scales,
    pairwise_distance,
    pairwise_ms_ssim,
)


class Brightness:
    name = "brightness"

    def __call__(self, images: Tensor) -> Tensor:
        return images.mean(dim=(1, 2, 3))[:, None]


RULER = FeatureDistance(Brightness())


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def flat(*values: float) -> Tensor:
    return torch.tensor([float(value) for value in values])[:, None, None, None].expand(-1, 1, 8, 8)


def noise(count: int, size: int) -> Tensor:
    return torch.rand(count, 1, size, size, generator=seeded()) * 2 - 1


def test_the_mean_distance_of_two_kinds() -> None:
    """Half of the samples at -0.5, half at 0.5: of pairs of different samples, n / (2 (n - 1)) differ by 1."""
    result = pairwise_distance(flat(*[-0.5, 0.5] * 5), RULER, pairs=4000, generator=seeded())
    assert result.mean == pytest.approx(5 / 9, abs=4 * result.error)
    assert (result.ruler, result.pairs) == ("rms-brightness", 4000)
    assert "rms-brightness" in str(result)


def test_a_sample_is_never_paired_with_itself() -> None:
    result = pairwise_distance(flat(-0.5, 0.5), RULER, pairs=200, generator=seeded())
    assert result.mean == pytest.approx(1) and result.error == pytest.approx(0)


def test_groups_uncover_collapse_within_a_class() -> None:
    images, classes = flat(*[-0.5] * 4, *[0.5] * 4), torch.tensor([0] * 4 + [1] * 4)
    assert pairwise_distance(images, RULER, generator=seeded()).mean > 0.4
    assert pairwise_distance(images, RULER, groups=classes, generator=seeded()).mean == 0
    mixed = torch.tensor([0, 1] * 4)  # groups need not be sorted
    assert pairwise_distance(images, RULER, groups=mixed, generator=seeded()).mean > 0.4


def test_ms_ssim_of_equal_and_of_unrelated_pictures() -> None:
    images = noise(12, 48)
    same = pairwise_ms_ssim(images[:1].repeat(6, 1, 1, 1), pairs=10, generator=seeded())
    different = pairwise_ms_ssim(images, pairs=20, generator=seeded())
    assert same.mean == pytest.approx(1, abs=1e-5)
    assert different.mean < 0.2
    assert different.ruler == "ms-ssim-3-scales"


@pytest.mark.parametrize(("side", "scales"), [(11, 1), (32, 2), (44, 3), (64, 3), (128, 4), (176, 5), (512, 5)])
def test_scales_that_fit(side: int, scales: int) -> None:
    assert ms_ssim_scales(side) == scales
    images = noise(1, side)
    assert ms_ssim(images, images).tolist() == pytest.approx([1], abs=1e-4)


def test_the_number_of_scales_changes_the_score() -> None:
    a = noise(1, 64)
    b = (0.7 * a + 0.3 * a.flip(-1)).clamp(-1, 1)
    assert abs(ms_ssim(a, b, scales=1).item() - ms_ssim(a, b, scales=3).item()) > 0.01


def test_lpips_without_weights_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(MeasureError, match=r"AlexNet.*FeatureDistance"):
        Lpips()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: pairwise_distance(flat(0.0), RULER, generator=seeded()), "two of them"),
        (lambda: pairwise_distance(flat(0, 2), RULER, generator=seeded()), "clamp"),
        (lambda: pairwise_distance(flat(0, 1), RULER, pairs=1, generator=seeded()), "two pairs"),
        (lambda: pairwise_distance(flat(0, 1, 1), RULER, groups=torch.tensor([0, 1, 1]), generator=seeded()), "group"),
        (lambda: pairwise_distance(flat(0, 1), RULER, groups=torch.zeros(3), generator=seeded()), "for each"),
        (lambda: ms_ssim(flat(0), flat(0)), "11 pixels"),
        (lambda: ms_ssim(noise(1, 64), noise(1, 64), scales=4), "use 1 to 3"),
    ],
)
def test_bad_input_speaks(call: Callable[[], object], says: str) -> None:
    with pytest.raises(MeasureError, match=says):
        call()
