"""Cycle and identity losses by hand, and what they determine where everything can be counted."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lib.data.label_space import ATTRIBUTES, EXPRESSIONS, LabelError, LabelGroup, LabelSpace
from lib.data.worlds.facades_scene import LABEL
from lib.data.worlds.faces import Faces
from lib.games.cyclegan import CycleGAN, CycleGANConfig
from lib.losses.cycle import cycle_loss, identity_loss
from lib.losses.domain_labels import label_loss, wrong_labels
from lib.losses.permutations import (
    GAMES,
    StatesError,
    all_maps,
    best_pairs,
    count_best,
    pair_losses,
    wrong_marginal,
)
from lib.metrics.night import lamp_agreement
from lib.nn.image_buffer import BufferSizeError, ImageBuffer, mean_age
from lib.runtime import seeded

# ------------------------------------------------------------------------------------------- cycle, identity


def test_the_losses_are_mean_absolute_differences() -> None:
    """|(0, 2) - (1, -1)| is 1 and 3; the mean is 2, whatever the size."""
    x, rebuilt = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, -1.0]])
    assert float(cycle_loss(rebuilt, x)) == float(identity_loss(rebuilt, x)) == 2.0
    assert float(cycle_loss(rebuilt.repeat(3, 5), x.repeat(3, 5))) == 2.0
    assert cycle_loss(rebuilt.bfloat16(), x).dtype is torch.float32


def test_a_flipped_sign_fools_everything_but_the_identity_term() -> None:
    """Symmetric data, G(x) = -x, F(y) = -y: the right distribution and a perfect cycle, but |G(y) - y| = 2 |y|."""
    y = torch.randn(2000, generator=seeded(0))
    data = torch.cat([y, -y])
    there = -data
    torch.testing.assert_close(there.sort().values, data.sort().values)  # what any D sees
    assert float(cycle_loss(-there, data)) == 0
    assert float(identity_loss(there, data)) == pytest.approx(2 * float(data.abs().mean()))


class Scale(nn.Module):
    """x -> factor * x: a translator whose every term can be computed by hand; as D, its mean is the logit."""

    def __init__(self, factor: float, *, pooled: bool = False) -> None:
        super().__init__()
        self.factor, self.pooled = nn.Parameter(torch.tensor(factor)), pooled

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * (x.mean(dim=(1, 2, 3)) if self.pooled else x)


def test_the_objective_of_both_players() -> None:
    """x = 1/2 and y = 1 everywhere, G doubles, F takes a quarter, D_X and D_Y say 1 and 2 times the mean.

    So G(x) = 1, F(y) = 1/4, F(G(x)) = 1/4, G(F(y)) = 1/2, G(y) = 2, F(x) = 1/8.
    """
    D_X, D_Y = Scale(1.0, pooled=True), Scale(2.0, pooled=True)
    game = CycleGAN(Scale(2.0), Scale(0.25), D_X, D_Y, CycleGANConfig(buffer=0, identity=5.0))
    batch = {"A": torch.full((2, 3, 4, 4), 0.5), "B": torch.ones(2, 3, 4, 4)}
    turns = {turn.player: {name: float(term) for name, term in turn.terms.items()} for turn in game.round(batch)}
    assert turns["D"] == pytest.approx({
        "real_x": 0.5 * (0.5 - 1) ** 2, "fake_x": 0.5 * 0.25**2, "real_y": 0.5 * (2 - 1) ** 2, "fake_y": 0.5 * 2**2,
    })  # fmt: skip
    assert turns["G"] == pytest.approx({
        "gan_x": (0.25 - 1) ** 2, "gan_y": (2 - 1) ** 2, "forward": 10 * 0.25, "backward": 10 * 0.5,
        "identity_x": 5 * (0.5 - 0.125), "identity_y": 5 * 1.0,
    })  # fmt: skip
    assert list(game.d_terms(D_X, batch["A"], batch["A"], "x")) == ["real_x", "fake_x"]
    assert game.fooling_terms(batch["A"], batch["B"]).keys() == {"gan_x", "gan_y"}


def test_mean_age_of_a_stored_fake() -> None:
    """Against a simulation: the waiting time is geometric with the chance swap / capacity in each turn."""
    store = ImageBuffer(5, (1,), generator=seeded(0), swap=0.25)
    ages = torch.tensor([step - float(store(torch.tensor([[float(step)]]))) for step in range(3000)])[300:]
    assert float(ages[ages > 0].mean()) == pytest.approx(mean_age(5, 0.25), rel=0.12)
    assert mean_age(50) == 100
    with pytest.raises(BufferSizeError, match="capacity from 1"):
        mean_age(0)


def test_lamp_agreement_is_a_correlation_over_windows() -> None:
    """Two windows and a wall: a brighter night and a brighter wall change nothing, other lamps do."""
    labels = torch.tensor([[[LABEL["window"], LABEL["window"], LABEL["wall"], LABEL["window"]]]])
    one = torch.tensor([0.1, 0.5, 0.9, 0.3]).expand(1, 3, 1, 4)
    other = torch.tensor([0.3, 0.5, -0.9, 0.1]).expand(1, 3, 1, 4)
    a, b = torch.tensor([-0.2, 0.2, 0.0]), torch.tensor([0.0, 0.2, -0.2])
    expected = float((a * b).sum() / (a.norm() * b.norm()))
    assert lamp_agreement(one, other, labels) == pytest.approx(expected, abs=1e-5)
    assert lamp_agreement(one, 0.5 * one + 0.2, labels) == pytest.approx(1, abs=1e-5)


# ---------------------------------------------------------------------------------------------- permutations


def test_all_256_tables_of_four_states() -> None:
    maps = all_maps(4, 4)
    assert maps.shape == (256, 4) and len(torch.unique(maps, dim=0)) == 256
    assert all_maps(2, 3).tolist() == [[a, b] for a in range(3) for b in range(3)]


def test_the_adversarial_term_is_least_at_the_24_permutations() -> None:
    maps = all_maps(4, 4)
    best = {tuple(row) for row in maps[wrong_marginal(maps, 4) == 0].tolist()}
    assert best == set(permutations(range(4))) and len(best) == 24
    constant = torch.zeros(1, 4, dtype=torch.int64)
    assert wrong_marginal(constant, 4).tolist() == [0.75]  # all the mass on one of four states


def test_wrong_marginal_is_total_variation() -> None:
    """Against the sum over states, for every table from 3 states to 4."""
    maps = all_maps(3, 4)
    for table, value in zip(maps.tolist(), wrong_marginal(maps, 4).tolist(), strict=True):
        assert value == pytest.approx(sum(abs(table.count(y) / 3 - 1 / 4) for y in range(4)) / 2)


def test_how_many_pairs_each_game_cannot_tell_apart() -> None:
    """Of 65 536 pairs. Only "pairs" finds the truth and nothing else."""
    losses = pair_losses()
    assert all(loss.shape == (256, 256) for loss in losses.values())
    assert count_best(losses) == {
        "GAN alone": (24 * 24, True),
        "forward cycle alone": (24, True),
        "backward cycle alone": (24, True),
        "both cycles alone": (24, True),
        "GAN + forward cycle": (24, True),
        "GAN + backward cycle": (24, True),
        "CycleGAN": (24, True),
        "CycleGAN + identity": (1, False),  # it chooses "change nothing", which is not the truth here
        "pairs": (1, True),
    }


def test_in_every_best_pair_of_cyclegan_one_table_inverts_the_other() -> None:
    maps, pairs = all_maps(4, 4), best_pairs(GAMES["CycleGAN"], pair_losses())
    G, F = maps[pairs[:, 0]], maps[pairs[:, 1]]
    assert torch.equal(F.gather(1, G), torch.arange(4).expand(24, 4))
    assert {tuple(row) for row in G.tolist()} == set(permutations(range(4)))


def test_with_unequal_domains_the_directions_differ() -> None:
    """From 2 states to 3 and back only the forward cycle can be closed: 6 injective G, and 2 F for each."""
    losses = pair_losses(2, 3)
    assert set(losses) == {"gan", "forward", "backward"}
    assert float(losses["forward"].min()) == 0 and len(best_pairs(("forward",), losses)) == 12
    assert float(losses["backward"].min()) == pytest.approx(1 / 3)
    assert float(losses["gan"].min()) > 0  # two states cannot be drawn like three


@given(st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_counts_are_factorials_for_any_truth(n: int, random: object) -> None:
    partner = list(range(n))
    random.shuffle(partner)  # type: ignore[attr-defined]
    counts = count_best(pair_losses(n, n, partner))
    assert counts["CycleGAN"] == (math.factorial(n), True) and counts["GAN alone"][0] == math.factorial(n) ** 2
    assert counts["pairs"] == (1, True)
    assert counts["CycleGAN + identity"] == (1, partner == sorted(partner))


def test_too_many_states_are_refused() -> None:
    with pytest.raises(StatesError, match="at most 4"):
        pair_losses(5, 5)
    with pytest.raises(StatesError, match="use fewer"):
        all_maps(9, 9)
    with pytest.raises(StatesError, match="no permutation"):
        pair_losses(3, 3, (0, 0, 1))


# ---------------------------------------------------------------------------------------------- class losses


def test_the_class_loss_by_hand() -> None:
    """Zero logits: log K for a group of K values, log 2 for a single value; groups add up."""
    groups = (LabelGroup("hair", ("black", "blond", "grey")), LabelGroup("gender", ("male",)))
    labels = torch.tensor([[1.0, 0, 0, 1], [0, 0, 1, 0]])
    assert float(label_loss(torch.zeros(2, 4), labels, groups)) == pytest.approx(math.log(3) + math.log(2))
    sure = torch.tensor([[9.0, -9, -9, 9], [-9, -9, 9, -9]])
    assert float(label_loss(sure, labels, groups)) < 0.01
    assert wrong_labels(sure, labels, groups) == {"hair": 0.0, "gender": 0.0}
    assert wrong_labels(sure.flip(0), labels, groups) == {"hair": 1.0, "gender": 1.0}


def naive_loss(logits: Tensor, labels: Tensor) -> float:
    """Hair as a softmax, gender and age as sigmoids, one picture after the other."""
    total = 0.0
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        total += math.log(sum(math.exp(value) for value in row[:4])) - row[label[:4].index(1.0)]
        total += sum(math.log1p(math.exp(-a if y else a)) for a, y in zip(row[4:], label[4:], strict=True))
    return total / len(labels)


def test_the_class_loss_equals_the_naive_one() -> None:
    world, space = Faces(), LabelSpace(ATTRIBUTES)
    labels = space.encode(world, world.sample(16, generator=seeded(0)))
    logits = torch.randn(16, 6, generator=seeded(1))
    assert float(label_loss(logits, labels, ATTRIBUTES)) == pytest.approx(naive_loss(logits, labels), rel=1e-5)


# -------------------------------------------------------------------------------------------- the mask vector


def test_the_unified_label_keeps_unknown_labels_at_zero() -> None:
    """[attributes 6 | expressions 5 | mask 2]; what the other data set knows is 0."""
    space = LabelSpace(ATTRIBUTES, EXPRESSIONS)
    assert (space.classified, space.width) == (11, 13)
    first = space.unified(torch.ones(2, 6), 0)
    second = space.unified(torch.ones(2, 5), 1)
    assert first.tolist() == [[1.0] * 6 + [0.0] * 5 + [1.0, 0.0]] * 2
    assert second.tolist() == [[0.0] * 6 + [1.0] * 5 + [0.0, 1.0]] * 2
    assert LabelSpace(ATTRIBUTES).width == 6  # one data set needs no mask
    assert space.names[:2] == ("hair black", "hair blond") and len(space.names) == space.classified


def test_the_gradient_of_unknown_logits_is_exactly_zero() -> None:
    space = LabelSpace(ATTRIBUTES, EXPRESSIONS)
    logits = torch.randn(3, space.classified, generator=seeded(0)).requires_grad_()
    label_loss(logits[:, space.block(1)], torch.eye(5)[:3], EXPRESSIONS).backward()
    assert logits.grad is not None
    assert logits.grad[:, :6].abs().max() == 0 and logits.grad[:, 6:].abs().min() > 0


def test_labels_are_read_from_the_world() -> None:
    world, space = Faces(), LabelSpace(ATTRIBUTES, EXPRESSIONS)
    people = world.sample(3, generator=seeded(0))
    people = world.changed(people, hair="brown", gender="male", age="old", expression="sad")
    assert space.encode(world, people, 0).tolist() == [[0, 0, 1, 0, 1, 0]] * 3
    assert space.encode(world, people, 1).tolist() == [[0, 0, 1, 0, 0]] * 3


def test_a_wish_changes_its_group_only() -> None:
    space = LabelSpace(ATTRIBUTES)
    labels = torch.tensor([[0.0, 0, 1, 0, 1, 1]])
    assert space.asked(labels, hair="blond").tolist() == [[0, 1, 0, 0, 1, 1]]
    assert space.asked(labels, gender="not male", age="young").tolist() == [[0, 0, 1, 0, 0, 1]]
    with pytest.raises(LabelError, match="no label hair 'green'"):
        space.asked(labels, hair="green")


def test_wrong_labels_are_refused() -> None:
    space = LabelSpace(ATTRIBUTES, EXPRESSIONS)
    with pytest.raises(LabelError, match="has 5 labels"):
        space.unified(torch.zeros(2, 6), 1)
    with pytest.raises(LabelError, match="no data set 2"):
        space.block(2)
    with pytest.raises(LabelError, match="at least one data set"):
        LabelSpace()
