"""PSNR and SSIM: known errors, range, luminance, borders, parity, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from lib.metrics.checks import MeasureError
from lib.metrics.reconstruction import luminance, psnr, ssim

RANGE = (-1.0, 1.0)


def picture(seed: int = 0, channels: int = 3, size: int = 24) -> Tensor:
    noise = torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 5, 1, padding=2) * 2 - 1


@pytest.mark.parametrize("error", [0.02, 0.2])
def test_psnr_of_a_known_error(error: float) -> None:
    truth = torch.zeros(2, 3, 16, 16)
    assert psnr(truth, truth + error, data_range=RANGE).tolist() == pytest.approx([20 * math.log10(2 / error)] * 2)
    assert psnr(truth, truth, data_range=RANGE).tolist() == [math.inf] * 2


def test_the_wrong_range_costs_6_decibels() -> None:
    a, b = picture().abs() * 0.9, picture(1).abs() * 0.9  # in [0, 1], so that both ranges are possible
    right, wrong = psnr(a, b, data_range=(-1, 1)), psnr(a, b, data_range=(0, 1))
    assert (right - wrong).tolist() == pytest.approx([20 * math.log10(2)] * 2, abs=1e-4)


def test_psnr_is_of_each_picture() -> None:
    a = torch.zeros(2, 1, 8, 8)
    b = torch.stack([torch.full((1, 8, 8), 0.2), torch.full((1, 8, 8), 0.02)])
    assert psnr(a, b, data_range=RANGE).tolist() == pytest.approx([20, 40])


def test_luminance_of_white_black_and_the_primaries() -> None:
    colours = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[:, :, None, None] * 2.0 - 1
    values = luminance(colours, data_range=RANGE).flatten() * 255
    assert values.tolist() == pytest.approx([235, 16, 81.481, 144.553, 40.966], abs=1e-3)


def test_luminance_agrees_with_skimage() -> None:
    image = picture()
    theirs = rgb2ycbcr(((image[0] + 1) / 2).permute(1, 2, 0).double().numpy())[..., 0]
    np.testing.assert_allclose(luminance(image, data_range=RANGE)[0, 0].numpy() * 255, theirs, atol=1e-3)


def test_psnr_on_y_ignores_an_error_of_colour_alone() -> None:
    a = torch.zeros(1, 3, 8, 8)
    b = a.clone()
    b[:, 0], b[:, 1] = 0.2, -0.2 * 65.481 / 128.553  # redder and less green, equally bright
    assert psnr(a, b, data_range=RANGE, channel="y").item() > 100
    assert psnr(a, b, data_range=RANGE).item() < 25


def test_the_border_is_cut_off() -> None:
    a = torch.zeros(1, 3, 16, 16)
    b = a.clone()
    b[..., 0] = 1
    assert psnr(a, b, data_range=RANGE).item() < 25
    assert psnr(a, b, data_range=RANGE, border=1).item() == math.inf


def test_psnr_and_ssim_agree_with_skimage() -> None:
    a, b = picture(), (0.8 * picture() + 0.2 * picture(1)).clamp(-1, 1)
    first, second = a[0].permute(1, 2, 0).numpy(), b[0].permute(1, 2, 0).numpy()
    theirs = peak_signal_noise_ratio(first, second, data_range=2)
    assert psnr(a, b, data_range=RANGE)[0].item() == pytest.approx(theirs, abs=1e-3)
    theirs = structural_similarity(
        first, second, data_range=2, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(a, b, data_range=RANGE)[0].item() == pytest.approx(theirs, abs=1e-4)
    assert ssim(a, a, data_range=RANGE).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: psnr(a, a * 2, data_range=(-1, 1)), "outside"),
        (lambda a: psnr(a, a, data_range=(0, 1)), "outside"),
        (lambda a: psnr(a, a, data_range=(1, -1)), "lowest, highest"),
        (lambda a: psnr(a, a[:1], data_range=(-1, 1)), "one shape"),
        (lambda a: psnr(a[:, :1], a[:, :1], data_range=(-1, 1), channel="y"), "three channels"),
        (lambda a: psnr(a, a, data_range=(-1, 1), channel="l"), "'rgb' or 'y'"),
        (lambda a: psnr(a, a, data_range=(-1, 1), border=12), "leaves nothing"),
        (lambda a: ssim(a[..., :8, :8], a[..., :8, :8], data_range=(-1, 1)), "11 pixels"),
        (lambda a: psnr(a * torch.nan, a, data_range=(-1, 1)), "nan"),
    ],
)
def test_bad_input_speaks(call: Callable[[Tensor], object], says: str) -> None:
    with pytest.raises(MeasureError, match=says):
        call(picture())
