"""``python -m lib train analogy``: the models that the book ships, and their measured results."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from torch import Tensor

from lib.data.photos import load_photo
from lib.games.analogist import Analogist
from lib.games.analogy import AnalogyConfig
from lib.games.analogy_cli import measure, summary
from lib.games.command import TrainingCommand
from lib.images import contact_sheet
from lib.labelmaps import LabelMap
from lib.runtime import RunCard, Runtime
from lib.training.live import ProgressPrinter


@dataclass(frozen=True, kw_only=True)
class TrainCommand(TrainingCommand):
    """Train the analogy of one bundled photo; write analogy_PHOTO with its card and its measured results."""

    photo: str
    """a bundled photo: astronaut, chelsea, china, coffee, flower or rocket"""
    side: int | None = None
    """long side in pixels; default: the profile's"""


def main(config: TrainCommand) -> int:
    """Run the command."""
    chosen = AnalogyConfig.full() if config.full else AnalogyConfig.quick()
    chosen = replace(chosen, side=config.side or chosen.side)
    photo = load_photo(config.photo, side=chosen.side)
    runtime = Runtime.detect(config.device)
    with RunCard(f"analogy {photo.name}", seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        analogist = Analogist.train(
            photo.image, photo.layout, chosen, seed=config.seed, runtime=runtime,
            on_round=ProgressPrinter(title=photo.name),
        )  # fmt: skip
    pictures = {name: analogist.paint(target) for name, target in photo.targets.items()}
    rows = measure(photo.image, photo.layout, photo.targets, pictures, seed=config.seed)
    scores = {f"{method}/{name}": value for method, row in summary(rows).items() for name, value in row.items()}
    analogist.save(config.checkpoints / f"analogy_{photo.name}.safetensors", metrics=scores, data=photo.name)
    config.record(f"analogy_{photo.name}", {"run": card.as_dict(), "mean": summary(rows), "targets": rows})
    if config.sheet is not None:
        cells: list[list[Tensor | LabelMap]] = [[photo.layout], [photo.image]]
        cells[0] += photo.targets.values()
        cells[1] += pictures.values()
        contact_sheet(cells, titles=["source", *pictures], scale=2).save(config.sheet)
    print(json.dumps(summary(rows), indent=1))
    return 0
