"""``python -m lib train srgan``: SRResNet, then SRGAN from its weights, and their measures on photos never seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lib.data.conditions import Condition
from lib.data.pairs import Crops
from lib.data.public.samples import Samples
from lib.data.super_resolution import Benchmark, Lowered, PhotoSet, bundled_photos
from lib.games.photo_features_train import (
    content_features,
    load_photo_features,
    matched_scale,
    save_photo_features,
    train_photo_features,
)
from lib.games.srgan import SRGANConfig, build, warm_start
from lib.games.srgan_measures import COMPETITORS, Enlarge, enlarged, sr_table
from lib.games.translator import Translator
from lib.games.translator_train import TranslatorCommand
from lib.images import contact_sheet
from lib.losses.perceptual import FeatureMaps
from lib.nn.srresnet import SRResNet
from lib.runtime import RunCard, Runtime, seeded
from lib.training.checkpoint import CheckpointError
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.optim import OptimConfig
from lib.training.play import play
from lib.training.streams import Stream

__all__ = [
    "SRGANCommand", "held_out_photos", "main", "phi_of", "photo_crops", "train_srgan", "train_srresnet", "with_scale",
]  # fmt: skip

_BETAS = (0.9, 0.999)  # the paper's beta_1; beta_2 is Adam's own (INFERRED)
_SHOWN = 96  # px, side of the pieces on the contact sheet


def photo_crops(config: SRGANConfig, *, seed: int = 0, device: torch.device | str = "cpu") -> Lowered:
    """Endless crops of the training photos, ``image``, with their small versions, ``condition``."""
    photos = bundled_photos("train", side=config.side, multiple=config.factor).values()
    pictures = [{"image": photo.to(device)} for photo in photos]
    crops = Crops(pictures, size=config.size, batch=config.batch, generator=seeded(seed))
    return Lowered(crops, config.factor)


def held_out_photos(config: SRGANConfig) -> PhotoSet:
    """The test photos, whole."""
    return PhotoSet(bundled_photos("test", side=config.side, multiple=config.factor), factor=config.factor)


def phi_of(config: SRGANConfig, folder: Path | None = None, *, runtime: Runtime | None = None) -> FeatureMaps | None:
    """The frozen phi_{i,j} of the config's content loss; None for "mse".

    Args:
        folder: where the book's features are kept; they are trained and written there if they are missing.

    Raises:
        NetworkError, PerceptualError: there is no such layer, or VGG-19's weights are not on disk.
    """
    if config.content == "mse":
        return None
    runtime = runtime or Runtime.detect()
    if config.features == "vgg19":
        return _placed(content_features(config.content), runtime)
    path = None if folder is None else folder / "features_photos.safetensors"
    try:
        network = load_photo_features(path)
    except CheckpointError:
        if path is None or path.is_file():  # nothing to write to, or a file that is not ours to replace
            raise
        network, history = train_photo_features(side=config.side, runtime=runtime)
        save_photo_features(path, network, history, seed=0, runtime=runtime)
    return _placed(content_features(config.content, network), runtime)


def with_scale(config: SRGANConfig, phi: FeatureMaps | None) -> SRGANConfig:
    """The config with a number for ``feature_scale``: where it is None, features weigh as much as pixels do."""
    if config.feature_scale is not None or phi is None:
        return config
    device = next(phi.parameters()).device
    batch = photo_crops(replace(config, batch=64), seed=1, device=device).draw()
    return replace(config, feature_scale=matched_scale(phi, batch))


def train_srresnet(
    config: SRGANConfig, *, seed: int = 0, stream: Stream | None = None, runtime: Runtime | None = None, **options: Any
) -> tuple[SRResNet, History]:
    """The first stage: G alone, with the squared error in pixels, whatever the config's own content loss.

    Args:
        stream: batches with ``image`` and ``condition``; default `photo_crops`.
        options: of `lib.training.play.play`.
    """
    runtime, config = runtime or Runtime.detect(), config.pretraining()
    game = build(config, seed=seed)
    runtime.place(game)  # in place, as for every module
    history = play(
        game, stream or photo_crops(config, seed=seed, device=runtime.device), config.rounds,
        optimisers=OptimConfig(config.lr, _BETAS), schedule=config.learning_rate, runtime=runtime, **options,
    )  # fmt: skip
    return game.G.eval(), history


def train_srgan(
    config: SRGANConfig, start: SRResNet | None, phi: FeatureMaps | None = None, *, seed: int = 0,
    stream: Stream | None = None, runtime: Runtime | None = None, **options: Any,
) -> tuple[SRResNet, History]:  # fmt: skip
    """The second stage: G against D; in the rows without D, G alone with the features' loss.

    Args:
        start: a trained SRResNet of the same sizes; None begins from random weights, which the paper warns of.
        phi: what `phi_of` gave; None for "mse".
        stream, options: as for `train_srresnet`.
    """
    runtime = runtime or Runtime.detect()
    game = build(with_scale(config, phi), phi, seed=seed)
    runtime.place(game)
    if start is not None:
        warm_start(game, start)
    rates = {"D": config.d_rate * config.gan_lr, "G": config.gan_lr} if config.adversarial else config.gan_lr
    average = EMA(game.G, config.ema) if config.ema else None
    history = play(
        game, stream or photo_crops(config, seed=seed + 1, device=runtime.device), config.gan_rounds,
        optimisers=OptimConfig(rates, _BETAS), schedule=config.gan_learning_rate, runtime=runtime, ema=average,
        **options,
    )  # fmt: skip
    G = game.G if average is None else average.module
    assert isinstance(G, SRResNet)
    return G.eval(), history


@dataclass(frozen=True, kw_only=True)
class SRGANCommand(TranslatorCommand):
    """Train SRResNet with the squared error, then SRGAN from its weights; write both and their measured results."""

    row: str | None = None
    """row of the paper's table 1 that the second stage is: SRResNet-VGG22, SRGAN-MSE, SRGAN-VGG22 or SRGAN-VGG54;
    default: the profile's own loss"""
    gan_rounds: int | None = None
    """rounds of the second stage; default: the profile's"""
    benchmark: Path | None = None
    """measure on this folder of pictures (Set5, Set14, BSD100) instead of the bundled test photos"""

    def config(self) -> SRGANConfig:
        """The settings of both stages.

        Raises:
            GameError: there is no such row.
        """
        chosen = (SRGANConfig.full if self.full else SRGANConfig.shipped)()
        chosen = chosen if self.row is None else chosen.row(self.row)
        return replace(
            chosen, rounds=self.rounds or chosen.rounds, gan_rounds=self.gan_rounds or chosen.gan_rounds
        )  # fmt: skip

    def stage_options(self, stage: str) -> dict[str, Any]:
        """For `lib.training.play.play`: half of the time and a checkpoint of its own for each stage."""
        options = self.play_options()
        if options["budget_s"] is not None:
            options["budget_s"] /= 2
        if self.work is not None:
            options["checkpoint"] = self.work.with_stem(f"{self.work.stem}_{stage}")
        return options | {"on_round": ProgressPrinter(title=stage)}


