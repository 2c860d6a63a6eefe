"""Adversarial losses and penalties: values at known logits, slopes, fixed points, and linear critics."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lib.losses.adversarial import (
    LOSSES,
    UnknownLoss,
    adversarial_loss,
    bce_fake,
    bce_real,
    least_squares,
    non_saturating,
    saturating,
    value,
)
from lib.losses.penalties import gradient_penalty, input_gradient, interpolates, r1, r2
from lib.nn.spectral import spectral_normalised, top_singular_value
from lib.runtime import seeded
from tests.scenes import noise

logit = st.floats(-30, 30, width=32)


def slope(loss: object, a: float) -> float:
    """d loss / d logit at one logit."""
    x = torch.tensor([a], dtype=torch.float64, requires_grad=True)
    assert callable(loss)
    loss(x).backward()
    assert x.grad is not None
    return float(x.grad)


def sigma(a: float) -> float:
    return 1 / (1 + math.exp(-a))


# ---------------------------------------------------------------------------------------------- losses


@given(logit)
def test_bce_real(a: float) -> None:
    x = torch.tensor([a], dtype=torch.float64)
    assert float(bce_real(x)) == pytest.approx(-math.log(sigma(a)), rel=1e-7, abs=1e-12)
    assert slope(bce_real, a) == pytest.approx(sigma(a) - 1, abs=1e-8)


@given(logit)
def test_bce_fake(a: float) -> None:
    x = torch.tensor([a], dtype=torch.float64)
    assert float(bce_fake(x)) == pytest.approx(-math.log(sigma(-a)), rel=1e-7, abs=1e-12)
    assert slope(bce_fake, a) == pytest.approx(sigma(a), abs=1e-8)


@given(logit)
def test_saturating_slope(a: float) -> None:
    assert slope(saturating, a) == pytest.approx(-sigma(a), abs=1e-8)
    assert float(saturating(torch.tensor([a]))) == pytest.approx(-float(bce_fake(torch.tensor([a]))))


@given(logit)
def test_non_saturating_slope(a: float) -> None:
    assert slope(non_saturating, a) == pytest.approx(-sigma(-a), abs=1e-8)


def test_who_gets_a_gradient_from_a_bad_fake() -> None:
    """D(G(z)) = sigma(-10): the minimax generator learns 22 000 times more slowly."""
    assert slope(saturating, -10) == pytest.approx(-4.54e-5, rel=1e-3)
    assert slope(non_saturating, -10) == pytest.approx(-0.99995, abs=1e-5)


def test_value_at_equal_logits() -> None:
    zero = torch.zeros(5, 1)
    assert float(value(zero, zero)) == pytest.approx(-math.log(4))
    assert float(value(noise(9, seed=1), noise(9, seed=2))) < 0


EXPECTED = {  # real, fake, fool at the logits (2, -2)
    "minimax": (1.126928, 1.126928, -1.126928),
    "non-saturating": (1.126928, 1.126928, 1.126928),
    "lsgan": (5.0, 4.0, 5.0),
    "hinge": (1.5, 1.5, 0.0),
    "wgan": (0.0, 0.0, 0.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_values_at_known_logits(name: str) -> None:
    loss, logits = adversarial_loss(name), torch.tensor([[2.0], [-2.0]])
    found = [float(part(logits)) for part in (loss.real, loss.fake, loss.fool)]
    assert loss.name == name
    assert found == pytest.approx(EXPECTED[name], abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("a", [-3.0, -0.5, 0.25, 0.75])
def test_directions(name: str, a: float) -> None:
    """D raises the score of real data and lowers that of fakes; G raises what D lowers."""
    loss = adversarial_loss(name)
    assert slope(loss.real, a) < 0 and slope(loss.fool, a) < 0
    if not (name == "lsgan" and a < 0) and not (name == "hinge" and a < -1):
        assert slope(loss.fake, a) > 0


def test_hinge_is_content_beyond_its_margin() -> None:
    hinge = adversarial_loss("hinge")
    assert slope(hinge.real, 1.5) == slope(hinge.fake, -1.5) == 0
    assert slope(hinge.real, 0.5) == -1 and slope(hinge.fake, -0.5) == 1
    assert slope(hinge.fool, -50) == slope(hinge.fool, 50) == -1


@given(st.floats(0.01, 10), st.floats(0.01, 10))
def test_the_best_least_squares_score(p: float, q: float) -> None:
    """LSGAN's optimum at a point of densities p, q is (b p + a q) / (p + q)."""
    loss = least_squares(-1, 1, 0)
    best = (p - q) / (p + q)
    assert p * slope(loss.real, best) + q * slope(loss.fake, best) == pytest.approx(0, abs=1e-9)
    assert slope(loss.fool, 0.0) == 0


def test_least_squares_with_0_1_1_is_lsgan() -> None:
    ours, theirs, logits = least_squares(), adversarial_loss("lsgan"), noise(7, 1)
    for part in ("real", "fake", "fool"):
        torch.testing.assert_close(getattr(ours, part)(logits), getattr(theirs, part)(logits))


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_and_half_precision_logits_stay_finite(name: str) -> None:
    loss = adversarial_loss(name)
    for part in (loss.real, loss.fake, loss.fool):
        assert part(torch.tensor([1e4, -1e4])).isfinite()
        assert part(torch.ones(3, dtype=torch.bfloat16)).dtype == torch.float32
        assert part(torch.ones(3, dtype=torch.float64)).dtype == torch.float64


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(UnknownLoss, match=r"'wasserstein'; the losses are minimax, .*wgan"):
        adversarial_loss("wasserstein")


