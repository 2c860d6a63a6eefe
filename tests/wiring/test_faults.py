"""Every row of chapter 2's symptom table: the number tells the broken training from the healthy one.

Two seeds for each row, one where both sides have to be trained.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lib.games import fault_measures as measures
from lib.games.dirac import DiracGAN
from lib.games.fault_clinic import FAULTS, diagnosis_table
from lib.games.gan import GAN, GANConfig
from lib.games.gan_faults import (
    CutGAN,
    NormalisedInput,
    normal_interpolates,
    overlaps,
    sigmoid_then_log,
    targets_above_one,
)
from lib.nn.mlp import MLP
from lib.training.audit import DeadTerm, assert_alive
from lib.training.ema import EMA
from lib.training.play import NonFiniteLoss

SLOW = {"weak D", "collapse", "saturated", "sigmoid twice", "targets above 1", "early eval mode"}  # trained: one seed


@pytest.mark.parametrize("name", FAULTS)
def test_the_number_tells_broken_from_healthy(name: str) -> None:
    for seed in (0,) if name in SLOW else (0, 1):
        diagnosis = FAULTS[name].diagnose(seed)
        assert diagnosis.caught, f"seed {seed}: {diagnosis}"


def test_the_table_has_a_line_for_each_diagnosis() -> None:
    found = [FAULTS[name].diagnose() for name in ("normal eps", "checkerboard")]
    lines = diagnosis_table(found).splitlines()
    assert len(lines) == 4 and all(line.count("|") == 7 for line in lines)
    assert FAULTS["checkerboard"].mend in lines[3] and "ill above" in str(found[1])


def test_a_fault_that_is_not_there_is_not_caught() -> None:
    fault = FAULTS["normal eps"]
    assert not fault.is_ill(fault.measure(False, 3)) and fault.is_ill(fault.measure(True, 3))


def test_saturation_is_the_ratio_of_the_two_slopes() -> None:
    """The gradients of the two losses differ by D / (1 - D) where all fakes have one logit."""
    a = torch.tensor([-6.0], requires_grad=True)
    slopes = [
        torch.autograd.grad(f(a), a)[0]
        for f in (measures.point_gan(0, loss=n).loss.fool for n in ("minimax", "non-saturating"))
    ]
    assert float(slopes[0] / slopes[1]) == pytest.approx(math.exp(-6), rel=1e-4)


def test_two_sigmoids_cannot_get_below_a_floor() -> None:
    """softplus(-1) + softplus(0): the best that logits in [0, 1] allow."""
    assert measures.loss_on_easy_data(True, 0) >= math.log1p(math.exp(-1)) + math.log(2) - 1e-4


def test_a_target_above_one_pays_for_confidence() -> None:
    logits = torch.tensor([100.0])
    assert float(targets_above_one().real(logits)) == pytest.approx(-10, rel=1e-4)
    assert float(targets_above_one(1.0).real(logits)) >= 0


def test_sigmoid_then_log_overflows_where_logits_do_not() -> None:
    logits = torch.tensor([20.0])
    assert math.isinf(float(sigmoid_then_log().fake(logits)))
    assert float(measures.point_gan(0).loss.fake(logits)) == pytest.approx(20)


def test_the_guard_names_the_term() -> None:
    game = measures.point_gan(0, loss=sigmoid_then_log())
    stream = measures.PointStream(measures.ring(), batch=128, seed=0)
    with pytest.raises(NonFiniteLoss) as stop:
        measures.train(game, stream, 100, 0.5)
    assert stop.value.player in ("D", "G")
    assert all(weight.isfinite().all() for weight in game.parameters())  # put back to the last good round


def test_the_audit_sees_the_cut_before_training() -> None:
    batch = measures.PointStream(measures.ring(), batch=32, seed=0).draw()
    assert_alive(measures.point_gan(0), batch)
    with pytest.raises(DeadTerm, match="G/gan"):
        assert_alive(measures.point_gan(0, kind=CutGAN), batch)


def test_a_forgotten_detach_cancels_the_gradient_at_one_half() -> None:
    """d/da [softplus(a) + softplus(-a)] = 2 sigma(a) - 1, which is 0 at a = 0."""
    game = GAN(MLP(4, 2), nn.Linear(2, 1), GANConfig(latent=4))
    a = torch.zeros(1, requires_grad=True)
    (slope,) = torch.autograd.grad(game.loss.fool(a) + game.loss.fake(a), a)
    assert float(slope) == 0


@pytest.mark.parametrize(("kernel", "counts"), [(3, [1, 2, 2, 4]), (5, [4, 6, 6, 9]), (4, [4, 4, 4, 4])])
def test_overlaps_by_hand(kernel: int, counts: list[int]) -> None:
    layer = nn.ConvTranspose2d(2, 2, kernel, stride=2, padding=kernel // 2 if kernel % 2 else 1)
    assert sorted(overlaps(layer)[:2, :2].flatten().tolist()) == counts


def test_normalised_input_sees_no_scale() -> None:
    D, x = NormalisedInput(MLP(2, 1), 2), torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(D(5 * x - 7), D(x), atol=1e-4, rtol=1e-4)


def test_two_thirds_of_the_normal_eps_extrapolate() -> None:
    beyond = 1 - (torch.special.ndtr(torch.tensor(1.0)) - 0.5)
    assert measures.share_off_the_line(True, 0) == pytest.approx(float(beyond), abs=0.015)


def test_the_row_about_eps_measures_the_points_of_the_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong `interpolates` in the library makes the healthy side ill."""
    monkeypatch.setattr(measures, "interpolates", normal_interpolates)
    assert FAULTS["normal eps"].is_ill(measures.share_off_the_line(False, 0))


