"""The theory of the minimax game, on grids and finite sets where every quantity is exact."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lib.games.dirac import DiracGAN, Order, dirac_field, dirac_jacobian, dirac_path, dirac_step_matrix
from lib.losses.adversarial import LOSSES, value
from lib.losses.divergences import (
    best_value,
    game_value,
    js,
    kl,
    non_saturating_gradient,
    optimal_discriminator,
    optimal_logits,
    saturating_gradient,
    total_variation,
    wasserstein_1d,
)
from lib.runtime import seeded
from lib.training.play import play
from lib.training.streams import Repeat

mass = st.lists(st.floats(0.01, 1), min_size=2, max_size=6)


def distribution(masses: list[float]) -> Tensor:
    p = torch.tensor(masses, dtype=torch.float64)
    return p / p.sum()


def pair(masses: list[float]) -> tuple[Tensor, Tensor]:
    """Two distributions on the same set."""
    return distribution(masses), distribution([1 / m for m in masses])


GRID = torch.linspace(-12, 14, 5201, dtype=torch.float64)
DX = float(GRID[1] - GRID[0])


def normal(mean: float | Tensor, std: float = 1.0) -> Tensor:
    return torch.exp(-((GRID - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))


# ------------------------------------------------------------------------------------- D* and C(G)


def test_value() -> None:
    """From samples' logits, from logits on a set, and by hand from probabilities."""
    a = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    counts = torch.tensor([4, 1, 5])
    p = counts.double() / 10
    q = counts.flip(0).double() / 10
    from_logits = value(a.repeat_interleave(counts), a.repeat_interleave(counts.flip(0)))
    by_hand = (p * torch.sigmoid(a).log()).sum() + (q * (1 - torch.sigmoid(a)).log()).sum()
    torch.testing.assert_close(from_logits, by_hand)
    torch.testing.assert_close(game_value(a, p, q), by_hand)


@given(mass, st.floats(-0.3, 0.3))
def test_optimal_discriminator(masses: list[float], push: float) -> None:
    p, q = pair(masses)
    best = optimal_logits(p, q)
    torch.testing.assert_close(optimal_discriminator(p, q), torch.sigmoid(best))
    other = best + push * torch.linspace(-1, 1, len(p), dtype=torch.float64)
    assert game_value(best, p, q) >= game_value(other, p, q) - 1e-12


def test_the_optimal_discriminator_at_the_edges() -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.5, 0.0, 0.0])
    assert optimal_discriminator(p, q).tolist() == [0.5, 1.0, 0.5]


@given(mass)
def test_kl(masses: list[float]) -> None:
    p, q = pair(masses)
    by_hand = sum(float(a) * math.log(float(a) / float(b)) for a, b in zip(p, q, strict=True))
    assert float(kl(p, q)) == pytest.approx(by_hand, abs=1e-12)
    assert kl(p, q) >= -1e-12 and abs(float(kl(p, p))) < 1e-12


def test_kl_of_two_gaussians_and_without_overlap() -> None:
    assert float(kl(normal(0), normal(1.5), DX)) == pytest.approx(1.5**2 / 2, abs=1e-9)
    apart = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert float(kl(*apart)) == math.inf and float(kl(apart[0], apart[0])) == 0