# ------------------------------------------------------------------------------------------- penalties


class Linear(nn.Module):
    """D(x) = w . x + b, whose slope is w everywhere."""

    def __init__(self, norm: float, size: int = 12) -> None:
        super().__init__()
        w = noise(size)
        self.w = nn.Parameter(norm * w / w.norm())

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.w + 3).unsqueeze(1)


@pytest.mark.parametrize("norm", [0.0, 0.5, 1.0, 4.0])
def test_gradient_penalty_of_a_linear_critic(norm: float) -> None:
    D = Linear(norm)
    penalty = gradient_penalty(D, noise(5, 3, 2, 2), noise(5, 3, 2, 2, seed=1), generator=seeded(0))
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-5)
    penalty.backward()
    assert D.w.grad is not None and D.w.grad.isfinite().all()
    expected = 2 * (norm - 1) * D.w.detach() / max(norm, 1e-9)  # 0 at the kink |w| = 0
    torch.testing.assert_close(D.w.grad, expected, atol=1e-4, rtol=1e-4)


def test_the_norm_runs_over_the_whole_sample() -> None:
    """The classic bug takes it over the channels only, and gets another number for a picture."""
    gradient = input_gradient(Linear(2.0), noise(4, 3, 2, 2))
    assert gradient.flatten(1).norm(dim=1).tolist() == pytest.approx([2.0] * 4, rel=1e-5)
    assert gradient.norm(dim=1).max() < 1.9


def test_interpolates_lie_between() -> None:
    real, fake = torch.ones(500, 3, 4, 4), torch.zeros(500, 3, 4, 4)
    x = interpolates(real, fake, generator=seeded(0)).flatten(1)
    assert (x == x[:, :1]).all()  # one eps for each sample, not for each pixel
    eps = x[:, 0]
    assert eps.min() >= 0 and eps.max() <= 1 and eps.unique().numel() == 500
    assert abs(eps.mean() - 0.5) < 0.05 and abs(eps.var() - 1 / 12) < 0.02  # uniform, not normal
    again = interpolates(real, fake, generator=seeded(0)).flatten(1)
    assert torch.equal(again, x)


def test_unequal_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="as many fakes as there are real samples"):
        interpolates(noise(4, 2), noise(3, 2), generator=seeded(0))


def test_r1_of_linear_and_quadratic_critics() -> None:
    x = noise(6, 3, 2, 2, seed=3)
    assert r1(Linear(3.0), x).item() == pytest.approx(4.5, rel=1e-5)
    squares = x.square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(r1(lambda v: v.square().sum(dim=(1, 2, 3)), x), 2 * squares)  # 1/2 |2x|^2
    assert r2(Linear(3.0), x).item() == pytest.approx(4.5, rel=1e-5)


def test_penalties_of_a_conditional_critic_and_of_patches() -> None:
    """A closure carries the condition; several logits of a sample are summed."""
    D, y, x = Linear(1.0), noise(4, 12, seed=5), noise(4, 3, 2, 2)

    def conditional(v: Tensor) -> Tensor:
        return D(v) + (v.flatten(1) * y).sum(dim=1, keepdim=True)

    expected = ((D.w.detach() + y).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(gradient_penalty(conditional, x, x, generator=seeded(0)).detach(), expected)
    assert r1(lambda v: D(v).expand(-1, 3), x).item() == pytest.approx(4.5, rel=1e-5)


def test_penalties_leave_the_generator_alone() -> None:
    fake = noise(3, 12).requires_grad_()
    gradient_penalty(Linear(2.0), noise(3, 12, seed=1), fake, generator=seeded(0)).backward()
    assert fake.grad is None


# ---------------------------------------------------------------------------- spectral normalisation


@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
def test_spectral_normalisation(kind: str) -> None:
    torch.manual_seed(0)
    layers = {"linear": nn.Linear(20, 8), "conv": nn.Conv2d(4, 6, 3), "transposed": nn.ConvTranspose2d(4, 6, 4)}
    layer = layers[kind]
    for weight in layer.parameters():
        weight.data *= 7
    x = noise(2, 20) if isinstance(layer, nn.Linear) else noise(2, 4, 8, 8)
    assert top_singular_value(layer) > 3
    network = spectral_normalised(nn.Sequential(layer))
    for _ in range(60):
        network(x)
    assert top_singular_value(layer) == pytest.approx(1, abs=0.02)
    frozen = network.eval()(x)
    assert torch.equal(network(x), frozen)  # no power iteration in evaluation mode
    assert spectral_normalised(network) is network  # a second time changes nothing
    assert torch.equal(network(x), frozen)


def test_a_normalised_network_cannot_be_steep() -> None:
    torch.manual_seed(0)
    network = spectral_normalised(nn.Sequential(nn.Linear(6, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)))
    for parameter in network.parameters():
        parameter.data *= 50
    for _ in range(60):
        network(noise(4, 6))
    assert input_gradient(network, noise(64, 6, seed=2)).norm(dim=1).max() <= 1.01


def test_nothing_to_normalise_is_an_error() -> None:
    with pytest.raises(ValueError, match="no convolution or linear layer"):
        spectral_normalised(nn.ReLU())
