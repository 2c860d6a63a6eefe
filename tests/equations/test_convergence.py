"""Chapter 2's equations: values by hand, by brute force, or from samples, never from the code under test."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lib.games.dirac import dirac_jacobian, dirac_step_matrix
from lib.games.rotation import dirac_eigenvalues, ema_gain, ema_of_rotation, two_rate_eigenvalues
from lib.losses.adversarial import LOSSES, hinge_fake, hinge_real, least_squares
from lib.losses.best_critics import (
    best_hinge_loss,
    best_lsgan_scores,
    critic_gap,
    lsgan_gradient,
    pearson_chi2,
    penalised_slope,
)
from lib.losses.divergences import total_variation, wasserstein_1d
from lib.losses.penalties import gradient_penalty, r1
from lib.metrics.fid_bias import fid_bias, fid_of_gaussians
from lib.metrics.fidelity import fid, inception_score, polynomial_mmd, precision_recall
from lib.nn.spectral import spectral_normalised, top_singular_value
from lib.training.ema import EMA


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def two_densities(seed: int, size: int = 12) -> tuple[Tensor, Tensor]:
    p, q = torch.rand(2, size, generator=seeded(seed), dtype=torch.float64) + 0.01
    return p / p.sum(), q / q.sum()


def lsgan_loss(scores: Tensor, p: Tensor, q: Tensor, a: float, b: float) -> Tensor:
    return (p * (scores - b).square() + q * (scores - a).square()).sum()


def test_least_squares() -> None:
    """(2.1) by hand, with the targets (a, b, c) = (-1, 1, 0)."""
    loss, logits = least_squares(-1, 1, 0), torch.tensor([0.0, 2.0])
    assert [float(part(logits)) for part in (loss.real, loss.fake, loss.fool)] == [1.0, 5.0, 2.0]
    assert float(LOSSES["lsgan"].fool(logits)) == float(least_squares(0, 1, 1).fool(logits)) == 1.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (-1.0, 1.0)])
def test_best_lsgan_scores(seed: int, a: float, b: float) -> None:
    """(2.2): no other scores cost less; outside both supports, halfway."""
    p, q = two_densities(seed)
    best = best_lsgan_scores(p, q, a=a, b=b)
    for step in (-1e-3, 1e-3):
        assert lsgan_loss(best + step, p, q, a, b) > lsgan_loss(best, p, q, a, b)
    assert float(best_lsgan_scores(torch.zeros(1), torch.zeros(1), a=a, b=b)) == (a + b) / 2


@pytest.mark.parametrize("seed", range(3))
def test_pearson_chi2(seed: int) -> None:
    """(2.3) is the value of G's loss plus the same on real data, at D*, for (a, b, c) = (-1, 1, 0)."""
    p, q = two_densities(seed)
    best = best_lsgan_scores(p, q, a=-1, b=1)
    both_sides = (p * best.square()).sum() + (q * best.square()).sum()
    torch.testing.assert_close(pearson_chi2(p, q), both_sides)
    apart = torch.tensor([1.0, 0.0])
    assert float(pearson_chi2(apart, apart)) == 0 and float(pearson_chi2(apart, apart.flip(0))) == 2


PAPER, USUAL = (-1.0, 1.0, 0.0), (0.0, 1.0, 1.0)


def lsgan_slopes(p: Tensor, logits: Tensor, targets: tuple[float, float, float]) -> Tensor:
    """The gradient of G's own loss by autograd; D is the best one and stands still."""
    a, b, c = targets
    logits = logits.detach().requires_grad_()
    q = logits.softmax(0)
    best = ((b * p + a * q) / (p + q)).detach()
    (gradient,) = torch.autograd.grad((q * (best - c).square()).sum(), logits)
    return gradient


@pytest.mark.parametrize("targets", [PAPER, USUAL])
def test_lsgan_gradient(targets: tuple[float, float, float]) -> None:
    p, q = two_densities(0)
    a, b, c = targets
    rows = [lsgan_gradient(p, q, dq, a=a, b=b, c=c) for dq in torch.diag(q) - torch.outer(q, q)]
    torch.testing.assert_close(torch.stack(rows), lsgan_slopes(p, q.log(), targets))


