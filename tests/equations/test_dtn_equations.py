"""The numbered equations of chapter 8 by hand, with networks whose answers are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from lib.games.dtn import DTN, DTNConfig
from lib.losses.ternary import FROM_SOURCE, FROM_TARGET, REAL, best_ternary, class_spread, minus_log
from lib.nn.dtn import DomainTransfer, DomainTransferConfig
from lib.runtime import seeded


class Brightness(nn.Module):
    """A D that answers by the mean brightness: log-odds of 1, 2 and 3 are 0, that mean and twice that mean."""

    def __init__(self, answers: int = 3) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.arange(answers).float() if answers > 1 else torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(1, 2, 3))[:, None] * self.slope


class FirstPixel(nn.Module):
    """An f that sees the three colours of the first pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 0, 0] * self.gain


def game(**changes: object) -> DTN:
    rules: dict[str, object] = {"size": 16, "code": 3, "g_width": 4, "g_widest": 4}
    config = DTNConfig(**rules | changes)  # type: ignore[arg-type]
    G = DomainTransfer(config.network(), FirstPixel())
    return DTN(G, Brightness(3 if config.answers == "ternary" else 1), G.f, config)


def grey(value: float) -> Tensor:
    return torch.full((2, 1, 16, 16), value)


def negative_log(value: float, answer: int) -> float:
    return float(-torch.log_softmax(torch.arange(3) * value, dim=0)[answer])


def test_g_of_x_is_g_of_f_of_x() -> None:
    G = DomainTransfer(DomainTransferConfig(size=16, code=3, g_width=4), FirstPixel()).eval()
    x = torch.rand(2, 3, 16, 16, generator=seeded(0))
    assert torch.equal(G(x), G.g(x[:, :, 0, 0]).expand(-1, 3, -1, -1))
    other = x.clone()
    other[:, :, 5:] = 0  # f does not see it, so G cannot either
    assert torch.equal(G(x), G(other))


def test_d_is_told_all_three_answers() -> None:
    terms = game().d_terms(grey(0.5), grey(-0.2), grey(1.0))
    assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(
        {"source": negative_log(0.5, FROM_SOURCE), "target": negative_log(-0.2, FROM_TARGET),
         "real": negative_log(1.0, REAL)}
    )  # fmt: skip


def test_g_wants_the_third_answer_on_both_routes() -> None:
    terms = game(gang=2.0).gang_terms(grey(0.5), grey(-0.2))
    assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(
        {"gan_source": 2 * negative_log(0.5, REAL), "gan_target": 2 * negative_log(-0.2, REAL)}
    )
    one_route = game(answers="binary", target_route=False, tid=0.0).gang_terms(grey(0.5), grey(0.0))
    assert list(one_route) == ["gan_source"]
    assert float(one_route["gan_source"].detach()) == pytest.approx(math.log1p(math.exp(-0.5)))


def test_the_whole_of_g_by_hand() -> None:
    """f sees 0.5 in the painting where the code says 0.1: 0.16; the target is missed by 0.3: 0.09; flat: no TV."""
    code = torch.full((2, 3), 0.1)
    terms = game(const=15.0, tid=10.0, tv=4.0).g_terms(grey(0.1), grey(0.3), code, grey(0.5), grey(0.0))
    values = {name: float(term.detach()) for name, term in terms.items()}
    assert values == pytest.approx(
        {"gan_source": negative_log(0.5, REAL), "gan_target": math.log(3), "const": 15 * 0.16, "tid": 10 * 0.09,
         "tv": 0.0}, abs=1e-5,
    )  # fmt: skip


def test_the_least_loss_of_d() -> None:
    """L_D at the best D = 3 log 3 - 3 JSD of the three densities, by entropies."""
    p = torch.rand(3, 6, generator=seeded(2), dtype=torch.float64)
    p = p / p.sum(dim=1, keepdim=True)
    loss = -(p * best_ternary(*p).T.log()).sum()

    def entropy(row: Tensor) -> Tensor:
        return -(row * row.log()).sum()

    divergence = entropy(p.mean(dim=0)) - torch.stack([entropy(row) for row in p]).mean()
    torch.testing.assert_close(loss, 3 * math.log(3) - 3 * divergence)
    assert float(minus_log(torch.zeros(1, 3), REAL)) == pytest.approx(math.log(3))


def test_the_spread_about_each_classs_own_mean() -> None:
    code = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 7.0], [0.0, 4.0], [0.0, 2.0]], requires_grad=True)
    answer = torch.tensor([2, 2, 0, 9, 9])  # means (2, 0), (5, 7) and (0, 3)
    spread = class_spread(code, answer)
    assert spread.item() == pytest.approx((1 + 1 + 0 + 1 + 1) / 10)
    (slope,) = torch.autograd.grad(spread, code)
    wanted = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) / 5
    torch.testing.assert_close(slope, wanted)  # to the mean; the mean itself moves with its members
    alone = class_spread(code, torch.arange(5))
    assert alone.item() == 0, "nobody shares a class"
