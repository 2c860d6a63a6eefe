r"""Games that go round: what damping, two learning rates and averaging do to a rotation, exactly.

Near an equilibrium a game between two numbers is a linear system. Its eigenvalues say whether it spirals in, circles
or spirals out. The book's example is the Dirac-GAN (`lib.games.dirac`).
"""

from __future__ import annotations

import cmath
import math

import torch
from torch import Tensor

from lib.book.equations import equation

__all__ = ["dirac_eigenvalues", "ema_gain", "ema_of_rotation", "two_rate_eigenvalues"]


@equation("2.11", tests="tests/equations/test_convergence.py::test_dirac_eigenvalues")
def dirac_eigenvalues(slope: float, gamma: float = 0.0) -> tuple[complex, complex]:
    """-gamma/2 ± sqrt(gamma^2/4 - f^2): the Dirac-GAN with R1 near its equilibrium (Mescheder et al. 2018).

    Without a penalty ± i f: a rotation for ever. Any gamma > 0 makes both real parts negative; gamma = 2 f is the
    fastest, beyond it one number waits for the other.

    Args:
        slope: f, the slope of the loss at 0: 1/2 for cross-entropy, 1 for a critic and for the hinge.
        gamma: weight of R1.
    """
    return two_rate_eigenvalues(slope, gamma, rates=(1.0, 1.0))


@equation("2.13", tests="tests/equations/test_convergence.py::test_two_rate_eigenvalues")
def two_rate_eigenvalues(slope: float, gamma: float, *, rates: tuple[float, float]) -> tuple[complex, complex]:
    """Eigenvalues of [[0, g f], [-d f, -d gamma]]: G learns at the rate g and D at the rate d.

    -d gamma/2 ± sqrt(d^2 gamma^2/4 - g d f^2). Two rates alone damp nothing: with gamma = 0 all that changes is the
    speed of the rotation, f sqrt(g d). With gamma > 0 and g << d the slow one tends to -g f^2 / gamma: D keeps at
    its best answer, and G walks downhill (Heusel et al. 2017).

    Args:
        rates: (g, d), of G and of D.
    """
    of_g, of_d = rates
    half = of_d * gamma / 2
    root = cmath.sqrt(half**2 - of_g * of_d * slope**2)
    return -half + root, -half - root


@equation("2.15", tests="tests/equations/test_convergence.py::test_ema_gain")
def ema_gain(decay: float, angle: float) -> float:
    """(1 - beta) / |1 - beta e^(-i omega)|: the radius of the average of a point that circles at radius 1.

    The average of a circle is a circle, smaller and late. It vanishes as beta -> 1 (Yazici et al. 2019, for bilinear
    games): the average sits near the equilibrium that the weights only circle.

    Args:
        decay: beta of `lib.training.ema.EMA`.
        angle: omega, radians per round.
    """
    return (1 - decay) / abs(1 - decay * cmath.exp(-1j * angle))


def ema_of_rotation(decay: float, angle: float, rounds: int) -> Tensor:
    """(rounds, 2): the running average of a point on the unit circle that started at the average's own place.

    What is left of the start fades as beta^n: with beta = 0.9999 after 10 000 rounds 37 % of it is still there. That
    is why `lib.training.ema.EMA` begins with a small beta.
    """
    place, average = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    path = []
    for _ in range(rounds):
        place = turn @ place
        average = decay * average + (1 - decay) * place
        path.append(average)
    return torch.stack(path)
