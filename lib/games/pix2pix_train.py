"""``python -m lib train pix2pix``: translators from label maps, edges or greys to pictures, and their measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lib.data.conditions import Condition
from lib.data.pairs import Crops, Paired, photo_pairs
from lib.data.shuffled import Shuffled
from lib.data.worlds.catalogue import world_named
from lib.data.worlds.world import Split, WorldStream, collect
from lib.games.pix2pix import LOSS_ABLATION, Pix2Pix, Pix2PixConfig
from lib.games.pix2pix_measures import measure
from lib.games.translator import Translator
from lib.games.translator_train import TranslatorCommand
from lib.metrics.segmentation_score import load_parser
from lib.runtime import RunCard, Runtime, seeded
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.optim import OptimConfig
from lib.training.play import Callback, play
from lib.training.streams import Stream

__all__ = [
    "Pix2PixCommand",
    "condition_of",
    "held_out_pairs",
    "main",
    "play_pix2pix",
    "pool_stream",
    "train_pix2pix",
    "training_pool",
    "training_stream",
    "untrained",
]

PHOTO_SIDES = 4  # the long side of a photo is so many crops long
_DRAW = 32  # pictures of a world drawn at a time


def condition_of(config: Pix2PixConfig) -> Condition:
    """What G is told."""
    return Condition("labels", world_named(config.data).palette) if config.task == "labels" else Condition(config.task)


def training_stream(config: Pix2PixConfig, *, seed: int = 0, device: torch.device | str = "cpu") -> Stream:
    """Endless batches with ``condition`` and ``image`` of the train split."""
    condition = condition_of(config)
    if config.data == "photos":
        pictures = photo_pairs(condition, "train", side=PHOTO_SIDES * config.size, device=device)
        return Crops(pictures, size=config.size, batch=config.batch, generator=seeded(seed))
    if not config.pool:
        return Paired(_world_stream(config, config.batch, "train", seed, device), condition)
    return pool_stream(config, training_pool(config, seed=seed, device=device), seed=seed)


def training_pool(config: Pix2PixConfig, *, seed: int = 0, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The pictures of a world that a training meets again and again: ``image``, ``labels`` and, unless it is made of
    these labels, ``condition``."""
    return _drawn(config, condition_of(config), config.pool, "train", seed, device)


def pool_stream(config: Pix2PixConfig, pool: Mapping[str, Tensor], *, seed: int = 0) -> Stream:
    """Endless batches of a pool; the seed shuffles."""
    shuffled = Shuffled(pool, batch=config.batch, generator=seeded(seed))
    # One-hot maps are 13 times larger than indices, so they are made for each batch; edges take long, so they are not.
    return shuffled if "condition" in pool else Paired(shuffled, condition_of(config))


