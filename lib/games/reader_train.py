"""``python -m lib train reader``: the readers that the book ships, one for each world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from lib.games.judge_train import (
    HELD_OUT,
    JudgeCommand,
    Schooling,
    drawn_stream,
    drawn_test,
    judge_card,
    school,
    world_of,
)
from lib.games.reading import WorldReading
from lib.metrics.reader import AttributeReader, ReaderConfig
from lib.runtime import Runtime
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.streams import Stream

__all__ = ["ReaderCommand", "main", "train_reader"]

_SAMPLE = 512  # pictures that fix the unit of the continuous parameters


def train_reader(
    config: ReaderConfig,
    stream: Stream,
    schooling: Schooling,
    *,
    share: float = 0.3,
    mirror: tuple[str, ...] | None = None,
    runtime: Runtime | None = None,
) -> tuple[AttributeReader, History]:
    """Train a reader on batches that hold ``image`` and the truth of everything that it reads.

    Args:
        config: what to read.
        stream: of the train split.
        schooling: how long and how fast.
        share, mirror: as in `lib.games.reading.WorldReading`.
        runtime: device and dtype; default the fastest.
    """

    def build() -> AttributeReader:
        reader = AttributeReader(config)
        if config.parameters:
            _set_units(reader, stream)
        return reader

    def game(reader: AttributeReader, generator: torch.Generator) -> WorldReading:
        return WorldReading(reader, generator=generator, share=share, mirror=mirror)

    return school(build, game, stream, schooling, runtime)


@dataclass(frozen=True, kw_only=True)
class ReaderCommand(JudgeCommand):
    """Train the reader of a world; write its weights and its card with the accuracy on held-out pictures."""

    world: Literal["digits", "street", "faces", "facades", "emoji"]
    """digits (real handwritten ones), street (drawn numbers), faces, facades or emoji"""


def main(config: ReaderCommand) -> int:
    """Run the command."""
    runtime = Runtime.detect(config.device)
    subject = _handwritten(config, runtime.device) if config.world == "digits" else _drawn(config, runtime.device)
    schooling = Schooling(config.rounds, seed=config.seed, budget_s=config.budget_s)
    reader, history = train_reader(
        subject.config, subject.stream, replace(schooling, on_round=ProgressPrinter(title=f"reader of {config.world}")),
        mirror=subject.mirror, runtime=runtime,
    )  # fmt: skip
    scores = reader.scores(subject.test["image"], subject.test)
    card = judge_card(config, history, runtime, data=subject.data, metrics=scores.as_metrics())
    reader.save(config.out / f"reader_{config.world}.safetensors", card)
    print(scores)
    return 0


@dataclass(frozen=True)
class _Subject:
    """What a reader is trained and tested on."""

    config: ReaderConfig
    stream: Stream
    test: Mapping[str, Tensor]  # "image" and the truth
    data: str  # one line for the card
    mirror: tuple[str, ...] | None  # what changes its sign in a mirrored picture; None: never mirror


def _handwritten(command: ReaderCommand, device: torch.device) -> _Subject:
    from lib.data.worlds.digits import HandwrittenDigits, handwritten_digits

    stream = HandwrittenDigits(batch=command.batch, size=16, jitter=1.0, seed=command.seed, device=device)
    images, digits = handwritten_digits("test", size=16, device=device)
    return _Subject(
        ReaderConfig("digits", {"digit": tuple("0123456789")}, size=16),
        stream,
        {"image": images, "digit": digits},
        "handwritten digits of scikit-learn, train split (1257) with jitter; scores on the test split (270)",
        mirror=None,
    )


def _drawn(command: ReaderCommand, device: torch.device) -> _Subject:
    """The subject of a procedural world."""
    assert command.world != "digits"
    world, parameters = world_of(command.world)
    config, mirror = ReaderConfig(command.world, world.attributes, parameters, width=16), tuple(parameters)
    if command.world == "street":  # its walls and plates are not asked for
        config = ReaderConfig("street", {"digit": world.attributes["digit"]}, size=32)
    if command.world == "emoji":  # flat and all at one place: a small reader will do
        config = replace(config, size=32, width=8, features=64)
    keys = ("image", *config.attributes, *config.parameters)
    return _Subject(
        config,
        drawn_stream(world, config.size, keys, command, device),
        drawn_test(world, config.size, keys, device),
        f"{config.name} at {config.size} px, {command.pictures} pictures of the train split; "
        f"scores on {HELD_OUT} of the test split",
        mirror=None if command.world == "street" else mirror,  # a mirrored digit is none
    )


def _set_units(reader: AttributeReader, stream: Stream) -> None:
    """Fix the mean and deviation of each continuous parameter from a sample of the stream."""
    state = stream.state_dict()
    batches: list[Mapping[str, Any]] = [stream.draw(0.0)]
    while sum(len(batch["image"]) for batch in batches) < _SAMPLE:
        batches.append(stream.draw(0.0))
    stream.load_state_dict(state)
    for name in reader.config.parameters:
        values = torch.cat([batch[name].float().flatten(1) for batch in batches])
        mean, std = reader.unit(name)
        mean.copy_(values.mean(dim=0))
        std.copy_(values.std(dim=0).clamp_min(1e-6))