def test_pearson_chi2_is_not_what_lsgan_descends() -> None:
    """At p = (0.7, 0.3) and q = (0.3, 0.7) G with the paper's targets feels nothing, though chi^2 = 0.32 and slopes."""
    p, q, dq = torch.tensor([[0.7, 0.3], [0.3, 0.7], [1.0, -1.0]], dtype=torch.float64)
    chi2 = torch.autograd.functional.jvp(lambda q: pearson_chi2(p, q), q, dq)
    assert float(chi2[0]) == pytest.approx(0.32) and float(chi2[1]) < -1
    assert float(lsgan_gradient(p, q, dq, a=-1, b=1, c=0)) == pytest.approx(0, abs=1e-12)
    assert float(lsgan_gradient(p, q, dq)) == pytest.approx(0.3**2 - 0.7**2)


def test_lsgan_with_the_best_d_arrives_with_the_usual_targets_only() -> None:
    """D is at its best in every step. With (-1, 1, 0) chi^2 rises, and p itself is left; with (0, 1, 1) it vanishes."""
    p = torch.tensor([0.7, 0.3], dtype=torch.float64)
    ends = {}
    for targets in (PAPER, USUAL):
        for first in (0.2, 0.75):
            logits = torch.tensor([first, 1 - first], dtype=torch.float64).log()
            for _ in range(250):
                logits = logits - 4 * lsgan_slopes(p, logits, targets)
            start = torch.tensor([first, 1 - first], dtype=torch.float64)
            ends[targets, first] = float(pearson_chi2(p, start)), float(pearson_chi2(p, logits.softmax(0)))
    assert all(end > start for (targets, _), (start, end) in ends.items() if targets == PAPER), ends
    assert all(end < 1e-9 for (targets, _), (_, end) in ends.items() if targets == USUAL), ends


def test_hinge_real() -> None:
    """(2.4): satisfied from 1 on."""
    assert float(hinge_real(torch.tensor([3.0, 1.0, 0.0, -1.0]))) == pytest.approx(3 / 4)


def test_hinge_fake() -> None:
    """(2.5): satisfied below -1."""
    assert float(hinge_fake(torch.tensor([-3.0, -1.0, 0.0, 1.0]))) == pytest.approx(3 / 4)


@pytest.mark.parametrize("seed", range(3))
def test_best_hinge_loss(seed: int) -> None:
    """(2.6) by trying many scores at every point; and 2 - 2 TV."""
    p, q = two_densities(seed)
    scores = torch.linspace(-2, 2, 401, dtype=torch.float64)[:, None]
    every = p * (1 - scores).relu() + q * (1 + scores).relu()
    torch.testing.assert_close(best_hinge_loss(p, q), every.min(dim=0).values.sum())
    torch.testing.assert_close(best_hinge_loss(p, q), 2 - 2 * total_variation(p, q))


@pytest.mark.parametrize("shift", [1, 3, 6])
def test_critic_gap(shift: int) -> None:
    """(2.7): for a shifted density D(x) = -x reaches W_1 = shift; a steeper D reaches more."""
    p = torch.zeros(12, dtype=torch.float64)
    p[:3] = 1 / 3
    q, x = p.roll(shift), torch.arange(12, dtype=torch.float64)
    assert float(critic_gap(-x, p, q)) == pytest.approx(shift)
    assert float(wasserstein_1d(p, q)) == pytest.approx(shift)
    assert float(critic_gap(-5 * x, p, q)) == pytest.approx(5 * shift)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_gradient_penalty(target: float) -> None:
    """(2.8) of D(x) = w . x is (|w| - target)^2, whatever the pictures; the norm runs over the whole picture."""
    w = torch.randn(3, 4, 4, generator=seeded(0))
    real, fake = torch.randn(2, 5, 3, 4, 4, generator=seeded(1))
    penalty = gradient_penalty(lambda x: (x * w).sum(dim=(1, 2, 3)), real, fake, generator=seeded(2), target=target)
    assert float(penalty) == pytest.approx((float(w.norm()) - target) ** 2, rel=1e-5)


@pytest.mark.parametrize(("gap", "weight"), [(2.0, 10.0), (5.0, 10.0), (0.5, 0.1)])
def test_penalised_slope(gap: float, weight: float) -> None:
    """(2.9) is where the critic's own loss -d s + lambda (s - 1)^2 is least, by brute force."""
    slopes = torch.linspace(0, 6, 60_001, dtype=torch.float64)
    best = slopes[(weight * (slopes - 1).square() - gap * slopes).argmin()]
    assert penalised_slope(gap, weight) == pytest.approx(float(best), abs=1e-4)
    with pytest.raises(ValueError, match="positive"):
        penalised_slope(1.0, 0.0)


