"""The only training loop of the book: play rounds, and step the acting player after each turn."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.autograd.graph import increment_version
from torch.optim import Optimizer

from lib.games.game import Game, GameError, Turn
from lib.training.checkpoint import load_training
from lib.training.distributed import agree, average_gradients, rank_path, same_start
from lib.training.ema import EMA
from lib.training.guard import Keeper, NonFiniteLoss, StopRequest
from lib.training.history import History
from lib.training.optim import OptimConfig
from lib.training.state import Training
from lib.training.streams import Cycle, Repeat, Stream

__all__ = [
    "Cycle",
    "NonFiniteLoss",
    "OptimConfig",
    "Repeat",
    "Report",
    "StaleGraph",
    "Stream",
    "play",
    "play_round",
    "turns_of",
]


# Autograd's two complaints about a graph that outlived an optimiser step.
_STALE = ("modified by an inplace operation", "backward through the graph a second time")


class StaleGraph(RuntimeError):
    """A turn needs a graph that an earlier turn has used up or made out of date."""


class Autocast(Protocol):
    """What `play` needs of a runtime: `lib.runtime.Runtime` has it."""

    def autocast(self) -> AbstractContextManager[Any]:
        """A context in which networks run in the runtime's dtype."""
        ...


@dataclass(frozen=True)
class Report:
    """What a callback is told after a round."""

    game: Game
    history: History
    ema: EMA | None
    rounds: int | None  # the rounds asked for; None where only time limits the training
    progress: float  # in [0, 1]
    finished: bool = False  # True in the last report of a training, however it ended

    @property
    def seconds(self) -> float:
        """Training time so far, over all sessions."""
        return self.history.seconds

    @property
    def rounds_done(self) -> int:
        """Complete rounds so far."""
        return self.game.rounds_done

    @property
    def seconds_left(self) -> float | None:
        """The time to the end at the present pace; None before the first round is done."""
        return self.seconds * (1 - self.progress) / self.progress if self.progress > 0 else None


Callback = Callable[[Report], object]


def play_round(
    game: Game,
    batch: Mapping[str, Any],
    optimisers: Mapping[str, Optimizer],
    *,
    runtime: Autocast | None = None,
    clip: float | None = None,
) -> Iterator[Turn]:
    """Play one round and yield each turn after its player has been stepped.

    Gradients flow to the acting player's parameters only (``inputs=``); none is computed for the others.
    """
    for turn in turns_of(game, batch, runtime):
        optimiser = optimisers[turn.player]
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        optimiser.zero_grad(set_to_none=True)
        _backward(turn, parameters)
        average_gradients(parameters)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimiser.step()
        # Fused Adam changes weights without telling autograd, which could then not see a stale graph.
        increment_version(parameters)
        yield turn


def play(
    game: Game,
    stream: Stream,
    rounds: int | None,
    *,
    optimisers: Mapping[str, Optimizer] | OptimConfig,
    schedule: Callable[[float], float] | None = None,
    ema: EMA | None = None,
    runtime: Autocast | None = None,
    clip: float | None = None,
    budget_s: float | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_every_s: float = 30.0,
    resume: bool = False,
    history: History | None = None,
    on_round: Callback | Sequence[Callback] = (),
    guard_every: int = 25,
) -> History:
    """Play until `game.rounds_done` reaches `rounds` or the time is up, whichever comes first.

    Args:
        schedule: progress in [0, 1] -> factor on every learning rate.
        ema: its average moves after each round.
        runtime: the device's autocast; None plays in the dtype of the weights.
        clip: the largest gradient norm of a turn; None does not clip.
        budget_s: seconds of training over all sessions; progress is then the larger of the two fractions.
        checkpoint: where to save, every `checkpoint_every_s` seconds and at the end.
        resume: go on from `checkpoint` where it exists; the result equals an uninterrupted training.
        history: continue this one (default: a new one).
        on_round: called with a `Report` after each round; a ``finish`` method gets the last one. A ``follow``
            method takes the game and returns a context that lasts as long as the training; what the context yields
            is called with each turn, after its player has been stepped and while its gradients are still there.
        guard_every: rounds between two checks for NaN and infinity.

    Returns:
        The history. An interrupt ends the training after the round and is not raised: see
        `History.interrupted`.

    Raises:
        NonFiniteLoss: a loss or weight became NaN or infinite; the last good state is restored first.
        StaleGraph: a turn reuses a graph through a network that an earlier turn has changed.
        GameError: the players and their parameters do not fit.
        CheckpointError: the checkpoint cannot be read or written.
    """
    history = History() if history is None else history
    training = Training(game, _checked(game, optimisers), stream, ema, history)
    same_start(game)
    if resume and checkpoint is not None and rank_path(checkpoint).exists():
        load_training(rank_path(checkpoint), training)
    game.train()
    keeper = Keeper(training, history, checkpoint, checkpoint_every_s, guard_every)
    clock = _Clock(game, history, rounds, budget_s)
    stop = StopRequest(on_cut=keeper.rewind)
    report = partial(Report, game, history, ema, rounds)
    try:
        with stop, ExitStack() as contexts:
            followers = _followers(on_round, game, contexts)
            while clock.progress < 1 and not agree(stop.requested):
                game.progress = clock.progress
                _set_rates(training.optimisers, schedule, game.progress)
                batch = stream.draw(game.progress)
                for turn in play_round(game, batch, training.optimisers, runtime=runtime, clip=clip):
                    history.record(game.rounds_done, turn)
                    for tell in followers:
                        tell(turn)
                if ema is not None:
                    ema.update()
                game.rounds_done += 1
                clock.tick()
                keeper.after_round()
                _tell(on_round, report(clock.progress), stop)
        keeper.save()
    finally:
        game.progress, history.interrupted = clock.progress, stop.requested
        _tell(on_round, report(clock.progress, finished=True), stop)
    return history


