"""``python -m lib train analogy``: the models that the book ships, and their measured results."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from lib.book.paths import repository_root
from lib.data.photos import load_photo
from lib.games.analogist import Analogist
from lib.games.analogy import AnalogyConfig
from lib.games.analogy_cli import measure, summary
from lib.images import contact_sheet, write_atomically
from lib.labelmaps import LabelMap
from lib.runtime import RunCard, Runtime, profile
from lib.training.live import ProgressPrinter


@dataclass(frozen=True)
class TrainCommand:
    """Train the analogy of one bundled photo; write its model, its card and its measured results."""

    photo: str
    """a bundled photo: astronaut, chelsea, china, coffee, flower or rocket"""
    profile: Literal["quick", "full"] | None = None
    """quick: minutes on two CPU cores; full: a GPU. Default: BOOK_PROFILE, else quick"""
    side: int | None = None
    """long side in pixels; default: the profile's"""
    seed: int = 0
    """seed of the training"""
    device: str | None = None
    """cuda, mps or cpu; default: the fastest"""
    checkpoints: Path = repository_root() / "assets" / "checkpoints"
    """folder for analogy_PHOTO.safetensors and its card"""
    results: Path = repository_root() / "assets" / "results"
    """folder for analogy_PHOTO.json, the measures of every target"""
    sheet: Path | None = None
    """also write a contact sheet to this PNG"""


def main(config: TrainCommand) -> int:
    """Run the command."""
    chosen = AnalogyConfig.full() if (config.profile or profile()) == "full" else AnalogyConfig.quick()
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
    record = {"run": card.as_dict(), "mean": summary(rows), "targets": rows}
    config.results.mkdir(parents=True, exist_ok=True)
    write_atomically(config.results / f"analogy_{photo.name}.json", (json.dumps(record, indent=1) + "\n").encode())
    if config.sheet is not None:
        cells: list[list[Tensor | LabelMap]] = [[photo.layout], [photo.image]]
        cells[0] += photo.targets.values()
        cells[1] += pictures.values()
        contact_sheet(cells, titles=["source", *pictures], scale=2).save(config.sheet)
    print(json.dumps(summary(rows), indent=1))
    return 0
