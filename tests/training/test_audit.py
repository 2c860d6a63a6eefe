"""The audit finds dead terms and leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from lib.games.game import Game, Turn
from lib.training.audit import DeadTerm, assert_alive, audit_table, gradient_audit
from lib.training.play import OptimConfig
from tests.training.toys import Circle, CircleGan


class Quadratic(Game):
    """Terms with gradients known in advance."""

    players: ClassVar = {"A": ("a", "b"), "C": ("c",)}

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor([3.0, 4.0])), nn.Parameter(torch.tensor([1.0]))
        self.c = nn.Parameter(torch.tensor([1.0]))

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        shared = self.a.square().sum()
        yield Turn("A", square=shared / 2, both=12 * self.b.sum() + shared)
        yield Turn("C", cut=self.c.detach().sum(), zero=0 * self.c.sum(), fine=2 * self.c.sum())


def test_norms_are_exact_per_term_and_network() -> None:
    rows = gradient_audit(Quadratic(), {})
    assert [row.name for row in rows] == ["A/square", "A/both", "C/cut", "C/zero", "C/fine"]
    square, both, cut, zero, fine = rows
    assert square.norm == pytest.approx(5) and square.value == pytest.approx(12.5)
    assert square.by_network == pytest.approx({"a": 5.0, "b": 0.0}) and square.unreached == ("b",)
    assert both.by_network == pytest.approx({"a": 10.0, "b": 12.0})
    assert both.norm == pytest.approx((10**2 + 12**2) ** 0.5) and both.unreached == ()
    assert (cut.norm, cut.unreached, zero.norm, zero.unreached) == (0, ("c",), 0, ())
    assert fine.norm == 2 and fine.turn == 1


def test_norms_are_those_of_the_training_gradient() -> None:
    game, batch = CircleGan(), Circle().draw(0)
    rows = gradient_audit(game, batch)
    turn = next(iter(game.round(batch)))
    turn.terms["real"].backward(inputs=game.parameters_of("D"))
    norm = torch.stack([p.grad.norm() for p in game.parameters_of("D") if p.grad is not None]).norm()
    assert rows[0].norm == pytest.approx(norm.item(), rel=1e-5)


def test_dead_terms_are_named() -> None:
    game = Quadratic()
    with pytest.raises(DeadTerm, match="'C/cut' gives its player no gradient"):
        assert_alive(game, {})
    with pytest.raises(DeadTerm, match="'C/zero' gives its player no gradient"):
        assert_alive(game, {}, ["A/both", "C/zero"])
    with pytest.raises(DeadTerm, match="made no term 'A/gan'; it made A/square"):
        assert_alive(game, {}, ["A/gan"])
    assert len(assert_alive(game, {}, ["A/square", "C/fine"])) == 5
    with torch.no_grad():
        game.b.fill_(torch.nan)
        game.a.fill_(torch.inf)
    with pytest.raises(DeadTerm, match="'A/square' is not finite"):
        assert_alive(game, {}, ["A/square"])


def test_an_audit_leaves_no_trace() -> None:
    game, batch = CircleGan(), Circle().draw(0)
    OptimConfig().build(game)
    game.eval()
    game.D.train()
    state = {name: value.clone() for name, value in game.state_dict().items()}
    noise, world = game.noise.get_state(), torch.get_rng_state()
    first, second = assert_alive(game, batch), assert_alive(game, batch)
    assert first == second
    assert all(torch.equal(value, state[name]) for name, value in game.state_dict().items())
    assert torch.equal(game.noise.get_state(), noise) and torch.equal(torch.get_rng_state(), world)
    assert all(p.grad is None for p in game.parameters())
    assert game.D.training and not game.G.training


def test_terms_are_measured_on_the_same_draw() -> None:
    """Both terms of G see the fake that a single play of the round would draw."""
    game, batch = CircleGan(), Circle().draw(0)
    rows = {row.name: row.value for row in gradient_audit(game, batch)}
    turns = {turn.player: turn.terms for turn in game.round(batch)}
    assert rows["G/size"] == pytest.approx(turns["G"]["size"].item(), rel=1e-6)
    assert rows["D/fake"] == pytest.approx(turns["D"]["fake"].item(), rel=1e-6)


def test_the_table_is_markdown() -> None:
    lines = audit_table(gradient_audit(Quadratic(), {})).splitlines()
    assert len(lines) == 7 and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| 1 | A/square | 12.5 | 5 | 24 % | a 5, b 0 | 1 |")