def test_r1() -> None:
    """(2.10) of D(x) = |x|^2 / 2, whose gradient is x: half the mean square length."""
    x = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    penalty = r1(lambda points: points.square().sum(dim=1) / 2, x)
    assert float(penalty.detach()) == pytest.approx((25 + 1) / 2 / 2)


@pytest.mark.parametrize("loss", ["non-saturating", "minimax", "wgan", "hinge"])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 3.0])
def test_dirac_eigenvalues(loss: str, gamma: float) -> None:
    """(2.11) are the eigenvalues of the Jacobian that differences of the game's own gradients give."""
    slope = {"wgan": 1.0, "hinge": 1.0}.get(loss, 0.5)
    numeric = torch.linalg.eigvals(dirac_jacobian(loss, gamma=gamma)).tolist()
    for value in dirac_eigenvalues(slope, gamma):
        # A double eigenvalue (gamma = 2 f) is known to the root of the rounding only.
        assert min(abs(value - other) for other in numeric) < 1e-3


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 4), st.floats(0.1, 2))
def test_any_r1_damps_and_twice_the_slope_damps_best(gamma: float, slope: float) -> None:
    slowest = max(value.real for value in dirac_eigenvalues(slope, gamma))
    assert slowest < 0
    assert slowest >= max(value.real for value in dirac_eigenvalues(slope, 2 * slope)) - 1e-6


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("rates", [(1.0, 1.0), (0.1, 1.0), (1.0, 0.2)])
def test_two_rate_eigenvalues(gamma: float, rates: tuple[float, float]) -> None:
    """(2.13) against the matrix itself: rows of the Jacobian scaled by each player's rate."""
    matrix = torch.diag(torch.tensor(rates, dtype=torch.float64)) @ dirac_jacobian("wgan", gamma=gamma)
    numeric = torch.linalg.eigvals(matrix).tolist()
    for value in two_rate_eigenvalues(1.0, gamma, rates=rates):
        assert min(abs(value - other) for other in numeric) < 1e-3
    if not gamma:
        assert all(value.real == 0 for value in two_rate_eigenvalues(1.0, gamma, rates=rates))


def test_a_slow_generator_walks_downhill() -> None:
    slow = max(value.real for value in two_rate_eigenvalues(0.5, 2.0, rates=(1e-4, 1.0)))
    assert slow == pytest.approx(-1e-4 * 0.25 / 2, rel=1e-3)


def test_spectral_normalised() -> None:
    """(2.12): the largest singular value becomes 1, and stays 1 when the weight is scaled."""
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight *= 7
    spectral_normalised(layer)
    for _ in range(200):
        layer(torch.zeros(1, 6))
    assert top_singular_value(layer) == pytest.approx(1, abs=1e-4)


def test_another_parametrisation_does_not_pass_for_spectral_norm() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight *= 7
    spectral_normalised(nn.utils.parametrizations.weight_norm(layer))
    for _ in range(200):
        layer(torch.zeros(1, 6))
    assert top_singular_value(layer) == pytest.approx(1, abs=1e-4)
    steps = len(layer.get_submodule("parametrizations.weight"))  # type: ignore[arg-type]
    spectral_normalised(layer)  # and it is not applied twice
    assert len(layer.get_submodule("parametrizations.weight")) == steps == 2  # type: ignore[arg-type]


