"""SRGAN's and the mask-guided faces' equations against answers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.super_resolution import downscale, enlarge
from lib.games.srgan import VGG_SCALE
from lib.losses.diversity import DIVERSITY, UnknownDiversity, diversity_loss, mode_seeking, ratio, sensitive, style_loss
from lib.losses.inversion import image_loss
from lib.losses.penalties import r1
from lib.losses.perceptual import perceptual_loss
from lib.metrics.reconstruction import psnr
from lib.nn.adain import ResidualStep, adain
from lib.nn.maskface import FaceConfig, FaceDiscriminator
from lib.nn.resnet_generator import InstanceNorm
from lib.nn.srresnet import Doubling
from lib.runtime import seeded


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=seeded(seed)) * 2 - 1


# ------------------------------------------------------------------------------------------- super-resolution


def keys(t: float) -> float:
    """The cubic kernel with a = -1/2, written from its definition."""
    t = abs(t)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def resizing(small: int, large: int) -> Tensor:
    """The matrix (to, from) of bicubic resizing in one direction; the kernel is widened where the picture shrinks."""
    rows = []
    for target, source in [(small, large)]:
        scale = source / target
        wide = max(scale, 1.0)
        for pixel in range(target):
            centre = (pixel + 0.5) * scale
            row = torch.tensor([keys((place + 0.5 - centre) / wide) for place in range(source)], dtype=torch.float64)
            rows.append(row / row.sum())
    return torch.stack(rows)


@pytest.mark.parametrize(("target", "source"), [(6, 24), (24, 6)], ids=["down", "up"])
def test_the_bicubic_filter_is_the_stated_one(target: int, source: int) -> None:
    x = 0.4 * noise(1, 3, source, source)  # low contrast: the overshoot is not clamped
    matrix = resizing(target, source).float()
    expected = matrix @ x @ matrix.T
    torch.testing.assert_close(downscale(x) if target < source else enlarge(x), expected, atol=2e-6, rtol=0)


def test_the_default_of_torch_would_be_another_filter() -> None:
    """Without widening, a fine grid becomes a flat grey that is not its mean: aliasing."""
    x = torch.ones(1, 3, 32, 32)
    x[..., ::4] = -1.0
    assert downscale(x)[..., 2:-2].sub(0.5).abs().max() < 1e-5
    aliased = F.interpolate(x, scale_factor=0.25, mode="bicubic", align_corners=False)
    assert aliased.sub(0.5).abs().min() > 0.5


def test_the_mean_of_two_answers_errs_least_and_is_blurred() -> None:
    """Two equally likely edges: the mean gains 3 dB on either, and no step in it is as steep as theirs."""
    left, right = torch.full((1, 1, 16, 16), -1.0), torch.full((1, 1, 16, 16), -1.0)
    left[..., 6:], right[..., 10:] = 1.0, 1.0
    mean = (left + right) / 2

    def expected(guess: Tensor) -> float:
        return sum(float(image_loss(guess, truth)) for truth in (left, right)) / 2

    assert expected(mean) == pytest.approx(expected(left) / 2)
    gain = 10 * math.log10(expected(left) / expected(mean))
    assert gain == pytest.approx(10 * math.log10(2))
    assert mean.diff(dim=-1).abs().max() == 0.5 * left.diff(dim=-1).abs().max()
    # The squared error is least there: no step from the mean makes it smaller.
    guess = mean.clone().requires_grad_()
    (image_loss(guess, left) + image_loss(guess, right)).backward()
    assert guess.grad is not None and guess.grad.abs().max() < 1e-9


def test_pixel_shuffle_only_moves_values() -> None:
    x = torch.arange(16.0).view(1, 4, 2, 2)
    large = F.pixel_shuffle(x, 2)
    assert large[0, 0].tolist() == [[0, 4, 1, 5], [8, 12, 9, 13], [2, 6, 3, 7], [10, 14, 11, 15]]
    assert torch.equal(F.pixel_unshuffle(large, 2), x)


def test_a_shuffling_convolution_draws_a_grid_and_a_resizing_one_does_not() -> None:
    flat = torch.ones(1, 8, 6, 6)
    spread = {}
    for kind in ("shuffle", "resize"):
        torch.manual_seed(0)
        cells = Doubling(8, kind)(flat).detach()[..., 2:-2, 2:-2]
        spread[kind] = float((cells - cells.mean(dim=(2, 3), keepdim=True)).abs().max())
    assert spread["resize"] < 1e-6 < 0.05 < spread["shuffle"]


def test_dividing_features_by_12_75_is_multiplying_the_loss_by_0_006() -> None:
    fake, real = noise(2, 4, 5, 5), noise(2, 4, 5, 5, seed=1)
    assert abs(VGG_SCALE - 0.006151) < 1e-6
    small = perceptual_loss([fake / 12.75], [real / 12.75])
    torch.testing.assert_close(small, VGG_SCALE * perceptual_loss([fake], [real]))


def test_luminance_gains_what_its_range_says() -> None:
    """Equal errors in R, G and B: studio-range luminance scores 20 log10(255 / 219) = 1.32 dB more."""
    truth = 0.5 * noise(1, 3, 24, 24)
    error = 0.05 * noise(1, 1, 24, 24, seed=1).sign()
    y, rgb = (psnr(truth + error, truth, data_range=(-1, 1), channel=channel) for channel in ("y", "rgb"))
    assert float(y - rgb) == pytest.approx(20 * math.log10(255 / 219), abs=0.01)


# ------------------------------------------------------------------------------------------------------ faces


def test_adain_gives_exactly_the_mean_and_spread_of_the_style() -> None:
    x, mean, std = noise(2, 3, 16, 16), noise(2, 3, seed=1), 0.5 + noise(2, 3, seed=2).abs()
    out = adain(x, mean, std)
    torch.testing.assert_close(out.mean(dim=(2, 3)), mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(dim=(2, 3), correction=0), std, atol=1e-4, rtol=0)


def test_a_norm_that_is_told_a_code_is_adain() -> None:
    norm, code, x = InstanceNorm(3, labels=5), noise(2, 5), noise(2, 3, 8, 8)
    assert norm.modulate is not None
    gain, shift = norm.modulate(code).chunk(2, dim=1)
    torch.testing.assert_close(norm(x, code), adain(x, shift, 1 + gain))


def test_a_residual_step_keeps_the_variance_of_its_sum() -> None:
    step = ResidualStep(4, 4)
    nn.init.zeros_(step.second.weight)
    nn.init.zeros_(step.second.bias)  # type: ignore[arg-type]
    x = noise(1, 4, 8, 8)
    torch.testing.assert_close(step(x), x / math.sqrt(2))


def test_a_shortcut_may_be_taken_before_or_after_the_change_of_size() -> None:
    x = noise(1, 3, 8, 8)
    for scale, norm in (("down", "none"), ("up", "adain")):
        step = ResidualStep(3, 5, scale=scale, norm=norm, style=2)  # type: ignore[arg-type]
        nn.init.zeros_(step.second.weight)
        nn.init.zeros_(step.second.bias)  # type: ignore[arg-type]
        late = step.shortcut(x)
        late = F.avg_pool2d(late, 2) if scale == "down" else F.interpolate(late, scale_factor=2.0, mode="nearest")
        torch.testing.assert_close(step(x, noise(1, 2)), late / math.sqrt(2), atol=1e-6, rtol=1e-5)


def test_r1_of_a_linear_judge_is_half_its_squared_weights() -> None:
    w = noise(3 * 4 * 4)
    torch.testing.assert_close(r1(lambda x: x.flatten(1) @ w, noise(5, 3, 4, 4)), 0.5 * w.square().sum())


def test_r1_of_the_conditional_judge_looks_at_the_face_alone() -> None:
    """Half of the squared slope with respect to x, summed over its pixels; the mask stands still."""
    torch.manual_seed(0)
    D = FaceDiscriminator(FaceConfig(2, size=16, width=4, judge_width=4, widest=8, judge_widest=8, halvings=1)).double()
    x, m = noise(1, 3, 16, 16).double(), torch.zeros(1, 2, 16, 16).double()
    step, slopes = 1e-3, []
    for place in range(0, x.numel(), 97):
        ahead, back = x.clone(), x.clone()
        ahead.view(-1)[place] += step
        back.view(-1)[place] -= step
        slopes.append(float((D(ahead, m) - D(back, m)).detach()) / (2 * step))
    probe = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(D(probe, m).sum(), probe)
    torch.testing.assert_close(gradient.flatten()[::97], torch.tensor(slopes).double(), atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(
        r1(lambda face: D(face, m), x).double(), 0.5 * gradient.square().sum(), rtol=1e-4, atol=0
    )


def test_style_loss_of_the_best_constant_guess() -> None:
    """A reader that sees nothing answers the median, and errs by the mean distance to it."""
    style = torch.tensor([[0.0], [1.0], [5.0]])
    assert float(style_loss(torch.full_like(style, 1.0), style)) == pytest.approx(5 / 3)
    assert all(float(style_loss(torch.full_like(style, guess), style)) > 5 / 3 for guess in (0.5, 2.0))


def test_the_three_rewards_of_diversity_by_hand() -> None:
    first, second = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    second[0], second[1] = 0.5, 1.0
    z1, z2 = torch.zeros(2, 4), torch.full((2, 4), 2.0)
    assert float(sensitive(first, second)) == pytest.approx(-0.75)
    assert float(ratio(first, second, z1, z2)) == pytest.approx(-(0.25 + 0.5) / 2, abs=1e-4)
    assert float(mode_seeking(first, second, z1, z2)) == pytest.approx(1 / (0.375 + 1e-5))
    for name, loss in DIVERSITY.items():
        assert diversity_loss(name) is loss and float(loss(first, second, z1, z2)) < float(
            loss(first, first, z1, z2)
        )  # fmt: skip


def test_the_cap_binds_where_the_authors_code_never_does() -> None:
    first, second = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    z1, z2 = torch.zeros(1, 4), torch.full((1, 4), 0.01)  # a ratio of 100
    assert float(ratio(first, second, z1, z2)) == -10.0
    quotient = torch.tensor([0.1, 100.0])
    assert torch.equal(torch.clamp(-quotient, max=10), -quotient)  # their cap
    assert torch.equal(torch.clamp(-quotient, min=-10), torch.tensor([-0.1, -10.0]))


def test_near_collapse_mode_seeking_pulls_and_the_others_only_lead() -> None:
    z1, z2 = torch.zeros(1, 4), torch.ones(1, 4)
    slopes: dict[str, list[float]] = {}
    for gap in (1e-3, 0.5):
        for name, loss in DIVERSITY.items():
            first = torch.full((1, 3, 4, 4), gap, requires_grad=True)
            (gradient,) = torch.autograd.grad(loss(first, torch.zeros(1, 3, 4, 4), z1, z2), first)
            slopes.setdefault(name, []).append(float(gradient.abs().sum()))
    for name in ("sensitive", "ratio"):
        assert slopes[name][0] == pytest.approx(slopes[name][1], rel=1e-3) and slopes[name][0] == pytest.approx(
            1, rel=1e-3
        )
    assert slopes["mode-seeking"][0] / slopes["mode-seeking"][1] == pytest.approx((0.5 / 1e-3) ** 2, rel=0.05)
    assert float(mode_seeking(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), z1, z2)) == pytest.approx(1e5)


def test_an_unknown_diversity_is_refused() -> None:
    with pytest.raises(UnknownDiversity, match="sensitive"):
        diversity_loss("lots")
