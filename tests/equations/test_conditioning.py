"""Chapter 3's equations: values from the derivations, on tables and linear maps small enough for paper."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lib.losses.conditioning import (
    TableError,
    acgan_criterion,
    ambiguous_share,
    blind_criterion,
    class_log_likelihood,
    conditional_criterion,
    conditional_value,
    optimal_conditional_discriminator,
    source_log_likelihood,
)
from lib.losses.inversion import image_loss, latent_loss, linear_inversion_error

LOG2, LOG4 = math.log(2), math.log(4)


def table(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


TRUTH = table([0.5, 0.5, 0.0], [0.0, 0.5, 0.5])  # p(x | y): picture 1 belongs to both classes
JOINT = TRUTH / 2  # two equally frequent classes
SWAPPED = TRUTH.flip(0)  # each class draws the other's pictures


def drawn(a: float | Tensor) -> Tensor:
    """The toy's generator: picture 1 with probability a, else the picture of the class alone."""
    a = torch.as_tensor(a, dtype=torch.float64)
    zero = torch.zeros_like(a)
    return torch.stack([torch.stack([1 - a, a, zero]), torch.stack([zero, a, 1 - a])])


def random_tables(seed: int, classes: int = 3, pictures: int = 5) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    joint = torch.rand(classes, pictures, generator=rng, dtype=torch.float64) + 0.01
    model = torch.rand(classes, pictures, generator=rng, dtype=torch.float64) + 0.01
    return joint / joint.sum(), model / model.sum(dim=1, keepdim=True)


def test_conditional_value() -> None:
    """(3.1): a D of 1/2 everywhere gives -log 4; a sure and right D of disjoint tables gives nearly 0."""
    half = torch.full((2, 3), 0.5, dtype=torch.float64)
    assert float(conditional_value(JOINT, TRUTH, half)) == pytest.approx(-LOG4)
    apart = table([1.0, 0.0], [1.0, 0.0]) / 2
    sure = table([0.9, 0.1], [0.9, 0.1])
    value = conditional_value(apart, table([0.0, 1.0], [0.0, 1.0]), sure)
    assert float(value) == pytest.approx(2 * math.log(0.9))


@pytest.mark.parametrize("seed", range(3))
def test_optimal_conditional_discriminator(seed: int) -> None:
    """(3.2): no other D reaches a higher value; by hand: p = 1/4, fake = 1/12 gives 3/4."""
    joint, model = random_tables(seed)
    best = optimal_conditional_discriminator(joint, model)
    value = conditional_value(joint, model, best)
    for step in (-1e-3, 1e-3):
        assert conditional_value(joint, model, best + step) < value
    by_hand = optimal_conditional_discriminator(table([0.25, 0.25], [0.25, 0.25]), table([1 / 6, 5 / 6], [0.5, 0.5]))
    assert float(by_hand[0, 0]) == pytest.approx(0.75) and float(by_hand[1, 0]) == pytest.approx(0.5)
    assert float(optimal_conditional_discriminator(JOINT, TRUTH)[0, 2]) == 0.5  # never real, never drawn


@pytest.mark.parametrize("seed", range(3))
def test_conditional_criterion(seed: int) -> None:
    """(3.3) is (3.1) at (3.2); -log 4 for the truth; the swapped classes are seen: JSD = log(2) / 2 by hand."""
    joint, model = random_tables(seed)
    at_best = conditional_value(joint, model, optimal_conditional_discriminator(joint, model))
    torch.testing.assert_close(conditional_criterion(joint, model), at_best)
    assert float(conditional_criterion(JOINT, TRUTH)) == pytest.approx(-LOG4)
    # Per class half of the mass lies apart (log 2 each) and half agrees.
    assert float(conditional_criterion(JOINT, SWAPPED)) == pytest.approx(-LOG4 + 2 * 0.5 * LOG2)


@pytest.mark.parametrize("seed", range(3))
def test_blind_criterion(seed: int) -> None:
    """(3.4): swapped classes look perfect; blindness never sees more than (3.3)."""
    assert float(blind_criterion(JOINT, SWAPPED)) == pytest.approx(-LOG4)
    joint, model = random_tables(seed)
    assert blind_criterion(joint, model) < conditional_criterion(joint, model)


def test_source_log_likelihood() -> None:
    """(3.5): zero logits guess: -2 log 2; a logit of log 3 for real and -log 3 for fake is right at 3/4."""
    zero, sure = torch.zeros(4), torch.full((4,), math.log(3))
    assert float(source_log_likelihood(zero, zero)) == pytest.approx(-2 * LOG2)
    assert float(source_log_likelihood(sure, -sure)) == pytest.approx(2 * math.log(0.75))


