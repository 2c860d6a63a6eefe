"""``python -m lib train digits``: the generator of handwritten digits that chapter 1 opens with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lib.book.paths import repository_root
from lib.data.worlds.digits import HandwrittenDigits
from lib.games.command import ProfiledCommand
from lib.games.gan import GAN, GANConfig
from lib.nn.dcgan import DCGANDiscriminator, DCGANGenerator
from lib.runtime import Runtime, device_name
from lib.training.checkpoint import CheckpointError, load_weights, read_card, save_weights, weights_card
from lib.training.ema import EMA
from lib.training.live import ProgressPrinter
from lib.training.play import Callback, OptimConfig, play

__all__ = ["DigitsCommand", "DigitsConfig", "digits_game", "load_digits_generator", "train_digits"]

SHIPPED_ROUNDS = 9000  # of the generator that the book ships: ten minutes on one core
CHECKPOINT = repository_root() / "assets" / "checkpoints" / "gan_digits.safetensors"


@dataclass(frozen=True)
class DigitsConfig:
    """A DCGAN on the handwritten digits of scikit-learn."""

    size: int = 16  # side of a picture, px
    latent: int = 10  # size of z: digits this small vary in about so many ways
    width: int = 32  # channels of the layer next to the picture
    batch: int = 32  # small: many updates teach more than exact ones, for the same arithmetic
    rounds: int = 2000
    lr: float = 2e-3  # of both players at the start; falls linearly in the second half
    r1: float = 0.1  # gamma of the R1 penalty, which chapter 2 explains
    every: int = 4  # turns of D between two penalties
    ema: float = 0.99  # decay of the averaged generator
    seed: int = 0

    @classmethod
    def quick(cls) -> DigitsConfig:
        """About a minute on two CPU cores."""
        return cls()

    @classmethod
    def full(cls) -> DigitsConfig:
        """32 px, wider and longer; a GPU."""
        return cls(size=32, latent=32, width=64, batch=128, rounds=20000, lr=5e-4, ema=0.999)

    def learning_rate(self, progress: float) -> float:
        """Factor on `lr`: 1 for the first half, then linearly down to 0.02."""
        return min(1.0, 2 * (1 - progress) + 0.02)


@dataclass(frozen=True, kw_only=True)
class DigitsCommand(ProfiledCommand):
    """Train a DCGAN on the handwritten digits and write its generator and card (quick: 16 px; full: 32 px)."""

    rounds: int | None = None
    """rounds of training; default: 9000 for quick (the chapter itself trains 2000), 20000 for full"""
    seed: int = 0
    """seed of the training"""
    out: Path = CHECKPOINT
    """file of the generator; its card goes beside it"""
    work: Path | None = None
    """keep the whole training here and go on from it where it exists; Ctrl-C stops and saves"""


def main(config: DigitsCommand) -> int:
    """Run the command."""
    chosen = DigitsConfig.full() if config.full else replace(DigitsConfig.quick(), rounds=SHIPPED_ROUNDS)
    chosen = replace(chosen, seed=config.seed, rounds=config.rounds or chosen.rounds)
    runtime = Runtime.detect(config.device)
    game = digits_game(chosen, runtime=runtime)
    ema = EMA(game.G, chosen.ema)
    seconds = train_digits(game, chosen, ema, ProgressPrinter(title="digits"), runtime=runtime, work=config.work)
    if seconds is None:
        print("Interrupted; the same command goes on from there." if config.work else "Interrupted.")
        return 1
    card = weights_card(
        config=chosen, seed=chosen.seed, data="handwritten digits of scikit-learn, 1257 for training",
        metrics={}, device=device_name(runtime.device), seconds=seconds,
    )  # fmt: skip
    save_weights(config.out, ema.module, card)
    print(f"wrote {config.out.name}")
    return 0


def digits_game(config: DigitsConfig, *, runtime: Runtime | None = None) -> GAN:
    """An untrained game on digits, with seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        game = GAN(
            DCGANGenerator(config.latent, config.size, 1, width=config.width),
            DCGANDiscriminator(config.size, 1, width=config.width, norm="instance"),  # R1 needs a slope at each picture
            GANConfig(latent=config.latent, r1=config.r1, every=config.every),
            generator=torch.Generator().manual_seed(config.seed),
        )
    if runtime is not None:
        runtime.place(game)  # in place, as for every module
    return game


def train_digits(
    game: GAN,
    config: DigitsConfig,
    ema: EMA,
    on_round: Callback,
    *,
    runtime: Runtime | None = None,
    work: Path | None = None,
) -> float | None:
    """Train `game` in place; the seconds it took, or None where it was interrupted."""
    device = "cpu" if runtime is None else runtime.device
    history = play(
        game, HandwrittenDigits(batch=config.batch, size=config.size, seed=config.seed, device=device), config.rounds,
        optimisers=OptimConfig(lr=config.lr), schedule=config.learning_rate, ema=ema, runtime=runtime,
        checkpoint=work, resume=work is not None, on_round=on_round,
    )  # fmt: skip
    return None if history.interrupted else history.seconds


def load_digits_generator(path: Path = CHECKPOINT) -> tuple[DCGANGenerator, Mapping[str, Any]]:
    """The shipped generator, in evaluation mode, and its card.

    Raises:
        CheckpointError: the file is missing or broken.
    """
    card = read_card(path)
    try:
        config = DigitsConfig(**card["config"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} holds no digits ({error}); use a file of `python -m lib train digits`."
        ) from error
    generator = DCGANGenerator(config.latent, config.size, 1, width=config.width)
    load_weights(path, generator)
    return generator.eval().requires_grad_(False), card
