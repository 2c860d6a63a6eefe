"""``python -m lib train twostep``: the face translator that the book ships, and its measured results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from lib.data.domains import Domains, rendered
from lib.data.worlds.world import Batch
from lib.games.acgan import every_class
from lib.games.command import TrainingCommand
from lib.games.two_step import EncoderConfig, Translator
from lib.games.two_step_model import TwoStepConfig, domains_of, save_translator, train_encoder, train_gan
from lib.images import contact_sheet
from lib.metrics.reader import AttributeReader, load_reader
from lib.metrics.translation import translation_scores
from lib.runtime import RunCard, Runtime, seeded
from lib.training.live import ProgressPrinter

__all__ = ["LESSONS", "TwoStepCommand", "held_out_pairs", "main", "measure"]

LESSONS = {
    "latent": EncoderConfig(),
    "image": EncoderConfig(loss="image"),
    "image, real": EncoderConfig(loss="image", pictures="real"),
}
"""The encoders that are compared: the paper's, and two that are taught with pictures."""


@dataclass(frozen=True, kw_only=True)
class TwoStepCommand(TrainingCommand):
    """Train AC-GAN and the encoder on faces; write the model, its card and its measured results.

    The quick profile is the size that the book ships, about 20 minutes on two free cores.
    """

    task: Literal["gender", "swap"] = "gender"
    """gender: women and men; swap: one person and another"""
    rounds: int | None = None
    """rounds of step 1; default: the profile's"""
    minutes: float | None = None
    """end step 1 after so many minutes of training, and each encoder after a fifth of that"""
    pairs: int = 256
    """test pictures for the measures"""
    work: Path | None = None
    """folder for a checkpoint of step 1, from which an interrupted training goes on"""


def main(config: TwoStepCommand) -> int:
    """Run the command."""
    chosen = (TwoStepConfig.full if config.full else TwoStepConfig)(task=config.task)
    chosen = replace(chosen, rounds=config.rounds or chosen.rounds)
    runtime, name = Runtime.detect(config.device), "faces" if config.task == "gender" else config.task
    budget = None if config.minutes is None else 60 * config.minutes
    domains, reader = domains_of(config.task), load_reader("faces")
    with RunCard(f"two steps, {name}", seed=config.seed, device=runtime.device) as card:
        pictures = rendered(domains, chosen.pool, chosen.size, seed=config.seed)
        G, history = train_gan(
            chosen, pictures, seed=config.seed, device=runtime.device, budget_s=budget,
            checkpoint=None if config.work is None else config.work / f"twostep_{name}.safetensors",
            on_round=ProgressPrinter(title="step 1", every=15.0),
        )  # fmt: skip
        translators, seconds = train_lessons(chosen, G, pictures, seed=config.seed, budget_s=budget)
    pairs = held_out_pairs(domains, config.pairs, chosen.size)
    table = measure(reader, translators, G.cpu(), *pairs)
    table |= {f"seconds/{lesson}": {"training": value} for lesson, value in seconds.items()}
    shipped = table["latent, translated"]
    save_translator(
        config.checkpoints / f"twostep_{name}.safetensors", translators["latent"], chosen,
        seed=config.seed, seconds=history.seconds + seconds["latent"], metrics=shipped,
    )  # fmt: skip
    config.record(f"twostep_{name}", {"run": card.as_dict(), "rounds": len(history), "measures": table})
    if config.sheet is not None:
        write_sheet(config.sheet, translators["latent"], *pairs)
    print(json.dumps(shipped, indent=1))
    return 0


def train_lessons(
    config: TwoStepConfig, G: nn.Module, pictures: Mapping[str, Tensor], *, seed: int, budget_s: float | None
) -> tuple[dict[str, Translator], dict[str, float]]:
    """One encoder for each lesson, for the same number of rounds; and the seconds that each took."""
    translators, seconds = {}, {}
    for name, lesson in LESSONS.items():
        translators[name], history = train_encoder(
            config, G, replace(lesson, batch=config.batch), seed=seed, pictures=pictures,
            budget_s=None if budget_s is None else budget_s / 5,
            on_round=ProgressPrinter(title=f"encoder, {name}", every=15.0),
        )  # fmt: skip
        seconds[name] = history.seconds
    return {name: translator.cpu() for name, translator in translators.items()}, seconds


def held_out_pairs(domains: Domains, count: int, size: int, *, seed: int = 0) -> tuple[Batch, Batch]:
    """Held-out pictures of two domains, taking turns, and the true picture of each in the other domain."""
    here = torch.arange(count) % 2
    return (
        rendered(domains, count, size, split="test", seed=seed, domain=here),
        rendered(domains, count, size, split="test", seed=seed, domain=1 - here),
    )


@torch.no_grad()
def measure(
    reader: AttributeReader, translators: Mapping[str, Translator], G: nn.Module, here: Batch, there: Batch
) -> dict[str, dict[str, float]]:
    """Scores of every encoder and of the trivial competitors, by name of the row.

    ``X, rebuilt`` is compared with the original, ``X, translated`` with the true picture in the other domain.
    """
    image = here["image"]
    rows = {
        "truth": translation_scores(reader, there["image"], here, there),
        "original": translation_scores(reader, image, here, here),
        "copy": translation_scores(reader, image, here, there),
    }
    for name, translator in translators.items():
        rebuilt = translator.translate(image, here["domain"])
        translated = translator.translate(image, there["domain"])
        rows[f"{name}, rebuilt"] = translation_scores(reader, rebuilt, here, here)
        rows[f"{name}, translated"] = translation_scores(reader, translated, here, there)
    for scores in rows.values():  # JSON has no infinity: the PSNR of a perfect copy becomes 100 dB
        scores["psnr"] = min(scores["psnr"], 100.0)
    first = next(iter(translators.values()))
    z = torch.randn(len(image), first.latent, generator=seeded(0))
    drawn = reader.read(G(z, here["domain"]))
    if "gender" in drawn.logits and "gender" in here:
        hit = (drawn.values()["gender"] == here["gender"]).double().mean()
        rows["drawn"] = {"read/gender": float(hit)}
    return rows


def write_sheet(path: Path, translator: Translator, here: Batch, there: Batch, *, count: int = 8) -> None:
    """Originals, rebuilt, translated and true pictures in rows; below them faces drawn in both domains."""
    x, y = here["image"][:count], here["domain"][:count]
    drawn = every_class(translator.G, torch.randn(count, translator.latent, generator=seeded(0)), 2)
    rows = [
        x, translator.translate(x, y), translator.translate(x, 1 - y), there["image"][:count], drawn[:, 0], drawn[:, 1]
    ]  # fmt: skip
    contact_sheet([list(row.clamp(-1, 1)) for row in rows], scale=2).save(path)
