"""``python -m lib train spade``: façades from label maps by SPADE, on the pairs of chapter 4, and their measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lib.games.photo_features_train import photo_maps
from lib.games.pix2pix import SUMMER_DAY, Pix2PixConfig
from lib.games.pix2pix_measures import measure
from lib.games.pix2pix_train import condition_of, held_out_pairs, pool_stream, training_pool, training_stream
from lib.games.spade import Spade, SpadeConfig
from lib.games.translator import Translator
from lib.games.translator_train import TranslatorCommand
from lib.losses.perceptual import vgg19_maps
from lib.metrics.segmentation_score import load_parser
from lib.nn.spade import SPADEGenerator
from lib.runtime import RunCard, Runtime
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.play import play
from lib.training.streams import Stream

__all__ = [
    "SpadeCommand", "SpadeFacadesConfig", "main", "pairs_of", "perceptual_maps", "train_spade", "untrained",
]  # fmt: skip

Sees = Literal["photos", "vgg19", "nothing"]


@dataclass(frozen=True)
class SpadeFacadesConfig(SpadeConfig):
    """A SPADE for the façade world: the rules of the game, and the pairs that it meets."""

    always: Mapping[str, str] = field(
        default_factory=lambda: dict(SUMMER_DAY)
    )  # attribute -> its value in all pictures
    pool: int = 512  # pictures drawn once and met again; 0 draws new ones in every round
    sees: Sees = "photos"  # features of the perceptual term: the book's own, VGG-19's as in the paper, or none

    @classmethod
    def shipped(cls, **changes: Any) -> SpadeFacadesConfig:
        """Seven minutes of one CPU core at 64 px. The book's own model was ended by the clock, after 1610 rounds."""
        settings: dict[str, Any] = {
            "width": 14, "perceptual": 4.0, "ema": 0.998, "batch": 1, "rounds": 2400, "lr_g": 1.5e-3, "lr_d": 1.5e-3,
        }  # fmt: skip
        return cls(**settings | changes)

    @classmethod
    def full(cls, **changes: Any) -> SpadeFacadesConfig:
        """A GPU: the paper's networks and features, new façades in every round."""
        return cls(**vars(SpadeConfig.full()) | {"pool": 0, "sees": "vgg19"} | changes)


def pairs_of(config: SpadeFacadesConfig) -> Pix2PixConfig:
    """Chapter 4's description of the same pairs, for its streams and measures."""
    return Pix2PixConfig(size=config.size, always=config.always, pool=config.pool, batch=config.batch)


def perceptual_maps(sees: Sees) -> nn.Module | None:
    """The features of the perceptual term.

    Raises:
        PerceptualError: VGG-19 is asked for and its weights are not on disk.
    """
    if sees == "nothing":
        return None
    return photo_maps() if sees == "photos" else vgg19_maps([(stage, 1) for stage in range(1, 6)])


def untrained(config: SpadeFacadesConfig, *, seed: int = 0) -> Spade:
    """The game before its first round; the same seed gives the same weights, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Spade(condition_of(pairs_of(config)).channels, config, perceptual=perceptual_maps(config.sees))


def train_spade(
    config: SpadeFacadesConfig, *, seed: int = 0, pool: Mapping[str, Tensor] | None = None,
    stream: Stream | None = None, runtime: Runtime | None = None, **options: Any,
) -> tuple[Translator, History]:  # fmt: skip
    """Train from scratch; an interrupt ends it early and keeps what was learned.

    Args:
        pool: ``image`` and ``labels`` of the façades to learn from; default what the config asks for.
        stream: batches with ``condition`` and ``image`` instead, such as a reader's own pairs.
        options: of `lib.training.play.play`.

    Returns:
        A translator with the averaged generator (with the last one where ``config.ema`` is 0), and the history.
    """
    runtime, pairs = runtime or Runtime.detect(), pairs_of(config)
    game = untrained(config, seed=seed)
    runtime.place(game)  # in place, as for every module
    if stream is None:
        drawn = pool or (training_pool(pairs, seed=seed, device=runtime.device) if config.pool else None)
        stream = pool_stream(pairs, drawn, seed=seed) if drawn else training_stream(pairs, seed=seed)
    ema = EMA(game.G, config.ema) if config.ema else None
    history = play(
        game, stream, config.rounds, optimisers=config.optimisers(), schedule=config.learning_rate, ema=ema,
        runtime=runtime, **options,
    )  # fmt: skip
    trained = game.G if ema is None else ema.module
    assert isinstance(trained, SPADEGenerator)
    return Translator(trained, condition_of(pairs), runtime=runtime), history


@dataclass(frozen=True, kw_only=True)
class SpadeCommand(TranslatorCommand):
    """Train SPADE on façades and their label maps; write the weights, their card and their measured results."""

    sees: Sees | None = None
    """features of the perceptual term; default: the profile's"""

    def config(self) -> SpadeFacadesConfig:
        """The settings of the training."""
        chosen = (SpadeFacadesConfig.full if self.full else SpadeFacadesConfig.shipped)()
        return replace(chosen, rounds=self.rounds or chosen.rounds, sees=self.sees or chosen.sees)


def main(config: SpadeCommand) -> int:
    """Run the command; the weights are called spade_facades."""
    chosen, runtime, name = config.config(), Runtime.detect(config.device), "spade_facades"
    chosen.check()
    parser = load_parser("facades")  # before the training: a missing judge is no news for the end of it
    with RunCard(name, seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        translator, history = train_spade(
            chosen, seed=config.seed, runtime=runtime, on_round=ProgressPrinter(title="SPADE"),
            **config.play_options(),
        )  # fmt: skip
    pairs = held_out_pairs(pairs_of(chosen), config.pairs)
    data = f"facades, labels to pictures at {chosen.size} px; measured on {config.pairs} held-out pairs"
    scores = measure(translator, pairs, parser)
    config.publish(name, translator, chosen, data=data, scores=scores, history=history, card=card, pairs=pairs)
    return 0