def _checked(game: Game, optimisers: Mapping[str, Optimizer] | OptimConfig) -> dict[str, Optimizer]:
    """Player -> optimiser, after checking that each steps all and only the parameters of its player."""
    game.check_players()
    built = optimisers.build(game) if isinstance(optimisers, OptimConfig) else dict(optimisers)
    if set(built) != set(game.players):
        raise GameError(f"The optimisers are for {sorted(built)}, but the players are {sorted(game.players)}.")
    for player, optimiser in built.items():
        stepped = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
        if stepped != {id(parameter) for parameter in game.parameters_of(player)}:
            raise GameError(
                f"The optimiser of player {player!r} must hold exactly game.parameters_of({player!r}); "
                "build it from them, after moving the game to its device."
            )
    return built


def turns_of(game: Game, batch: Mapping[str, Any], runtime: Autocast | None) -> Iterator[Turn]:
    """The turns of a round, computed under autocast; what the caller does between two turns is not."""
    turns = game.round(batch)
    if not isinstance(turns, Iterator):
        raise GameError(f"{type(game).__name__}.round must yield its turns, not return a {type(turns).__name__}.")
    while True:
        with nullcontext() if runtime is None else runtime.autocast():
            turn = next(turns, None)
        if turn is None:
            return
        if not isinstance(turn, Turn) or turn.player not in game.players:
            raise GameError(f"{type(game).__name__}.round yielded {turn!r}; yield a Turn of one of {[*game.players]}.")
        yield turn


def _backward(turn: Turn, parameters: list[torch.nn.Parameter]) -> None:
    """Gradients of the turn's loss at `parameters`; autograd's two hard messages said in the book's terms."""
    loss = turn.loss
    if not loss.requires_grad:
        raise GameError(
            f"The loss of player {turn.player!r} does not depend on any parameter; "
            "look for a .detach() or a no_grad() too many."
        )
    try:
        loss.backward(inputs=parameters)
    except RuntimeError as error:
        if any(sign in str(error) for sign in _STALE):
            raise StaleGraph(
                f"The loss of player {turn.player!r} runs through a graph that an earlier turn has used up "
                "or whose weights it has changed; compute that forward pass again after the yield."
            ) from error
        raise


def _set_rates(optimisers: Mapping[str, Optimizer], schedule: Callable[[float], float] | None, progress: float) -> None:
    if schedule is None:
        return
    factor = schedule(progress)
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


def _followers(
    on_round: Callback | Sequence[Callback], game: Game, contexts: ExitStack
) -> list[Callable[[Turn], object]]:  # fmt: skip
    """What is called with each turn, for the callbacks that ask for it; `contexts` ends it."""
    wishes = [getattr(callback, "follow", None) for callback in _callbacks(on_round)]
    return [contexts.enter_context(follow(game)) for follow in wishes if follow is not None]


def _callbacks(on_round: Callback | Sequence[Callback]) -> Sequence[Callback]:
    return [on_round] if callable(on_round) else on_round


def _tell(on_round: Callback | Sequence[Callback], report: Report, stop: StopRequest) -> None:
    """Call every callback, or at the end its ``finish``; an interrupt in one only asks for the end."""
    for callback in _callbacks(on_round):
        told = getattr(callback, "finish", None) if report.finished else callback
        try:
            if told is not None:
                told(report)
        except KeyboardInterrupt:
            stop.requested = True


class _Clock:
    """How far the training is: the larger of the fraction of its rounds and the fraction of its time."""

    def __init__(self, game: Game, history: History, rounds: int | None, budget_s: float | None) -> None:
        if rounds is None and budget_s is None:
            raise ValueError("A training needs an end: give rounds, budget_s or both.")
        self.game, self.history, self.rounds, self.budget_s = game, history, rounds, budget_s
        self._started = time.monotonic() - history.seconds
        self.progress = self._fraction()
        if self.progress >= 1 and rounds != 0:
            warnings.warn(
                f"Nothing is left to play: the game has {game.rounds_done} rounds behind it and {rounds} "
                "were asked for. Ask for more, or build a new game.",
                stacklevel=3,
            )

    def tick(self) -> None:
        """Bring `progress` and the history's `seconds` up to date; once per round."""
        self.history.seconds = time.monotonic() - self._started
        self.progress = self._fraction()

    def _fraction(self) -> float:
        played = 0.0 if self.rounds is None else self.game.rounds_done / max(self.rounds, 1)
        timed = 0.0 if self.budget_s is None else agree(self.history.seconds) / self.budget_s
        # No rounds asked for: over before it begins.
        return 1.0 if self.rounds == 0 else min(1.0, max(played, timed))