def distance_after_adam(beta: float, loss: str, rounds: int = 100) -> float:
    game = DiracGAN(loss)
    adam = {name: torch.optim.Adam(game.parameters_of(name), lr=0.1, betas=(beta, 0.99)) for name in game.players}
    measures.play(game, measures.Repeat({}), rounds, optimisers=adam)
    return math.hypot(game.theta.item(), game.psi.item()) / math.sqrt(2)


@pytest.mark.parametrize("loss", ["wgan", "non-saturating"])
def test_less_momentum_ends_nearer_also_with_adam(loss: str) -> None:
    """beta_1 = 0 comes nearer than DCGAN's 0.5, which is better than 0.9 but no mend for the critic's loss."""
    none, half, most = (distance_after_adam(beta, loss) for beta in (0.0, 0.5, 0.9))
    assert none < 0.8 < 1.4 < most and none < half < most
    assert (half > 1.3) == (loss == "wgan")


def test_every_mend_of_the_spiral_mends_it() -> None:
    """Measured as in the row: no momentum stays, R1 arrives in spite of momentum, and the average then comes nearer."""
    fault = FAULTS["spiral"]
    assert fault.mend == "no momentum (Adam: beta_1 = 0), or R1; then EMA"
    still = fault.measure(False, 0)

    def played(momentum: float, gamma: float) -> float:
        game = DiracGAN("wgan", gamma=gamma)
        average = EMA(game, 0.99)
        sgd = {p: torch.optim.SGD(game.parameters_of(p), lr=0.1, momentum=momentum) for p in game.players}
        measures.play(game, measures.Repeat({}), 150, optimisers=sgd, ema=average)
        return math.hypot(*(value.item() for value in (game if gamma else average.module).parameters())) / math.sqrt(2)

    assert not fault.is_ill(still) and played(0.5, gamma=1.0) < 1e-3
    assert played(0.0, gamma=0.0) < 0.7 * still


def test_a_fresh_judge_leaves_the_trained_d_alone() -> None:
    game = measures.point_gan(0)
    before = [weight.clone() for weight in game.D.parameters()]
    measures.fresh_verdict(game, measures.ring(), rounds=2)
    assert all(torch.equal(old, new) for old, new in zip(before, game.D.parameters(), strict=True))
