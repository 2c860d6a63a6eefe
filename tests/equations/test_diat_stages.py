"""The numbered equations of chapter 7 that are more than one line: the toy, the two identity losses, both stages."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib.games.diat import DIATConfig, FaceTransform
from lib.games.diat_enhance import Enhancement
from lib.games.pix2pix_measures import blurred
from lib.losses.diat import best_change, content_loss
from lib.losses.perceptual import FeatureMaps
from lib.nn.denoiser import Denoiser
from lib.nn.diat import AttributeDiscriminator
from lib.runtime import seeded

SIZE = 8


def pictures(seed: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=seeded(seed)) * 2 - 1


def phi(layers: tuple[str, ...] = ("0", "1")) -> FeatureMaps:
    torch.manual_seed(0)
    return FeatureMaps(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, stride=2, padding=1)), layers)


class Tint(nn.Module):
    """A T that is known: half of the picture, and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x / 2 + self.shift


def game(**changes: Any) -> FaceTransform:
    config = DIATConfig(**{"size": SIZE, "layers": ("0", "1"), "d_stages": 2, "weights": (1.0, 2.0)} | changes)
    torch.manual_seed(0)
    D, f = AttributeDiscriminator(SIZE, width=4, stages=2, hidden=6), Denoiser(4)
    return FaceTransform(Tint(), D, phi(), f, config)


# ------------------------------------------------------------------------------------------------------- toy


@pytest.mark.parametrize("weight", [0.0, 0.1, 3.0])
def test_best_change(weight: float) -> None:
    """No other change costs less, and by hand: w = (0.8, 0.6), K = diag(1, 9) goes along (0.8, 0.6 / 9)."""
    w, K = torch.tensor([0.8, 0.6]).double(), torch.diag(torch.tensor([1.0, 9.0])).double()

    def cost(change: Tensor) -> float:
        return float(0.5 * (1 - w @ change) ** 2 + 0.5 * weight * change @ K @ change)

    best = best_change(w, K, weight)
    torch.testing.assert_close(best, torch.tensor([0.8, 0.6 / 9]).double() / (weight + 0.64 + 0.04))
    for seed in range(20):
        assert cost(best + 0.1 * torch.randn(2, generator=seeded(seed)).double()) >= cost(best)


def test_the_weight_decides_how_far_and_the_metric_where_to() -> None:
    w, K = torch.tensor([0.8, 0.6]).double(), torch.diag(torch.tensor([1.0, 9.0])).double()
    ways = torch.stack([best_change(w, K, weight) for weight in (0.0, 1.0, 10.0)])
    directions = ways / ways.norm(dim=1, keepdim=True)
    torch.testing.assert_close(directions, directions[:1].expand(3, -1))
    assert float(w @ ways[0]) == pytest.approx(1) and bool((ways.norm(dim=1).diff() < 0).all())
    other = best_change(w, torch.eye(2).double(), 1.0)
    slopes = [float(way[1] / way[0]) for way in (other, ways[0])]
    assert slopes == pytest.approx([0.75, 0.6 / 9 / 0.8])


# --------------------------------------------------------------------------------------------------- stage 1


def test_content_loss() -> None:
    """(1, 3) against (0, 1) in a map of 2 values: (1 + 4) / (2 * 2); the weight of the second layer counts."""
    fake, real = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    assert float(content_loss([fake], [real])) == 1.25
    assert float(content_loss([fake, fake], [real, real], [1.0, 2.0])) == 3.75


def test_the_loss_of_t() -> None:
    """L_T = l_attr + lambda l_id + gamma l_smooth + our price of changes, term by term from the definitions."""
    rules, x = game(identity=3.0, gamma=2.0, spare=5.0), pictures(0)
    fake = rules.T(x)
    terms = rules.t_terms(x, fake)
    assert rules.phi is not None and rules.f is not None
    distances = [((a - b) ** 2).mean() / 2 for a, b in zip(rules.phi(fake), rules.phi(x), strict=True)]
    expected = {
        "gan": torch.log1p(torch.exp(-rules.D(fake))).mean(),
        "identity": 3 * (distances[0] + 2 * distances[1]),
        "smooth": 2 * ((rules.f(fake) - fake) ** 2).mean(),
        "spare": 5 * (fake - x).abs().mean(),
    }
    torch.testing.assert_close(terms, expected)
    assert FaceTransform.t_terms(rules, x, fake).keys() == expected.keys()


def test_the_adaptive_identity_loss() -> None:
    """By D's last two maps; it moves when D does; its target costs no graph."""
    rules, x = game(features="adaptive", gamma=0.0), pictures(0)
    fake = rules.T(x)
    maps, own = rules.D.judge(fake)[1], rules.D.judge(x)[1]
    value = rules.adaptive_identity(x, maps)
    expected = [((a - b) ** 2).mean() / 2 for a, b in zip(maps, own, strict=True)]
    torch.testing.assert_close(value, expected[0] + 2 * expected[1])
    x.requires_grad_()
    rules.adaptive_identity(x, [each.detach().requires_grad_() for each in maps]).backward()
    assert x.grad is None
    with torch.no_grad():
        rules.D.stages[1].weight.mul_(2)
    moved = rules.adaptive_identity(x.detach(), rules.D.judge(fake)[1])
    assert float(moved.detach()) > 2 * float(value.detach())


# --------------------------------------------------------------------------------------------------- stage 2


def test_the_local_enhancement() -> None:
    """Outside of m towards x; inside, towards T(x): in pixels, and in phi's maps of the masked pictures."""
    config, x = DIATConfig(task="glasses", size=SIZE, betas=(1.0, 0.5)), pictures(1)
    T, E, mask = Tint(), Tint(), torch.zeros(2, 1, SIZE, SIZE)
    mask[:, :, 2:5, 1:7] = 1
    rules = Enhancement(E, T, config, phi(("0",)))
    terms = rules.local_terms(x, mask)
    soft, sharp = T(x), E(T(x))
    assert rules.phi is not None
    expected = {
        "outside": (((1 - mask) * (sharp - x)) ** 2).mean(),
        "inside": ((mask * (sharp - soft)) ** 2).mean() / 2,
        "features": 0.5 * ((rules.phi(mask * sharp)[0] - rules.phi(mask * soft)[0]) ** 2).mean() / 2,
    }
    torch.testing.assert_close(terms, expected)


def test_the_global_enhancement() -> None:
    """mean (E(B(x)) - x)^2 for one of the blurs that may be drawn, and none that is stronger."""
    config, x = DIATConfig(task="age", size=64, blur=2.0), torch.rand(1, 3, 64, 64, generator=seeded(3)) * 2 - 1
    rules = Enhancement(nn.Identity(), None, config, generator=seeded(5))
    value = float(rules.global_term(x))
    sigma = 0.25 + 0.75 * float(torch.rand((), generator=seeded(5)))  # px: the strongest is 2 px at 128
    assert value == pytest.approx(float((blurred(x, sigma) - x).square().mean()), rel=1e-5)
    assert 0 < value < float((blurred(x, 1.001) - x).square().mean()) and math.isfinite(value)
