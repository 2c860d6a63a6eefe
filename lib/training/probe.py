"""What a live board measures beside the losses: what D says of real and of fake, and how hard each player is pulled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from lib.games.game import Game, Turn
from lib.losses.verdicts import Side, Verdict, overhear
from lib.training.history import History, trailing_mean

__all__ = ["Probe", "Reading", "in_order"]

TURNS = 20
"""So many turns of the judge are pooled: with a batch of 16 and one logit each, a histogram of 320 values."""

_LEAST = 1e-8  # a gradient of 0 counts as this: a hinge that is satisfied pulls at nothing, and that shall be seen
_PER_CALL = 1024  # outputs kept of one call of a loss; more do not change a histogram

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """A state of the game between the judge (D) and the painter (G).

    Attributes:
        judge, painter: their names.
        real, fake: the judge's last outputs on real data and on fakes, (N,) and (M,).
        rounds: those in which both took turns, counted from 0, (R,).
        judge_norm, painter_norm: of their gradients, trailing geometric means, (R,).
    """

    judge: str
    painter: str
    real: Array
    fake: Array
    rounds: npt.NDArray[np.int64]
    judge_norm: Array
    painter_norm: Array

    @property
    def ratio(self) -> Array:
        """The painter's gradient norm over the judge's, (R,)."""
        ratio: Array = self.painter_norm / self.judge_norm
        return ratio

    @property
    def in_order(self) -> float:
        """`in_order` of the judge's outputs."""
        return in_order(self.real, self.fake)


def in_order(real: Array, fake: Array) -> float:
    """The share of pairs (real, fake) in which the real one has the larger output; a tie counts half.

    0.5 where D cannot tell them apart, 1 where it has won. It is the area under the ROC curve, and needs no zero
    point: it means the same for every adversarial loss.
    """
    ordered = np.sort(fake)
    below = np.searchsorted(ordered, real, "left") + np.searchsorted(ordered, real, "right")
    return float(below.mean() / (2 * len(fake)))


class Probe:
    """Follows the turns of a training. It keeps tensors on their device and reads them only in `read`.

    The judge is the player in one of whose turns an adversarial loss takes some outputs for real and others for
    fakes (`lib.losses.verdicts`). All of those count: of several scales, or of two discriminators. The painter is
    the last other player of the game. A game without a judge has no reading.
    """

    def __init__(self, game: Game) -> None:
        self._game = game
        self._parameters = {player: game.parameters_of(player) for player in game.players}
        self._norms = History()
        self._judge: str | None = None
        self._outputs: deque[list[Verdict]] = deque(maxlen=TURNS)

    @contextmanager
    def follow(self) -> Iterator[Callable[[Turn], None]]:
        """Listen to the losses until the context ends; call what it yields after each turn."""
        with overhear() as verdicts:

            def after(turn: Turn) -> None:
                self._measure(turn.player)
                self._keep(turn.player, verdicts)
                verdicts.clear()

            yield after

    def read(self, rounds_done: int) -> Reading | None:
        """What the rounds before `rounds_done` showed; None where there was no judge, or nothing finite."""
        painter = next((player for player in reversed(self._parameters) if player != self._judge), None)
        if self._judge is None or painter is None:
            return None
        self._norms.truncate(rounds_done)  # later rounds were undone
        real, fake = (self._said(side) for side in ("real", "fake"))
        (judged, judge_log), (painted, painter_log) = (self._log_norms(player) for player in (self._judge, painter))
        rounds, first, second = np.intersect1d(judged, painted, return_indices=True)
        if not len(rounds) or not len(real) or not len(fake):
            return None
        norms = (np.exp(trailing_mean(log[at])) for log, at in ((judge_log, first), (painter_log, second)))
        return Reading(self._judge, painter, real, fake, rounds, *norms)

    def _measure(self, player: str) -> None:
        gradients = [weight.grad for weight in self._parameters[player] if weight.grad is not None]
        if gradients:
            norm = get_total_norm(gradients, foreach=True)
            self._norms.record(self._game.rounds_done, Turn(player, gradient=norm))

    def _keep(self, player: str, verdicts: Sequence[Verdict]) -> None:
        if {side for side, _ in verdicts} == {"real", "fake"} and self._judge in (None, player):
            self._judge = player
            self._outputs.append([(side, _thinned(logits)) for side, logits in _first_words(verdicts)])

    def _said(self, side: Side) -> Array:
        """The finite outputs of the last turns on one side, (N,)."""
        kept = [logits.float() for turn in self._outputs for told, logits in turn if told == side]
        values: Array = torch.cat(kept).double().cpu().numpy() if kept else np.empty(0)
        return values[np.isfinite(values)]

    def _log_norms(self, player: str) -> tuple[npt.NDArray[np.int64], Array]:
        """Rounds, and the mean log norm of the player's turns in each, both (R,)."""
        name = f"{player}/gradient"
        if name not in self._norms.names:
            return np.empty(0, np.int64), np.empty(0)
        values, rounds = self._norms.values(name), self._norms.rounds(name)
        finite = np.isfinite(values)
        logs = np.log(np.maximum(values[finite], _LEAST))
        known, index, count = np.unique(rounds[finite], return_inverse=True, return_counts=True)
        return known, np.bincount(index, logs) / count


def _first_words(verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
    """Each output once, on the side where it was put first: label smoothing also pulls real ones a little down."""
    known: set[tuple[int, int]] = set()
    for side, logits in verdicts:
        place = logits.data_ptr(), logits.numel()
        if place not in known:
            known.add(place)
            yield side, logits


def _thinned(logits: Tensor) -> Tensor:
    """At most `_PER_CALL` of the outputs, evenly spread: (...) -> (N,)."""
    flat = logits.reshape(-1)
    # An odd stride does not stay in one column of a map, as its border would.
    return flat[:: -(-len(flat) // _PER_CALL) | 1]
