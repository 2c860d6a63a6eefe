r"""The Dirac-GAN: the smallest GAN, whose training can be computed with pencil and paper (Mescheder et al. 2018).

The data are one point, 0. G has one number theta and draws that point. D has one number psi and scores
D(x) = psi * x. The only equilibrium is theta = psi = 0. Gradient descent turns both numbers into a dynamical
system in the plane, and near the equilibrium a 2 x 2 matrix says everything about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.games.game import Game, Turn
from lib.losses.adversarial import AdversarialLoss, adversarial_loss

__all__ = ["DiracGAN", "Order", "dirac_field", "dirac_jacobian", "dirac_path", "dirac_step_matrix"]

Order = Literal["simultaneous", "alternating"]


class DiracGAN(Game):
    """The Dirac-GAN as a game, to be played with SGD; alternating, as every game of the book is.

    Args:
        loss: a name in `lib.losses.adversarial.LOSSES`.
        gamma: weight of the R1 penalty.
        start: the first (theta, psi).
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("psi",), "G": ("theta",)}

    def __init__(
        self, loss: str = "non-saturating", *, gamma: float = 0.0, start: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        super().__init__()
        self.loss, self.gamma = adversarial_loss(loss), gamma
        self.theta, self.psi = (nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in start)

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """D's turn, then G's. The batch is not looked at: the data are the point 0."""
        yield Turn("D", **_d_terms(self.theta.detach(), self.psi, self.loss, self.gamma))
        yield Turn("G", gan=self.loss.fool(self.psi * self.theta))


def dirac_field(theta: Tensor, psi: Tensor, loss: str, *, gamma: float = 0.0) -> tuple[Tensor, Tensor]:
    """Where gradient descent moves theta and psi: (-dL_G/dtheta, -dL_D/dpsi) at each point of two equal shapes."""
    rules = adversarial_loss(loss)
    theta, psi = (x.detach().requires_grad_() for x in (theta, psi))
    d_loss = torch.stack([*_d_terms(theta.detach(), psi, rules, gamma).values()]).sum()
    (towards_d,) = torch.autograd.grad(d_loss, psi)
    (towards_g,) = torch.autograd.grad(rules.fool(psi.detach() * theta), theta)
    # The losses are means over all points.
    return -towards_g * theta.numel(), -towards_d * psi.numel()


@equation("1.12", tests="tests/equations/test_minimax.py::test_dirac_jacobian")
def dirac_jacobian(loss: str, *, gamma: float = 0.0) -> Tensor:
    """J = d(field)/d(theta, psi) at the equilibrium, (2, 2) float64; [[0, f], [-f, -gamma]] with f = 1/2 for BCE.

    The field is smooth but for the hinge's corner, which is not at 0: central differences give J to 1e-9.
    """
    step = 1e-4
    ahead = step * torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    theta, psi = ahead.T
    plus_theta, minus_theta, plus_psi, minus_psi = torch.stack(dirac_field(theta, psi, loss, gamma=gamma), dim=1)
    return torch.stack([plus_theta - minus_theta, plus_psi - minus_psi], dim=1) / (2 * step)


@equation("1.13", tests="tests/equations/test_minimax.py::test_dirac_step_matrix")
def dirac_step_matrix(loss: str, *, lr: float, order: Order = "alternating", gamma: float = 0.0) -> Tensor:
    """One round of gradient descent near the equilibrium, as a (2, 2) matrix acting on (theta, psi).

    Simultaneous: I + lr J. Alternating: D's row first, then G's row, which sees the new psi. The largest
    absolute eigenvalue is the factor by which the distance to the equilibrium grows or shrinks in a round.
    """
    jacobian, identity = dirac_jacobian(loss, gamma=gamma), torch.eye(2, dtype=torch.float64)
    if order == "simultaneous":
        return identity + lr * jacobian
    rows = [identity.clone(), identity.clone()]
    for row, matrix in enumerate(rows):
        matrix[row] += lr * jacobian[row]
    g_turn, d_turn = rows
    return g_turn @ d_turn


def dirac_path(
    loss: str,
    *,
    lr: float,
    rounds: int,
    order: Order = "alternating",
    gamma: float = 0.0,
    start: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """(rounds + 1, 2): theta and psi before the first round and after each, under gradient descent, in float64."""
    theta, psi = torch.tensor(start, dtype=torch.float64)
    path = [torch.stack([theta, psi])]
    for _ in range(rounds):
        towards_theta, towards_psi = dirac_field(theta, psi, loss, gamma=gamma)
        psi = psi + lr * towards_psi
        if order == "alternating":
            towards_theta, _ = dirac_field(theta, psi, loss, gamma=gamma)
        theta = theta + lr * towards_theta
        path.append(torch.stack([theta, psi]))
    return torch.stack(path)


def _d_terms(theta: Tensor, psi: Tensor, loss: AdversarialLoss, gamma: float) -> dict[str, Tensor]:
    """D's terms; the slope of D(x) = psi x is psi everywhere, so that R1 is gamma / 2 psi^2."""
    terms = {"real": loss.real(psi * 0), "fake": loss.fake(psi * theta)}
    return {**terms, "r1": gamma / 2 * psi.square().mean()} if gamma else terms