@pytest.mark.parametrize("divergence", [kl, js, best_value])
def test_a_place_without_mass_has_no_gradient(divergence: Callable[[Tensor, Tensor], Tensor]) -> None:
    p = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    q = torch.tensor([0.25, 0.75, 0.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(divergence(p, q), q)
    alone = q.detach()[:2].requires_grad_()
    (expected,) = torch.autograd.grad(divergence(p[:2], alone), alone)
    assert torch.equal(divergence(p, q), divergence(p[:2], alone))
    assert slope.tolist() == [*expected.tolist(), 0.0]


@given(mass)
def test_js(masses: list[float]) -> None:
    p, q = pair(masses)
    m = (p + q) / 2
    assert float(js(p, q)) == pytest.approx(float(kl(p, m) + kl(q, m)) / 2, abs=1e-12)
    assert -1e-12 <= float(js(p, q)) == pytest.approx(float(js(q, p)), abs=1e-12)
    assert float(js(p, q)) < math.log(2)


@pytest.mark.parametrize("shift", [0.0, 0.25, 1.0, 3.0])
def test_js_of_shifted_boxes(shift: float) -> None:
    """U[0, 1] against U[d, 1 + d]: JSD = min(d, 1) log 2, flat at log 2 as soon as the boxes part."""
    cells = (torch.arange(4000, dtype=torch.float64) + 0.5) / 1000
    boxes = [((cells > start) & (cells < start + 1)).double() for start in (0.0, shift)]
    assert float(js(boxes[0], boxes[1], 1e-3)) == pytest.approx(min(shift, 1) * math.log(2), abs=1e-12)
    assert float(best_value(boxes[0], boxes[1], 1e-3)) == pytest.approx((min(shift, 1) - 1) * math.log(4), abs=1e-12)
    assert float(wasserstein_1d(boxes[0], boxes[1], 1e-3)) == pytest.approx(shift, abs=1e-9)  # which does not go flat
    assert float(total_variation(boxes[0], boxes[1], 1e-3)) == pytest.approx(min(shift, 1), abs=1e-12)


@given(mass)
def test_best_value(masses: list[float]) -> None:
    p, q = pair(masses)
    assert float(best_value(p, q)) == pytest.approx(float(game_value(optimal_logits(p, q), p, q)), abs=1e-12)
    assert float(best_value(p, p)) == pytest.approx(-math.log(4))


def test_best_value_of_two_gaussians() -> None:
    assert float(js(normal(0), normal(1.5), DX)) == pytest.approx(0.22117, abs=1e-5)
    assert float(best_value(normal(0), normal(1.5), DX)) == pytest.approx(-0.94395, abs=1e-5)


# ---------------------------------------------------------------------------- which game does G play


def softmax_family(theta: Tensor) -> Tensor:
    return torch.softmax(torch.stack([theta, 2 * theta.sin(), 0 * theta, -theta]), dim=0)


@given(st.floats(-2, 2))
def test_non_saturating_gradient(at: float) -> None:
    """Against autograd: the slopes of KL(q || p) - 2 JSD and of 2 JSD."""
    p = distribution([0.4, 0.1, 0.3, 0.2])
    theta = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    q = softmax_family(theta.detach())
    dq = torch.autograd.functional.jacobian(softmax_family, theta.detach())
    for found, objective in (
        (non_saturating_gradient(p, q, dq), lambda q: kl(q, p) - 2 * js(p, q)),
        (saturating_gradient(p, q, dq), lambda q: 2 * js(p, q)),
    ):
        (expected,) = torch.autograd.grad(objective(softmax_family(theta)), theta)
        assert float(found) == pytest.approx(float(expected), abs=1e-9)


def test_the_two_gradients_of_a_shifted_gaussian() -> None:
    """q = N(t, 1) against p = N(0, 1): D* is exactly sigma(t^2 / 2 - t x), so -log D* grows with x."""
    shift = 6.0
    q = normal(shift)
    dq = q * (GRID - shift)
    assert float(saturating_gradient(normal(0), q, dq, DX)) < 0.02
    x = shift + torch.randn(400_000, generator=seeded(0), dtype=torch.float64)
    pathwise = (shift * torch.sigmoid(shift * x - shift**2 / 2)).mean()  # d/dx of -log D*(x)
    assert float(non_saturating_gradient(normal(0), q, dq, DX)) == pytest.approx(float(pathwise), rel=0.01)


# ------------------------------------------------------------------------------------------ Dirac-GAN


@pytest.mark.parametrize("loss", ["minimax", "non-saturating"])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_dirac_jacobian(loss: str, gamma: float) -> None:
    jacobian = dirac_jacobian(loss, gamma=gamma)
    torch.testing.assert_close(jacobian, torch.tensor([[0, 0.5], [-0.5, -gamma]]).double(), atol=1e-7, rtol=0)
    roots = torch.linalg.eigvals(jacobian)
    expected = torch.tensor(complex(gamma**2 / 4 - 0.25, 0), dtype=torch.complex128).sqrt()
    both = torch.stack([-gamma / 2 + expected, -gamma / 2 - expected])
    for root in roots:
        assert (both - root).abs().min() < 1e-3  # a double root at gamma = 1 is ill-conditioned


@pytest.mark.parametrize("lr", [0.05, 0.1, 0.5])
def test_dirac_step_matrix(lr: float) -> None:
    """Simultaneous steps grow by sqrt(1 + lr^2 / 4), alternating steps turn by arccos(1 - lr^2 / 8)."""
    together = torch.linalg.eigvals(dirac_step_matrix("minimax", lr=lr, order="simultaneous"))
    assert together.abs().tolist() == pytest.approx([math.sqrt(1 + lr**2 / 4)] * 2)
    in_turn = dirac_step_matrix("minimax", lr=lr)
    assert float(torch.linalg.det(in_turn)) == pytest.approx(1)
    assert float(in_turn.trace()) == pytest.approx(2 - lr**2 / 4)
    roots = torch.linalg.eigvals(in_turn)
    assert roots.abs().tolist() == pytest.approx([1.0, 1.0])
    assert abs(float(roots[0].angle())) == pytest.approx(math.acos(1 - lr**2 / 8))


@pytest.mark.parametrize("order", ["simultaneous", "alternating"])
def test_paths_of_the_bilinear_game_are_powers_of_the_matrix(order: Order) -> None:
    matrix = dirac_step_matrix("wgan", lr=0.1, order=order)
    path = dirac_path("wgan", lr=0.1, rounds=100, order=order, start=(1.0, 0.5))
    power = torch.linalg.matrix_power(matrix, 100) @ path[0]
    torch.testing.assert_close(path[-1], power, atol=1e-6, rtol=0)
    if order == "simultaneous":
        assert float(path[-1].norm() / path[0].norm()) == pytest.approx((1 + 0.01) ** 50)


def test_r1_makes_the_dirac_gan_converge() -> None:
    plain = dirac_path("minimax", lr=0.1, rounds=600, order="simultaneous").norm(dim=1)
    calm = dirac_path("minimax", lr=0.1, rounds=600, order="simultaneous", gamma=1.0).norm(dim=1)
    assert plain[-1] > 1.2 * plain[0] and calm[-1] < 1e-6


@pytest.mark.parametrize("loss", LOSSES)
def test_the_game_follows_the_path(loss: str) -> None:
    game = DiracGAN(loss, gamma=0.2, start=(0.7, -0.4))
    sgd = {player: torch.optim.SGD(game.parameters_of(player), lr=0.05) for player in game.players}
    play(game, Repeat({}), 30, optimisers=sgd)
    expected = dirac_path(loss, lr=0.05, rounds=30, gamma=0.2, start=(0.7, -0.4))[-1]
    torch.testing.assert_close(torch.stack([game.theta, game.psi]).detach(), expected)


def test_the_field_of_many_points_is_the_field_of_each() -> None:
    points = torch.randn(7, 2, generator=seeded(0), dtype=torch.float64)
    together = torch.stack(dirac_field(points[:, 0], points[:, 1], "minimax", gamma=0.5), dim=1)
    for point, expected in zip(points, together, strict=True):
        alone = torch.stack(dirac_field(point[0], point[1], "minimax", gamma=0.5))
        torch.testing.assert_close(alone, expected)
    theta, psi = points.T
    torch.testing.assert_close(together[:, 1], -theta * torch.sigmoid(psi * theta) - 0.5 * psi)