def test_class_log_likelihood() -> None:
    """(3.6): zero logits over K classes give -log K; odds of 3 to 1 give log(3/4)."""
    assert float(class_log_likelihood(torch.zeros(5, 10), torch.arange(5))) == pytest.approx(-math.log(10))
    logits = torch.tensor([[math.log(3), 0.0]])
    assert float(class_log_likelihood(logits, torch.tensor([0]))) == pytest.approx(math.log(0.75))


def test_acgan_criterion() -> None:
    """(3.8) by hand: the truth pays weight log(2)/2 for its ambiguous half; the swapped classes pay for ever."""
    assert float(acgan_criterion(JOINT, TRUTH, 0.0)) == pytest.approx(-LOG4)
    assert float(acgan_criterion(JOINT, TRUTH, 3.0)) == pytest.approx(-LOG4 + 3 * LOG2 / 2)
    assert float(acgan_criterion(JOINT, SWAPPED)) == math.inf
    # A picture that is never real counts as a coin toss.
    joint, model = table([0.5, 0.0], [0.5, 0.0]), table([0.0, 1.0], [0.0, 1.0])
    assert float(acgan_criterion(joint, model) - blind_criterion(joint, model)) == pytest.approx(LOG2)


@pytest.mark.parametrize(("weight", "known"), [(0.0, 0.5), (1.0, (5 - math.sqrt(17)) / 4), (40.0, 0.0)])
def test_ambiguous_share(weight: float, known: float) -> None:
    """(3.9) is where the slope of (3.8) vanishes, and 1/2, (5 - sqrt 17)/4 and 0 by hand."""
    assert ambiguous_share(weight) == pytest.approx(known, abs=1e-9)
    if weight < 10:
        a = torch.tensor(ambiguous_share(weight), dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(acgan_criterion(JOINT, drawn(a), weight), a)
        assert float(slope) == pytest.approx(0, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 6))
def test_more_weight_draws_fewer_ambiguous_pictures(weight: float) -> None:
    assert ambiguous_share(weight + 0.1) < ambiguous_share(weight) < 0.5


def test_latent_loss() -> None:
    """(3.10): per dimension; an encoder that answers 0 pays the variance of z, which is 1."""
    z = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    assert float(latent_loss(torch.zeros_like(z), z)) == pytest.approx(1, abs=0.03)
    assert float(latent_loss(z + 2, z)) == pytest.approx(4, rel=1e-5)


def test_image_loss() -> None:
    """(3.13): the mean over all values, so black for white costs 4 at any size."""
    assert float(image_loss(torch.full((2, 3, 8, 8), -1.0), torch.ones(2, 3, 8, 8))) == 4


@pytest.mark.parametrize("length", [0.0, 1.0, 2.0, 5.0])
def test_linear_inversion_error(length: float) -> None:
    """(3.11) against least squares on samples: regress z on x = z ± offset / 2 with an intercept."""
    rng = torch.Generator().manual_seed(1)
    count, offset = 40_000, torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64) * length
    z = torch.randn(count, 3, generator=rng, dtype=torch.float64)
    side = torch.randint(2, (count, 1), generator=rng).double() - 0.5
    x = torch.cat([z + side * offset, torch.ones(count, 1, dtype=torch.float64)], dim=1)
    fitted = x @ torch.linalg.lstsq(x, z).solution
    measured = float((fitted - z).square().sum(dim=1).mean())
    assert float(linear_inversion_error(offset)) == pytest.approx(measured, abs=0.01)


@pytest.mark.parametrize(
    ("joint", "model", "complaint"),
    [
        (JOINT, TRUTH[:1], "must have shape"),
        (JOINT, TRUTH / 2, "must sum to 1"),
        (JOINT, table([1.5, -0.5, 0.0], [0.0, 0.5, 0.5]), "negative"),
    ],
)
def test_bad_tables_speak(joint: Tensor, model: Tensor, complaint: str) -> None:
    with pytest.raises(TableError, match=complaint):
        conditional_criterion(joint, model)


def test_losses_keep_float64_and_lift_half_precision() -> None:
    double, half = torch.full((2, 3), 1 / 3, dtype=torch.float64), torch.full((2, 3), 1 / 3, dtype=torch.bfloat16)
    classes = torch.tensor([0, 1])
    for x, kept in ((double, torch.float64), (half, torch.float32)):
        losses = source_log_likelihood(x, x), class_log_likelihood(x, classes), latent_loss(x, x), image_loss(x, x)
        assert [loss.dtype for loss in losses] == [kept] * 4
    zeros = torch.zeros(2, 3, dtype=torch.float64)
    assert float(latent_loss(double, zeros)) == float(image_loss(double, zeros)) == pytest.approx(1 / 9, rel=1e-15)
