"""Rewards for two styles that give two pictures, and what keeps a style readable. All are losses: lower is better.

Two pictures of one mask, x1 = G(m, s1) and x2 = G(m, s2). A generator that ignores its style has x1 = x2.

    name               loss                                    pull where x1 = x2    source
    sensitive          - mean |x1 - x2|                        constant              StarGAN v2, eq. 3
    ratio              - mean_b min(|x1 - x2| / |z1 - z2|, τ)  constant              DSGAN, eq. 2 (Yang et al. 2019)
    mode-seeking       1 / (|x1 - x2| / |z1 - z2| + eps)       huge                  MSGAN (Mao et al. 2019)

None of the three asks that the pictures be good: that is D's part.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lib.book.equations import equation
from lib.losses.adversarial import at_least_float32

__all__ = [
    "DIVERSITY", "UnknownDiversity", "diversity_loss", "energy_distance", "mode_seeking", "ratio", "sensitive",
    "style_loss",
]  # fmt: skip

EPS = 1e-5

DiversityLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class UnknownDiversity(ValueError):
    """There is no diversity loss of that name."""


@equation("10.3", tests="tests/equations/test_srgan_maskface.py::test_style_loss_of_the_best_constant_guess")
def style_loss(found: Tensor, style: Tensor) -> Tensor:
    """mean |R(G(m, s)) - s|: the style can be read from the picture (StarGAN v2, eq. 2; INFERRED for the paper).

    It does not say that a *reader of the book* can see it: a faint pattern is enough.

    Args:
        found, style: (B, n).
    """
    return (at_least_float32(found) - style).abs().mean()


@equation("10.9", tests="tests/equations/test_diverse_faces.py::test_energy_distance")
def energy_distance(drawn: Tensor, found: Tensor) -> Tensor:
    """2 E|s - r| - E|s - s'| - E|r - r'|: 0 where both samples come from one distribution (Szekely and Rizzo 2013).

    Unbiased: no sample is compared with itself, so that the value may fall a little below 0.

    Args:
        drawn, found: (N, n) and (M, n), two samples at least of each.
    """
    drawn, found = at_least_float32(drawn), at_least_float32(found)

    def within(codes: Tensor) -> Tensor:
        count = len(codes)
        return torch.nn.functional.pdist(codes).sum() * (2 / (count * (count - 1)))

    return 2 * torch.cdist(drawn, found).mean() - within(drawn) - within(found)


@equation("10.4", tests="tests/equations/test_srgan_maskface.py::test_the_three_rewards_of_diversity_by_hand")
def sensitive(first: Tensor, second: Tensor) -> Tensor:
    """- mean |x1 - x2|, in [-2, 0] for pictures (B, 3, H, W) in [-1, 1] (Choi et al. 2020, eq. 3)."""
    return -(at_least_float32(first) - second).abs().mean()


@equation("10.5", tests="tests/equations/test_srgan_maskface.py::test_the_cap_binds_where_the_authors_code_never_does")
def ratio(first: Tensor, second: Tensor, z_first: Tensor, z_second: Tensor, *, cap: float = 10.0) -> Tensor:
    """- mean_b min(|x1 - x2| / |z1 - z2|, cap): how far pictures move for a step in the latent (Yang et al. 2019).

    Both distances are means over the entries of a sample. Beyond the cap nothing is asked for. In the authors' code
    the cap is ``clamp(-ratio, max=10)``, which is never reached, for -ratio <= 0.

    Args:
        first, second: (B, 3, H, W).
        z_first, z_second: (B, d), of which they were made.
        cap: τ.
    """
    moved = (at_least_float32(first) - second).abs().flatten(1).mean(dim=1)
    step = (z_first - z_second).abs().flatten(1).mean(dim=1)
    return -(moved / (step + EPS)).clamp(max=cap).mean()


@equation(
    "10.6",
    tests="tests/equations/test_srgan_maskface.py::test_near_collapse_mode_seeking_pulls_and_the_others_only_lead",
)
def mode_seeking(first: Tensor, second: Tensor, z_first: Tensor, z_second: Tensor) -> Tensor:
    """1 / (mean |x1 - x2| / mean |z1 - z2| + 1e-5), means over the whole batch (Mao et al. 2019, eq. 3, as coded).

    100 000 at an exact collapse. Its pull grows as 1 / ratio²: a generator near collapse feels little else.
    """
    moved, step = (at_least_float32(first) - second).abs().mean(), (z_first - z_second).abs().mean()
    return 1 / (moved / step + EPS)


DIVERSITY: dict[str, DiversityLoss] = {
    "sensitive": lambda first, second, _z_first, _z_second: sensitive(first, second),
    "ratio": ratio,
    "mode-seeking": mode_seeking,
}
"""Name -> loss of (x1, x2, z1, z2)."""


def diversity_loss(name: str) -> DiversityLoss:
    """The loss called `name`.

    Raises:
        UnknownDiversity: there is none.
    """
    if name not in DIVERSITY:
        raise UnknownDiversity(f"There is no diversity loss {name!r}; the losses are {', '.join(DIVERSITY)}.")
    return DIVERSITY[name]
