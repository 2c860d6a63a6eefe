"""``python -m lib train maskface``: faces from masks in any number of styles, and their measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lib.data.conditions import Condition
from lib.data.pairs import Paired
from lib.data.public.celebamask import CelebAMaskHQ
from lib.data.public.geometry import Geometry
from lib.data.public.stream import DataStream
from lib.data.shuffled import Shuffled
from lib.data.worlds.faces import Faces
from lib.data.worlds.world import Batch, Split, WorldStream, collect
from lib.games.maskface import TERMS, MaskFaceConfig, build_maskface
from lib.games.maskface_measures import Judges, measure
from lib.games.translator import Translator
from lib.games.translator_train import TranslatorCommand
from lib.images import Cell, contact_sheet
from lib.metrics.reader import load_reader
from lib.metrics.segmentation_score import load_parser
from lib.nn.maskface import FaceModel
from lib.runtime import RunCard, Runtime, seeded
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.play import play
from lib.training.streams import Stream

__all__ = [
    "MASKS", "MaskFaceCommand", "held_out_faces", "main", "photo_stream", "train_maskface", "training_stream",
    "write_sheet",
]  # fmt: skip

MASKS = Condition("labels", Faces.palette)
"""What G is told."""

_DRAW = 32  # pictures of the world drawn at a time
_KEPT = ("image", "labels", "hair")


def training_stream(config: MaskFaceConfig, *, seed: int = 0, device: torch.device | str = "cpu") -> Paired:
    """Endless batches of the face world with ``condition`` and ``image``."""
    if not config.pool:
        return Paired(_stream(config, config.batch, "train", seed, device), MASKS)
    drawn = _drawn(config, config.pool, "train", seed, device)
    return Paired(Shuffled(drawn, batch=config.batch, generator=seeded(seed)), MASKS)


def photo_stream(
    root: Path, config: MaskFaceConfig, *, seed: int = 0, device: torch.device | str = "cpu"
) -> Paired:  # fmt: skip
    """The same from a reader's copy of CelebAMask-HQ, with the classes of the face world."""
    samples = CelebAMaskHQ(root, "train", palette=Faces.palette)
    geometry = Geometry(config.size, load=round(1.1 * config.size), flip=0.5)
    return Paired(DataStream(samples, geometry, batch=config.batch, seed=seed, workers=2, device=device), MASKS)


def held_out_faces(config: MaskFaceConfig, count: int, *, seed: int = 0) -> Batch:
    """``image``, ``labels`` and ``hair`` of `count` test faces, always the same for one seed."""
    return _drawn(config, count, "test", seed, "cpu")


def train_maskface(
    config: MaskFaceConfig, *, seed: int = 0, stream: Stream | None = None, runtime: Runtime | None = None,
    **options: Any,
) -> tuple[FaceModel, History]:  # fmt: skip
    """Train from scratch; an interrupt ends it early and keeps what was learned.

    Args:
        stream: batches with ``condition`` and ``image``; default `training_stream`.
        options: of `lib.training.play.play`.

    Returns:
        The average of S, G and R, in evaluation mode, and the history.
    """
    runtime = runtime or Runtime.detect()
    game = build_maskface(MASKS.channels, config, seed=seed)
    runtime.place(game)  # in place, as for every module
    ema = EMA(game.model, config.ema)
    history = play(
        game, stream or training_stream(config, seed=seed, device=runtime.device), config.rounds,
        optimisers=config.optimisers(game), schedule=config.learning_rate, ema=ema, runtime=runtime, **options,
    )  # fmt: skip
    model = ema.module
    assert isinstance(model, FaceModel)
    return model, history


@dataclass(frozen=True, kw_only=True)
class MaskFaceCommand(TranslatorCommand):
    """Train the four networks on masks and faces; write the weights, their card and their measured results."""

    terms: Literal["adv", "adv+recon", "adv+div", "all"] = "all"
    """which terms G has: the adversarial one, the reconstruction of the style, diversity"""
    celebamask: Path | None = None
    """folder with CelebAMask-HQ to learn from, instead of the face world; measured on the world all the same"""

    def config(self) -> MaskFaceConfig:
        """The settings of the training."""
        chosen = (MaskFaceConfig.full if self.full else MaskFaceConfig.shipped)()
        return replace(chosen, rounds=self.rounds or chosen.rounds, **TERMS[self.terms])


def main(config: MaskFaceCommand) -> int:
    """Run the command; the weights are called maskface_faces, or maskface_photos with CelebAMask-HQ."""
    chosen, runtime = config.config(), Runtime.detect(config.device)
    chosen.check()
    judges = Judges(load_parser("faces"), load_reader("faces"))  # before the training, where a missing one is news
    name = "maskface_faces" if config.celebamask is None else "maskface_photos"
    stream = None if config.celebamask is None else photo_stream(
        config.celebamask, chosen, seed=config.seed, device=runtime.device)  # fmt: skip
    with RunCard(name, seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        model, history = train_maskface(
            chosen, seed=config.seed, stream=stream, runtime=runtime,
            on_round=ProgressPrinter(title=f"mask to face, {config.terms}"), **config.play_options(),
        )  # fmt: skip
    translator = Translator(model, MASKS, noisy=True, runtime=runtime)
    faces, others = (held_out_faces(chosen, config.pairs, seed=seed) for seed in (0, 1))
    scores = measure(model.cpu(), faces, others, judges, always=chosen.always)
    data = f"{name} at {chosen.size} px; measured on {config.pairs} test faces of the world"
    config.publish(name, translator, chosen, data=data, scores=scores, history=history, card=card)
    if config.sheet is not None:
        write_sheet(config.sheet, model, faces)
    return 0


@torch.no_grad()
def write_sheet(path: Path, model: FaceModel, faces: Mapping[str, Tensor], *, count: int = 8, styles: int = 4) -> None:
    """Masks, true faces, faces in some styles (one to a row), and each mask in the next face's style, as a PNG."""
    x, mask = faces["image"][:count], MASKS.of({"labels": faces["labels"][:count]})
    rows: list[list[Cell]] = [[MASKS.show(one) for one in mask], list(x)]
    for seed in range(styles):
        style = model.S(model.draw(1, seeded(seed)))
        rows.append(list(model(mask, style=style)))
    rows.append(list(model(mask, style=model.R(x.roll(-1, 0)))))
    contact_sheet(rows, scale=2 if x.shape[-1] <= 64 else 1).save(path)


def _stream(
    config: MaskFaceConfig, batch: int, split: Split, seed: int, device: torch.device | str
) -> WorldStream:  # fmt: skip
    return WorldStream(
        Faces(), batch=batch, size=config.size, split=split, seed=seed, device=device, always=config.always
    )  # fmt: skip


def _drawn(config: MaskFaceConfig, count: int, split: Split, seed: int, device: torch.device | str) -> Batch:
    drawn = collect(_stream(config, min(_DRAW, count), split, seed, device), count)
    return {key: drawn[key] for key in _KEPT}
