"""Does every loss term move the player that is meant to descend it? Measured before training, not hoped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lib.games.game import Game, Turn
from lib.training.play import Autocast, turns_of
from lib.training.state import undisturbed


class DeadTerm(AssertionError):
    """A loss term that gives its acting player no gradient, a broken one, or that the round never made."""


@dataclass(frozen=True)
class AuditRow:
    """One term of one turn and its gradient with respect to the acting player's parameters."""

    turn: int  # place of the turn in the round, from 0
    player: str
    term: str
    value: float  # the term, weighted
    norm: float  # Euclidean norm of its gradient over all parameters of the player
    by_network: Mapping[str, float]  # the same norm for each network that the player owns
    unreached: tuple[str, ...]  # parameters that the term does not depend on

    @property
    def name(self) -> str:
        """``player/term``, as in the history."""
        return f"{self.player}/{self.term}"


def gradient_audit(game: Game, batch: Mapping[str, Any], *, runtime: Autocast | None = None) -> list[AuditRow]:
    """Measure the gradient of every term of one round, without training.

    Terms of a turn share a graph, which one backward pass uses up. So the round is played again for the
    next term of each turn, from the same random state. Nobody is stepped: a later turn sees the weights as
    they are now. Weights, buffers, gradients, modes and random generators are as before afterwards.
    """
    game.check_players()
    rows: list[AuditRow] = []
    with undisturbed(game) as rewind:
        game.train()
        place = 0
        while found := list(_measure(game, batch, runtime, place)):
            rows += found
            place += 1
            rewind()
    # Stable, so the terms of a turn stay in their order.
    return sorted(rows, key=lambda row: row.turn)


def assert_alive(
    game: Game,
    batch: Mapping[str, Any],
    expected: Sequence[str] | None = None,
    *,
    runtime: Autocast | None = None,
) -> list[AuditRow]:
    """Raise `DeadTerm` unless each expected term has a finite gradient that is not zero; return the audit.

    Args:
        expected: names ``player/term`` that must be alive; None expects every term of the round.
    """
    rows = gradient_audit(game, batch, runtime=runtime)
    made = [row.name for row in rows]
    for name in expected or ():
        if name not in made:
            raise DeadTerm(f"The round made no term {name!r}; it made {', '.join(made)}.")
    for row in rows:
        if expected is not None and row.name not in expected:
            continue
        if not math.isfinite(row.norm):
            raise DeadTerm(f"The gradient of the term {row.name!r} is not finite; look for a root or log of 0.")
        if row.norm == 0:
            raise DeadTerm(
                f"The term {row.name!r} gives its player no gradient; look for a .detach(), a no_grad(), "
                "an argmax, a saturated output or a weight of 0."
            )
    return rows


def audit_table(rows: Sequence[AuditRow]) -> str:
    """The audit as a Markdown table; *share* is a term's part of the gradient norms of its turn."""
    lines = [
        "| turn | term | value | gradient norm | share | by network | weights not reached |",
        "|---:|---|---:|---:|---:|---|---:|",
    ]
    for row in rows:
        total = sum(other.norm for other in rows if other.turn == row.turn)
        share = f"{100 * row.norm / total:.0f} %" if total > 0 else "–"
        networks = ", ".join(f"{name} {norm:.2g}" for name, norm in row.by_network.items())
        lines.append(
            f"| {row.turn + 1} | {row.name} | {row.value:.4g} | {row.norm:.3g} | {share} | {networks} "
            f"| {len(row.unreached)} |"
        )
    return "\n".join(lines)


def _measure(game: Game, batch: Mapping[str, Any], runtime: Autocast | None, place: int) -> Iterator[AuditRow]:
    """The row of the term at `place` in each turn that has so many terms."""
    for index, turn in enumerate(turns_of(game, dict(batch), runtime)):
        if place < len(turn.terms):
            yield _row(game, index, turn, list(turn.terms)[place])


def _row(game: Game, index: int, turn: Turn, name: str) -> AuditRow:
    term = turn.terms[name]
    owned = {key: weight for key, weight in game.named_parameters_of(turn.player).items() if weight.requires_grad}
    gradients: Sequence[torch.Tensor | None] = [None] * len(owned)
    if term.requires_grad:
        gradients = torch.autograd.grad(term, list(owned.values()), allow_unused=True)
    squares = {
        key: 0.0 if gradient is None else float(gradient.double().square().sum())
        for key, gradient in zip(owned, gradients, strict=True)
    }
    by_network = {
        network: math.sqrt(sum(v for key, v in squares.items() if key == network or key.startswith(f"{network}.")))
        for network in game.players[turn.player]
    }
    return AuditRow(
        turn=index,
        player=turn.player,
        term=name,
        value=float(term.detach()),
        norm=math.sqrt(sum(squares.values())),
        by_network=by_network,
        unreached=tuple(key for key, gradient in zip(owned, gradients, strict=True) if gradient is None),
    )
