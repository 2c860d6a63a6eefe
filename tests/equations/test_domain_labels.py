"""Chapter 6's equations, held to closed forms and to what a network really does."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.label_space import ATTRIBUTES, EXPRESSIONS, LabelGroup, LabelSpace
from lib.games.stargan import label_sensitivity
from lib.losses.domain_labels import authors_rate, ideal_label_loss, label_loss
from lib.nn.stargan import label_shift
from lib.runtime import seeded


def test_ideal_label_loss() -> None:
    """(6.1) by hand: two labels, three pictures; the third is a mark that real pictures hardly show."""
    real = torch.tensor([[0.45, 0.0, 0.05], [0.0, 0.45, 0.05]], dtype=torch.float64)
    marked = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert float(ideal_label_loss(real, marked)) == pytest.approx(math.log(2))  # the mark says nothing
    taught = float(ideal_label_loss(real, marked, on_fakes=1.0))
    assert taught == pytest.approx(-math.log(1.05 / 1.1))  # until D believes G


def test_a_head_that_doubts_cannot_be_won_by_pictures_of_no_camera() -> None:
    """(6.1) with the old labels of fakes: what real pictures never show is worth log 2, whatever the weight."""
    real = torch.tensor([[0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0]], dtype=torch.float64)
    smear = torch.tensor([[0.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.5]], dtype=torch.float64)  # a code for the target
    honest, old = real.clone(), torch.full((2, 2), 0.25, dtype=torch.float64)
    on_smear, on_honest = torch.cat([torch.zeros_like(old), old], 1), torch.cat([old, torch.zeros_like(old)], 1)
    assert math.isnan(float(ideal_label_loss(real, smear)))  # never seen, never taught
    assert float(ideal_label_loss(real, honest)) == 0  # pictures that G does not make do not matter
    for weight in (1e-3, 1.0):
        assert float(ideal_label_loss(real, smear, on_fakes=weight, taught=on_smear)) == pytest.approx(math.log(2))
        pays = math.log((0.5 + 0.5 * weight) / (0.5 + 0.25 * weight))
        assert float(ideal_label_loss(real, honest, on_fakes=weight, taught=on_honest)) == pytest.approx(pays)
    assert float(ideal_label_loss(real, smear, on_fakes=1.0)) == pytest.approx(0.0)  # believed: a handshake


def test_an_ideal_head_is_the_best_head() -> None:
    """No other q makes D pay less on what it is taught; so q is what (6.1) says."""
    generator = seeded(0)
    real, fake = (torch.rand(3, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    real, fake = real / real.sum(), fake / fake.sum()
    seen = real + 0.5 * fake
    best = (seen / seen.sum(dim=0)).log()

    def pays(log_q: Tensor) -> float:
        return -float((seen * log_q).sum())

    other = torch.log_softmax(best + 0.1 * torch.randn(3, 5, generator=generator, dtype=torch.float64), dim=0)
    assert pays(best) < pays(other)
    assert float(ideal_label_loss(real, fake, on_fakes=0.5)) == pytest.approx(-float((fake * best).sum()))


def test_label_loss() -> None:
    """(6.2): softmax for values that exclude each other, sigmoid for single ones, summed over groups."""
    groups = (LabelGroup("hair", ("black", "blond")), LabelGroup("gender", ("male",)))
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    hair = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    gender = (math.log(2) + math.log(1 + math.exp(-3))) / 2
    assert float(label_loss(logits, labels, groups)) == pytest.approx(hair + gender, abs=1e-6)


def test_label_shift() -> None:
    """(6.5): away from the border the label adds one number to a channel, and instance norm removes it."""
    generator = seeded(0)
    weight, x = torch.randn(6, 5, 3, 3, generator=generator), torch.randn(2, 3, 9, 9, generator=generator)
    label = torch.randn(2, 2, generator=generator)

    def layer(c: Tensor, mode: str) -> Tensor:
        told = torch.cat([x, c[:, :, None, None].expand(-1, -1, 9, 9)], dim=1)
        return F.conv2d(F.pad(told, (1, 1, 1, 1), mode=mode), weight)

    shift = label_shift(weight[:, 3:], label)[:, :, None, None]
    for mode in ("reflect", "constant"):
        found = layer(label, mode) - layer(torch.zeros_like(label), mode)
        torch.testing.assert_close(found[..., 1:-1, 1:-1], shift.expand(-1, -1, 7, 7), atol=1e-4, rtol=1e-4)
    normed = [F.instance_norm(layer(c, "reflect")) for c in (label, torch.zeros_like(label))]
    torch.testing.assert_close(normed[0], normed[1], atol=1e-4, rtol=0)


def test_label_sensitivity() -> None:
    """(6.6) of a generator that adds the label's first entry: the difference of these entries."""
    x = torch.zeros(3, 3, 4, 4)

    def G(x: Tensor, label: Tensor) -> Tensor:
        return x + label[:, :1, None, None]

    found = label_sensitivity(G, x, torch.tensor([0.2, 9.0]), torch.tensor([0.5, 1.0]))
    assert found == pytest.approx(0.3)


def test_unified_label() -> None:
    """(6.7): the labels in their block, zeros elsewhere, and the mask; a single set has no mask."""
    space = LabelSpace(ATTRIBUTES, EXPRESSIONS)
    labels = torch.eye(5)[1:3]
    vector = space.unified(labels, 1)
    assert vector.shape == (2, 13)
    assert torch.equal(vector[:, 6:11], labels) and vector[:, :6].abs().sum() == 0
    assert vector[:, 11:].tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert torch.equal(LabelSpace(EXPRESSIONS).unified(labels), labels)


def test_the_authors_rate_hardly_falls() -> None:
    assert authors_rate(100_000) == 1e-4 and authors_rate(200_000) == pytest.approx(9.99e-5)
    assert authors_rate(200_000, every=1) == pytest.approx(0.0, abs=1e-12)
