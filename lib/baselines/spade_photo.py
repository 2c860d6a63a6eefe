"""``python -m lib train spade-photo``: SPADE on warps of one bundled photo, for comparison, and its measures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lib.baselines.spade import photo_settings, train_on_photo
from lib.data.conditions import Condition
from lib.data.photos import Photo, load_photo
from lib.games.photo_features_train import photo_maps
from lib.games.spade import SpadeConfig
from lib.games.translator import Translator
from lib.games.translator_train import TranslatorCommand
from lib.images import contact_sheet
from lib.metrics.layout import PatchJudge
from lib.metrics.table import evaluate
from lib.runtime import RunCard, Runtime
from lib.training.history import History
from lib.training.live import ProgressPrinter

__all__ = ["PhotoSpadeCommand", "main", "measure_targets", "write_sheet"]


@dataclass(frozen=True, kw_only=True)
class PhotoSpadeCommand(TranslatorCommand):
    """Train SPADE on warps of one bundled photo; write spade_PHOTO with its card and its measured results."""

    photo: str
    """a bundled photo: astronaut, chelsea, china, coffee, flower or rocket"""
    side: int = 128
    """long side in pixels"""

    def config(self) -> SpadeConfig:
        """The settings of the training."""
        chosen = SpadeConfig.full(norm="instance", batch=1, rounds=5000) if self.full else photo_settings()
        return replace(chosen, size=self.side, rounds=self.rounds or chosen.rounds)


def main(config: PhotoSpadeCommand) -> int:
    """Run the command."""
    chosen, runtime, photo = config.config(), Runtime.detect(config.device), load_photo(config.photo, side=config.side)
    name = f"spade_{photo.name}"
    layout, history = torch.from_numpy(photo.layout.index.copy()).long(), History()
    with RunCard(name, seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        generator = train_on_photo(
            photo.image, layout, chosen, seed=config.seed, perceptual=photo_maps(), runtime=runtime, history=history,
            on_round=ProgressPrinter(title=f"SPADE on {photo.name}"), **config.play_options(),
        )  # fmt: skip
    translator = Translator(generator, Condition("labels", photo.layout.palette), runtime=runtime)
    scores = measure_targets(translator, photo)
    data = f"warps of {photo.name} at {photo.image.shape[2]} x {photo.image.shape[1]} px; measured on its new layouts"
    config.publish(name, translator, chosen, data=data, scores=scores, history=history, card=card)
    if config.sheet is not None:
        write_sheet(config.sheet, translator, photo)
    return 0


def measure_targets(translator: Translator, photo: Photo) -> dict[str, float]:
    """The mean over the photo's new layouts of `lib.metrics.table.evaluate`, judged by its patches."""
    judges = {"patches": PatchJudge(photo.image[None], photo.layout.one_hot())}
    rows = [
        evaluate(translator.translate(target), target, photo.image, photo.layout, judges)
        for target in photo.targets.values()
    ]
    known = {key: [row[key] for row in rows if not math.isnan(row[key])] for key in rows[0]}
    return {key: math.fsum(values) / len(values) for key, values in known.items() if values}


def write_sheet(path: Path, translator: Translator, photo: Photo) -> None:
    """The layouts, and below them the photo and what was painted, as a PNG."""
    painted = [translator.translate(layout) for layout in (photo.layout, *photo.targets.values())]
    layouts = [photo.layout, photo.layout, *photo.targets.values()]
    contact_sheet([layouts, [photo.image, *painted]], titles=["photo", "own layout", *photo.targets], scale=2).save(
        path
    )
