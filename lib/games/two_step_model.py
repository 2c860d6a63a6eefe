"""Both steps of the translation in a row, on faces: what to train, how long, and how it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lib.data.domains import AttributeDomains, Domains, PersonDomains, Pool
from lib.data.worlds.faces import Faces
from lib.games.acgan import ACGAN, ClassGANConfig
from lib.games.game import GameError
from lib.games.two_step import EncoderConfig, EncoderGame, Translator
from lib.nn.dcgan import DCGANDiscriminator
from lib.nn.image_encoder import ImageEncoder
from lib.nn.smooth_generator import SmoothGenerator, he_init
from lib.runtime import device_name, seeded
from lib.training.checkpoint import CheckpointError, load_weights, read_card, save_weights, weights_card
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.optim import OptimConfig
from lib.training.play import Callback, play
from lib.training.streams import Repeat

__all__ = ["TwoStepConfig", "domains_of", "load_translator", "save_translator", "train_encoder", "train_gan"]

Task = Literal["gender", "swap"]

# Two people who differ in every feature of the face: a seed of the world for each, and how they look.
PEOPLE = (11, 4)
LOOKS = {"gender": ("female", "male"), "hair": ("blond", "black"), "age": ("young", "middle")}
PERSONAL = ("identity", "gender", "hair", "age", "glasses", "beard", "hat")


@dataclass(frozen=True)
class TwoStepConfig:
    """Everything that is chosen before the training; what differs from Dong et al. 2017 is marked.

    Three more differences: G takes one turn in a round, not two; the class is one-hot, not a learned embedding;
    E's Adam has beta_1 = 0.9, not 0.5.
    """

    task: Task = "gender"  # two domains: women and men, or one person and another
    size: int = 64  # px
    latent: int = 64  # d; 100 in the paper
    g_width: int = 16  # channels before G's last layer; 128 in the paper
    d_width: int = 24  # channels of D's first layer; 64 in the paper
    e_width: int = 24  # channels of E's first layer; 64 in the paper
    pool: int = 4096  # pictures rendered before the training, met again and again in both orientations
    batch: int = 32  # pictures in a round, half from each domain; 64 in the paper
    rounds: int = 4000  # of step 1
    encoder_rounds: int = 800  # of step 2; 30 000 in the paper
    lr: float = 1e-3  # Adam; falls linearly over the last half (ours); 2e-4 in the paper, 1e-4 for E
    r1: float = 0.1  # gamma of R1, instead of batch norm in D (ours)
    every: int = 4  # R1 acts in every fourth turn of D (ours)
    ema: float = 0.998  # decay of the average G that step 2 inverts (ours)
    class_on_fakes: float = 0.0  # L_C of D on fakes: as in the authors' code

    @classmethod
    def quick(cls, task: Task = "gender") -> TwoStepConfig:
        """Half a minute on two cores, 32 px: what the chapter trains before your eyes."""
        return cls(
            task=task, size=32, latent=32, g_width=24, d_width=32, e_width=24, pool=768, batch=16, rounds=450,
            encoder_rounds=170, lr=2e-3, ema=0.99,
        )  # fmt: skip

    @classmethod
    def full(cls, task: Task = "gender") -> TwoStepConfig:
        """A GPU: the paper's batch, and wider networks for longer."""
        return cls(
            task=task, latent=100, g_width=32, d_width=64, e_width=64, pool=40_000, batch=64, rounds=60_000,
            encoder_rounds=30_000, lr=4e-4, r1=1.0, ema=0.9995,
        )  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TwoStepConfig:
        """The config that a card holds.

        Raises:
            TypeError: a field is unknown.
        """
        known = {entry.name for entry in fields(cls)}
        if not known >= set(values):
            raise TypeError(f"unknown settings {', '.join(sorted(set(values) - known))}")
        return cls(**values)

    def learning_rate(self, progress: float) -> float:
        """Factor on ``lr``: 1 for the first half, then linearly down to 0.05."""
        return min(1.0, 2 * (1 - progress) + 0.05)


def domains_of(task: Task) -> Domains:
    """The two domains of a task. Hats and beards stay out of the gender task: they would give it away."""
    world = Faces()
    if task == "gender":
        return AttributeDomains(world, ("gender",), always={"hat": "none", "beard": "none"})
    bare = {"glasses": ("none", "none"), "beard": ("none", "none"), "hat": ("none", "none")}
    return PersonDomains(world, PEOPLE, PERSONAL, looks={**LOOKS, **bare})