def main(config: SRGANCommand) -> int:
    """Run the command; the weights are called srresnet_photos and srgan_photos."""
    chosen, runtime = config.config(), Runtime.detect(config.device)
    samples: Samples = held_out_photos(chosen) if config.benchmark is None else Benchmark(config.benchmark)
    phi, title = phi_of(chosen, config.checkpoints, runtime=runtime), config.row or "SRGAN"
    chosen = with_scale(chosen, phi)
    with RunCard(title, seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        first, first_history = train_srresnet(
            chosen, seed=config.seed, runtime=runtime, **config.stage_options("SRResNet")
        )
        second, history = train_srgan(
            chosen, first, phi, seed=config.seed, runtime=runtime, **config.stage_options(title)
        )
    translators = {
        "srresnet": Translator(first, Condition("picture"), runtime=runtime),
        "srgan": Translator(second, Condition("picture"), runtime=runtime),
    }
    methods: dict[str, Enlarge] = {name: translator.paint for name, translator in translators.items()}
    table = sr_table(methods, samples, factor=chosen.factor)
    data = f"bundled photos at {chosen.side or 'full'} px; measured on {len(samples)} pictures never seen"
    flat = {f"{row}/{name}": value for row, scores in table.items() for name, value in scores.items()}
    for name, stage, told in (("srresnet", chosen.pretraining(), first_history), ("srgan", chosen, history)):
        scores = table[name] if name == "srresnet" else flat
        config.publish(
            f"{name}_photos", translators[name], stage, data=data, scores=scores, history=told, card=card
        )  # fmt: skip
    if config.sheet is not None:
        write_sheet(config.sheet, methods, samples)
    return 0


def write_sheet(path: Path, methods: Mapping[str, Enlarge], samples: Samples) -> None:
    """The middle of each test picture by every method and in truth, one method to a row, as a PNG."""
    rows = [enlarged(G, samples) for G in {**COMPETITORS, **methods}.values()]
    rows.append([samples.read(index)["image"] for index in range(len(samples))])
    contact_sheet([[_middle(picture.cpu()) for picture in row] for row in rows], scale=2).save(path)


def _middle(picture: torch.Tensor) -> torch.Tensor:
    side = min(_SHOWN, *picture.shape[1:])
    top, left = (picture.shape[1] - side) // 2, (picture.shape[2] - side) // 2
    return picture[:, top : top + side, left : left + side]


def _placed(phi: FeatureMaps, runtime: Runtime) -> FeatureMaps:
    runtime.place(phi)
    return phi