def held_out_pairs(config: Pix2PixConfig, count: int, *, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """`count` held-out pairs, always the same: ``condition``, ``image`` and, for worlds, ``labels``."""
    condition = condition_of(config)
    if config.data != "photos":
        data = _drawn(config, condition, count, "test", 0, device)
        return {**data, "condition": condition.of(data)}
    pictures = photo_pairs(condition, "test", side=PHOTO_SIDES * config.size, device=device)
    return Crops(pictures, size=config.size, batch=count, generator=seeded(0), mirror=False).draw()


def untrained(config: Pix2PixConfig, *, seed: int = 0, runtime: Runtime | None = None) -> Pix2Pix:
    """The game before its first round; the same seed gives the same weights, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        game = Pix2Pix(condition_of(config).channels, config, generator=seeded(seed + 1))
    if runtime is not None:
        runtime.place(game)  # in place, as for every module
    return game


def play_pix2pix(game: Pix2Pix, stream: Stream, **options: Any) -> History:
    """Play a game for the rounds of its config, with its learning rate.

    Args:
        stream: batches with ``condition`` and ``image``.
        options: of `lib.training.play.play`.
    """
    c = game.config
    return play(game, stream, c.rounds, optimisers=OptimConfig(lr=c.lr), schedule=c.learning_rate, **options)


def train_pix2pix(
    config: Pix2PixConfig, *, seed: int = 0, stream: Stream | None = None, runtime: Runtime | None = None,
    budget_s: float | None = None, checkpoint: Path | None = None, resume: bool = False,
    on_round: Callback | Sequence[Callback] = (),
) -> tuple[Translator, History]:  # fmt: skip
    """Train from scratch; an interrupt ends it early and keeps what was learned.

    Args:
        seed: of weights, noise and data.
        stream: batches with ``condition`` and ``image``, such as a reader's own pairs; default `training_stream`.
        runtime: device and dtype; default the fastest.
        budget_s, checkpoint, resume, on_round: as in `lib.training.play.play`.
    """
    runtime = runtime or Runtime.detect()
    game = untrained(config, seed=seed, runtime=runtime)
    history = play_pix2pix(
        game, stream or training_stream(config, seed=seed, device=runtime.device), runtime=runtime,
        budget_s=budget_s, checkpoint=checkpoint, resume=resume, on_round=on_round,
    )  # fmt: skip
    return Translator(game.G, condition_of(config), noisy=config.noise, runtime=runtime), history


@dataclass(frozen=True, kw_only=True)
class Pix2PixCommand(TranslatorCommand):
    """Train a translator with paired pictures; write its weights, its card and its measured results."""

    task: Literal["labels", "edges", "grey"] = "labels"
    """what is translated into a picture"""
    data: Literal["facades", "faces", "photos"] = "facades"
    """a drawn world, or crops of the bundled photos (edges and grey only)"""
    row: Literal["L1", "GAN", "cGAN", "L1+GAN", "L1+cGAN"] = "L1+cGAN"
    """the loss, as in the paper's table 1"""
    patch: Literal[1, 16, 34, 70, 142, 286] | None = None
    """px that one answer of D sees; default: the profile's"""
    no_skips: bool = False
    """an encoder-decoder instead of the U-Net"""
    no_noise: bool = False
    """no dropout: one answer for each condition"""

    def config(self) -> Pix2PixConfig:
        """The settings of the training."""
        make = Pix2PixConfig.full if self.full else Pix2PixConfig.shipped
        chosen = make(task=self.task, data=self.data, skips=not self.no_skips, noise=not self.no_noise)
        chosen = replace(chosen, rounds=self.rounds or chosen.rounds, patch=self.patch or chosen.patch)
        return replace(chosen, **LOSS_ABLATION[self.row])


def main(config: Pix2PixCommand) -> int:
    """Run the command; the weights are called pix2pix_DATA_TASK."""
    chosen, runtime = config.config(), Runtime.detect(config.device)
    chosen.check()
    # Before the training: a missing judge is no news for the end of it.
    parser = load_parser(chosen.data) if chosen.task == "labels" else None
    name = f"pix2pix_{chosen.data}_{chosen.task}"
    with RunCard(name, seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        translator, history = train_pix2pix(
            chosen, seed=config.seed, runtime=runtime, on_round=ProgressPrinter(title=f"pix2pix {config.row}"),
            **config.play_options(),
        )  # fmt: skip
    pairs = held_out_pairs(chosen, config.pairs)
    data = f"{chosen.data}, {chosen.task} to pictures at {chosen.size} px; measured on {config.pairs} held-out pairs"
    scores = measure(translator, pairs, parser)
    config.publish(name, translator, chosen, data=data, scores=scores, history=history, card=card, pairs=pairs)
    return 0


def _world_stream(
    config: Pix2PixConfig, batch: int, split: Split, seed: int, device: torch.device | str
) -> WorldStream:
    return WorldStream(
        world_named(config.data), batch=batch, size=config.size, split=split, seed=seed, device=device,
        always=config.always,
    )  # fmt: skip


def _drawn(
    config: Pix2PixConfig, condition: Condition, count: int, split: Split, seed: int, device: torch.device | str
) -> dict[str, Tensor]:
    """A finite part of a split: ``image``, ``labels`` and, unless it is made of the labels, ``condition``."""
    drawn = collect(_world_stream(config, min(_DRAW, count), split, seed, device), count)
    data = {name: drawn[name] for name in ("image", "labels")}
    return data if condition.kind == "labels" else {**data, "condition": condition.of(data)}
