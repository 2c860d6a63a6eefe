"""What the trainings of readers and parsers share: the loop, the options of the commands and the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from lib.book.paths import repository_root
from lib.data.shuffled import Shuffled
from lib.data.worlds.world import Split, World, WorldStream, collect
from lib.games.game import Game
from lib.games.reading import one_cycle
from lib.runtime import Runtime, device_name, seeded
from lib.training.checkpoint import weights_card
from lib.training.history import History
from lib.training.optim import OptimConfig
from lib.training.play import Callback, play
from lib.training.streams import Stream

__all__ = ["Drawn", "JudgeCommand", "Schooling", "drawn_stream", "drawn_test", "judge_card", "school", "world_of"]

Judge = TypeVar("Judge", bound=nn.Module)
Drawn = Literal["street", "faces", "facades", "emoji"]
HELD_OUT = 512  # test pictures of a drawn world


@dataclass(frozen=True)
class Schooling:
    """How a judge is trained."""

    rounds: int  # optimiser steps
    lr: float = 4e-3  # peak learning rate of Adam
    seed: int = 0  # of the weights and the roughening
    budget_s: float | None = None  # seconds after which to stop; the schedule follows the clock
    on_round: Callback | Sequence[Callback] = ()  # callbacks of `lib.training.play.play`


def school(
    build: Callable[[], Judge],
    game: Callable[[Judge, torch.Generator], Game],
    stream: Stream,
    schooling: Schooling,
    runtime: Runtime | None = None,
) -> tuple[Judge, History]:
    """Build a judge from a seed, train it alone, and return it in evaluation mode with its history.

    Args:
        build: makes the untrained network.
        game: the one-player game around it; the generator is for the roughening.
        stream: of the train split.
        schooling: how long and how fast.
        runtime: device and dtype; default the fastest.
    """
    runtime = runtime or Runtime.detect()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(schooling.seed)
        judge = build()
    runtime.place(judge)
    history = play(
        game(judge, seeded(schooling.seed + 1)), stream, schooling.rounds,
        optimisers=OptimConfig(lr=schooling.lr, betas=(0.9, 0.99)), schedule=one_cycle, runtime=runtime,
        budget_s=schooling.budget_s, clip=5.0, on_round=schooling.on_round,
    )  # fmt: skip
    return judge.eval().requires_grad_(False), history


@dataclass(frozen=True, kw_only=True)
class JudgeCommand:
    """The options that both commands have."""

    rounds: int = 3000
    """optimiser steps"""
    pictures: int = 8192
    """training pictures of a drawn world, drawn once and shuffled"""
    batch: int = 32
    """pictures in a step"""
    seed: int = 0
    """seed of the training"""
    budget_s: float | None = None
    """stop after that many seconds of training; the schedule follows the clock"""
    device: str | None = None
    """cuda, mps or cpu; default: the fastest"""
    out: Path = repository_root() / "assets" / "checkpoints"
    """folder for the weights and their card"""


class HasDevice(Protocol):
    """A runtime, as far as a card needs it."""

    @property
    def device(self) -> torch.device:
        """Where the training ran."""
        ...


def judge_card(
    command: JudgeCommand, history: History, runtime: HasDevice, *, data: str, metrics: Mapping[str, float]
) -> dict[str, object]:
    """The facts about a trained judge."""
    config = {"rounds": len(history), "batch": command.batch}
    return weights_card(
        config=config, seed=command.seed, data=data, metrics=metrics,
        device=device_name(runtime.device), seconds=history.seconds,
    )  # fmt: skip


def world_of(name: Drawn) -> tuple[World, Mapping[str, int]]:
    """A drawn world, and the continuous parameters that its judges read: name -> length."""
    if name == "street":
        from lib.data.worlds.street_digits import StreetDigits

        return StreetDigits(), {}
    if name == "faces":
        from lib.data.worlds.faces import Faces

        return Faces(), {"gaze": 2, "pose": 2, "light": 2}
    if name == "emoji":
        from lib.data.emoji_faces import EmojiFaces

        return EmojiFaces(), {}
    from lib.data.worlds.facades import Facades

    return Facades(), {}


def drawn_stream(world: World, size: int, keys: Sequence[str], command: JudgeCommand, device: torch.device) -> Shuffled:
    """A finite part of the train split, shuffled: drawing costs more than learning, so each picture is used again."""
    data = _pictures(world, size, keys, command.pictures, "train", command.seed, device)
    return Shuffled(data, batch=command.batch, generator=seeded(command.seed))


def drawn_test(world: World, size: int, keys: Sequence[str], device: torch.device) -> dict[str, Tensor]:
    """`HELD_OUT` pictures of the test split, with their truth."""
    return _pictures(world, size, keys, HELD_OUT, "test", 0, device)


def _pictures(
    world: World, size: int, keys: Sequence[str], count: int, split: Split, seed: int, device: torch.device
) -> dict[str, Tensor]:
    drawn = collect(WorldStream(world, batch=64, size=size, split=split, seed=seed, device=device), count)
    return {key: drawn[key] for key in keys}