def networks(config: TwoStepConfig, *, seed: int) -> tuple[SmoothGenerator, DCGANDiscriminator]:
    """G and D before the training; the same seed gives the same weights, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G = SmoothGenerator(config.latent, config.size, width=config.g_width, classes=2)
        D = DCGANDiscriminator(config.size, width=config.d_width, norm="none", classes=2, head="auxiliary")
        D.apply(he_init)
    return G, D


def encoder(config: TwoStepConfig, *, seed: int, told: bool = False) -> ImageEncoder:
    """E before the training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ImageEncoder(config.latent, size=config.size, width=config.e_width, classes=2 if told else 0)


def train_gan(
    config: TwoStepConfig, pictures: Mapping[str, Tensor], *, seed: int = 0,
    device: torch.device | str = "cpu", budget_s: float | None = None, checkpoint: Path | None = None,
    on_round: Callback | Sequence[Callback] = (),
) -> tuple[nn.Module, History]:  # fmt: skip
    """Step 1: AC-GAN on ``image`` and ``domain``; the averaged G, and the history.

    Args:
        budget_s: seconds after which to stop; the schedule then follows the clock.
        checkpoint: where to save, and to go on from where it exists.
    """
    G, D = networks(config, seed=seed)
    rules = ClassGANConfig(latent=config.latent, r1=config.r1, every=config.every, class_on_fakes=config.class_on_fakes)
    game = ACGAN(G, D, rules, generator=seeded(seed + 1))
    fast = torch.channels_last  # a quarter faster on a CPU, more on a GPU
    game.to(device=device, memory_format=fast)  # type: ignore[call-overload]  # torch's stubs do not list it
    images = pictures["image"].to(device, memory_format=fast)
    pool = Pool(images, pictures["domain"].to(device), batch=config.batch, seed=seed)
    ema = EMA(game.G, config.ema)
    history = play(
        game, pool, config.rounds, optimisers=OptimConfig(lr=config.lr, betas=(0.5, 0.99)),
        schedule=config.learning_rate, ema=ema, budget_s=budget_s, checkpoint=checkpoint,
        resume=checkpoint is not None, on_round=on_round,
    )  # fmt: skip
    return ema.module, history


def train_encoder(
    config: TwoStepConfig, G: nn.Module, lesson: EncoderConfig | None = None, *, seed: int = 0,
    pictures: Mapping[str, Tensor] | None = None, budget_s: float | None = None,
    on_round: Callback | Sequence[Callback] = (),
) -> tuple[Translator, History]:  # fmt: skip
    """Step 2: teach an encoder on the frozen G; both as a `Translator`, and the history.

    Args:
        lesson: the loss and where its pictures come from; default the paper's.
        pictures: real ones, for a lesson about real pictures; the others draw theirs with G.
        budget_s: seconds after which to stop.

    Raises:
        GameError: the lesson needs real pictures, and none are given.
    """
    lesson = lesson or EncoderConfig(batch=config.batch)
    if lesson.pictures == "real" and pictures is None:
        raise GameError("This lesson is about real pictures; give them, as pictures={'image': ..., 'domain': ...}.")
    device = next(G.parameters()).device
    E = encoder(config, seed=seed, told=lesson.told)
    E.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    game = EncoderGame(G, E, lesson, latent=config.latent, classes=2, generator=seeded(seed + 2))
    stream = (
        Repeat({}) if pictures is None or lesson.pictures == "drawn"
        else Pool(pictures["image"].to(device), pictures["domain"].to(device), batch=lesson.batch, seed=seed)
    )  # fmt: skip
    history = play(
        game, stream, config.encoder_rounds, optimisers=OptimConfig(lr=config.lr, betas=(0.9, 0.99)),
        schedule=config.learning_rate, budget_s=budget_s, on_round=on_round,
    )  # fmt: skip
    return Translator(G, E, latent=config.latent, told=lesson.told), history


def save_translator(
    path: str | Path, translator: Translator, config: TwoStepConfig, *, seed: int, seconds: float,
    metrics: Mapping[str, float],
) -> None:  # fmt: skip
    """Write G and E to one safetensors file with a JSON card."""
    device = device_name(next(translator.parameters()).device)
    data = f"faces, {' and '.join(domains_of(config.task).names)}"
    save_weights(
        path, translator,
        weights_card(config=asdict(config), seed=seed, data=data, metrics=metrics, device=device, seconds=seconds),
    )  # fmt: skip


def load_translator(path: str | Path) -> tuple[Translator, TwoStepConfig]:
    """Read what `save_translator` wrote.

    Raises:
        CheckpointError: the file is missing, damaged or holds something else.
    """
    card = read_card(path)
    try:
        config = TwoStepConfig.from_dict(card["config"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} holds no translator ({error}); use a file of `python -m lib train twostep`."
        ) from error
    translator = Translator(networks(config, seed=0)[0], encoder(config, seed=0), latent=config.latent)
    load_weights(path, translator)
    return translator, config
