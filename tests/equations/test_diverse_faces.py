"""The equations of chapter 10 that have closed forms of their own: the toy, the energy distance, the leak."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lib.games.maskface_measures import leak
from lib.games.maskface_toy import best_reading, expected_difference, hair_world
from lib.losses.divergences import js
from lib.losses.diversity import energy_distance, sensitive
from lib.runtime import seeded


def test_best_reading() -> None:
    """Two styles, three pictures: the reader bets on the likelier style at each."""
    joint = torch.tensor([[0.3, 0.2, 0.0], [0.1, 0.2, 0.2]])
    assert float(best_reading(joint)) == pytest.approx(0.3 + 0.2 + 0.2)
    read = {name: float(best_reading(table)) for name, table in hair_world().generators.items()}
    assert read == pytest.approx({"ignores": 0.25, "whispers": 1.0, "screams": 1.0, "honest": 1.0})


def test_whispering_changes_no_picture() -> None:
    """Ignoring and whispering paint the same patches equally often: no D and no distance can tell them apart."""
    world = hair_world(0.02)
    ignores, whispers = world.generators["ignores"], world.generators["whispers"]
    assert torch.equal(ignores.sum(dim=0), whispers.sum(dim=0)) and not torch.equal(ignores, whispers)
    differences = [expected_difference(table, world.pictures) for table in (ignores, whispers)]
    assert differences[0] == differences[1]
    # Grains differ in no sign, in one of the two, or in both, with 1/4, 1/2, 1/4: 0, 2e, and 4e in half of the pixels.
    assert float(differences[0]) == pytest.approx(0.02 * (0.5 * 2 + 0.25 * 2))


def test_what_an_ideal_d_says_of_the_four() -> None:
    world = hair_world()
    found = {name: float(js(world.real, table.sum(dim=0))) for name, table in world.generators.items()}
    collapsed = 0.5 * (0.25 * math.log(0.25 / 0.625) + 0.75 * math.log(2) + math.log(1 / 0.625))
    expected = {"ignores": collapsed, "whispers": collapsed, "screams": math.log(2), "honest": 0.0}
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_difference_is_that_of_sampled_pairs() -> None:
    world = hair_world()
    joint = world.generators["honest"]
    drawn = torch.multinomial(joint.sum(dim=0), 20_000, replacement=True, generator=seeded(0))
    pictures = world.pictures[drawn].float()
    sampled = -float(sensitive(pictures[:10_000], pictures[10_000:]))
    assert sampled == pytest.approx(float(expected_difference(joint, world.pictures)), rel=0.02)


def quantiles(count: int) -> Tensor:
    """A standard normal sample without chance."""
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    sample: Tensor = torch.special.ndtri(levels)[:, None]
    return sample


@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0])
def test_energy_distance(shift: float) -> None:
    """Of N(0, 1) and N(shift, 1): E|N(d, 2)| = 2 / sqrt(pi) exp(-d² / 4) + d erf(d / 2)."""
    expected = 2 * (2 / math.sqrt(math.pi) * math.exp(-shift * shift / 4) + shift * math.erf(shift / 2))
    expected -= 4 / math.sqrt(math.pi)
    sample = quantiles(2000)
    found = float(energy_distance(sample, sample + shift))
    assert found == pytest.approx(expected, abs=3e-3)


def test_the_energy_distance_is_unbiased_and_pulls_towards_the_other_sample() -> None:
    generator = seeded(0)
    same = [
        float(energy_distance(*torch.randn(2, 8, 3, generator=generator, dtype=torch.float64).unbind()))
        for _ in range(2000)
    ]
    mean, error = torch.tensor(same).mean(), torch.tensor(same).std() / len(same) ** 0.5
    assert min(same) < 0 and abs(float(mean)) < 4 * float(error)
    drawn = torch.randn(64, 3, generator=generator).requires_grad_()
    (gradient,) = torch.autograd.grad(energy_distance(drawn, torch.randn(64, 3, generator=generator) + 5), drawn)
    assert bool((gradient.mean(dim=0) < 0).all())  # a step against it moves to the right


def test_leak() -> None:
    before, changed = torch.zeros(1, 3, 16, 16), torch.zeros(1, 16, 16, dtype=torch.bool)
    changed[0, 2, 2] = True
    after = before.clone()
    after[0, :, 2, 2] = 0.8
    after[0, :, 5, 2] = 9.0  # 3 px away: may change
    assert float(leak(before, after, changed)) == 0
    after[0, :, 2, 6] = 0.4  # 4 px away: may not
    far = 16 * 16 - 6 * 6
    assert float(leak(before, after, changed)) == pytest.approx(0.4 / far / 0.8)
