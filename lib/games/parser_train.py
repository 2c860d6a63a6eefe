"""``python -m lib train parser``: the segmenters behind the FCN-score, one for each world with label maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

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
from lib.games.reading import Parsing
from lib.metrics.segmentation_score import ParserConfig, SceneParser, fcn_score
from lib.runtime import Runtime
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.streams import Stream

__all__ = ["ParserCommand", "main", "train_parser"]


def train_parser(
    config: ParserConfig, stream: Stream, schooling: Schooling, *, runtime: Runtime | None = None
) -> tuple[SceneParser, History]:
    """Train a segmenter on batches with ``image`` and ``labels``; see `lib.games.judge_train.school`."""

    def game(parser: SceneParser, generator: torch.Generator) -> Parsing:
        return Parsing(parser, generator=generator)

    return school(lambda: SceneParser(config), game, stream, schooling, runtime)


@dataclass(frozen=True, kw_only=True)
class ParserCommand(JudgeCommand):
    """Train the segmenter of a world; write its weights and its card with the scores of real test pictures."""

    world: Literal["faces", "facades"]
    """faces or facades"""
    size: int = 64
    """px of the pictures that it learns from"""


def main(config: ParserCommand) -> int:
    """Run the command."""
    (world, _), runtime = world_of(config.world), Runtime.detect(config.device)
    chosen, keys = ParserConfig(config.world, world.palette.names, size=config.size), ("image", "labels")
    parser, history = train_parser(
        chosen, drawn_stream(world, chosen.size, keys, config, runtime.device),
        Schooling(config.rounds, seed=config.seed, budget_s=config.budget_s,
                  on_round=ProgressPrinter(title=f"parser of {config.world}")),
        runtime=runtime,
    )  # fmt: skip
    test = drawn_test(world, chosen.size, keys, runtime.device)
    score = fcn_score(parser, test["image"], test["labels"], classes=len(chosen.classes))
    card = judge_card(
        config, history, runtime,
        data=f"{config.world} at {chosen.size} px, {config.pictures} pictures of the train split; "
        f"scores on {HELD_OUT} of the test split",
        metrics={"pixel_accuracy": score.pixel_accuracy, "class_accuracy": score.class_accuracy, "miou": score.miou},
    )  # fmt: skip
    parser.save(config.out / f"parser_{config.world}.safetensors", card)
    print(score)
    return 0