def test_ema_update() -> None:
    """(2.14) by hand: beta is the smaller of `decay` and (1 + n) / (10 + n)."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    ema = EMA(network, decay=0.15)
    nn.init.constant_(network.weight, 1.0)
    ema.update()
    assert float(ema.module.weight) == pytest.approx(0.9)  # beta = 1/10
    ema.update()
    assert float(ema.module.weight) == pytest.approx(0.15 * 0.9 + 0.85)  # 2/11 is above the decay


@pytest.mark.parametrize(("decay", "angle"), [(0.9, 0.1), (0.99, 0.05), (0.99, 1.0)])
def test_ema_gain(decay: float, angle: float) -> None:
    """(2.15) against the average itself, after its start is forgotten."""
    settled = ema_of_rotation(decay, angle, 2500)[-1]
    assert float(settled.norm()) == pytest.approx(ema_gain(decay, angle), rel=1e-6)
    assert ema_gain(decay, 0.0) == pytest.approx(1)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 3.0), st.floats(0.5, 0.99))
def test_a_longer_memory_averages_more(angle: float, decay: float) -> None:
    assert ema_gain(decay + 0.009, angle) < ema_gain(decay, angle) <= 1


@pytest.mark.parametrize("dimensions", [1, 4])
def test_fid(dimensions: int) -> None:
    """(2.16) on vectors whose sample mean and covariance are exactly those asked for."""
    rows = torch.randn(500, dimensions, generator=seeded(0), dtype=torch.float64)
    rows = rows - rows.mean(dim=0)
    white = rows @ torch.linalg.inv(torch.linalg.cholesky(rows.T @ rows / 499)).T
    assert fid(white, 2 * white + 3) == pytest.approx(9 * dimensions + dimensions, rel=1e-6)
    assert fid(white, white) == pytest.approx(0, abs=1e-9)


def test_fid_of_gaussians() -> None:
    """(2.17): the distance between the means counts, and the difference of the deviations."""
    assert fid_of_gaussians(3.0, 2.0, 4) == 9 + 4
    x = torch.randn(20_000, 3, generator=seeded(0), dtype=torch.float64)
    y = torch.randn(20_000, 3, generator=seeded(1), dtype=torch.float64) * 0.5
    y[:, 0] += 2
    assert fid(x, y) == pytest.approx(fid_of_gaussians(2.0, 0.5, 3), rel=0.02)


@pytest.mark.parametrize("spectrum", ["white", "steep"])
def test_fid_bias(spectrum: str) -> None:
    """(2.18) against the mean over many pairs of samples; D (D + 5) / (2 N) for white features."""
    values = torch.ones(12) if spectrum == "white" else 0.7 ** torch.arange(12)
    pairs = torch.randn(60, 2, 400, 12, generator=seeded(0), dtype=torch.float64) * values.sqrt()
    measured = sum(fid(a, b) for a, b in pairs) / 60
    assert fid_bias(torch.diag(values), 400) == pytest.approx(measured, rel=0.06)
    if spectrum == "white":
        assert fid_bias(torch.eye(12), 400) == pytest.approx(12 * 17 / 800)


def test_polynomial_mmd() -> None:
    """(2.19) by hand on two points each; unbiased: the mean over equal distributions is 0 within its error."""
    a, b = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [1.0]])
    by_hand = (2 + 1) ** 3 + (0 + 1) ** 3 - 2 * (1 + 2**3 + 1 + 3**3) / 4
    assert float(polynomial_mmd(a, b)) == pytest.approx(by_hand)
    draws = torch.randn(200, 2, 40, 4, generator=seeded(0), dtype=torch.float64)
    values = torch.stack([polynomial_mmd(x, y) for x, y in draws])
    assert abs(float(values.mean())) < 3 * float(values.std()) / math.sqrt(200)
    assert float(values.min()) < 0


def test_inception_score() -> None:
    """(2.20): sure and even over K classes gives K; sure of one class, or never sure, gives 1."""
    sure = torch.eye(4).repeat(10, 1)
    assert inception_score(sure, splits=1).mean == pytest.approx(4)
    assert inception_score(sure[:1].repeat(40, 1), splits=1).mean == pytest.approx(1)
    assert inception_score(torch.full((40, 4), 0.25), splits=1).mean == pytest.approx(1)


def test_precision_recall() -> None:
    """(2.21): fakes at one of two real places are all precise and cover half."""
    near, far = torch.randn(60, 2, generator=seeded(0)), torch.randn(60, 2, generator=seeded(1)) + 50
    fakes = torch.randn(120, 2, generator=seeded(2)) * 0.5
    score = precision_recall(torch.cat([near, far]), fakes)
    assert score.precision > 0.95 and score.recall <= 0.5


def test_simultaneous_steps_spiral_out_by_the_eigenvalue() -> None:
    """|1 + lr i f| > 1: the step matrix of chapter 1 leaves the circle that the flow stays on."""
    factor = max(
        abs(value)
        for value in torch.linalg.eigvals(dirac_step_matrix("minimax", lr=0.1, order="simultaneous")).tolist()
    )
    assert factor == pytest.approx(abs(1 + 0.1 * cmath.sqrt(-0.25)), rel=1e-9)
    assert factor > 1
