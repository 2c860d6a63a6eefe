"""``python -m lib book overview``: the picture at the top of the README, painted by the shipped models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lib.book.paths import repository_root
from lib.data.photos import load_photo
from lib.games.analogist import Analogist
from lib.images import contact_sheet
from lib.labelmaps import LabelMap
from lib.runtime import Runtime

SHOWN = {
    "flower": ("left", "two", "bigger", "heart"),
    "china": ("wide", "tall", "right", "lake"),
    "astronaut": ("smile_wider", "hair_full", "hair_long", "hair_short"),
}


@dataclass(frozen=True)
class OverviewCommand:
    """Paint the README's picture again from assets/checkpoints."""

    out: Path = repository_root() / "assets" / "figures" / "analogy_overview.jpg"
    """where to write the picture"""
    checkpoints: Path = repository_root() / "assets" / "checkpoints"
    """folder of the shipped models"""


def main(config: OverviewCommand) -> int:
    """Run the command."""
    rows: list[list[Tensor | LabelMap]] = []
    titles: list[list[str]] = []
    runtime = Runtime.detect("cpu")
    for name, chosen in SHOWN.items():
        analogist = Analogist.load(config.checkpoints / f"analogy_{name}.safetensors", runtime=runtime)
        photo = load_photo(name, side=analogist.config.side)
        targets = [photo.targets[target] for target in chosen]
        rows += [[photo.layout, *targets], [photo.image, *(analogist.paint(target) for target in targets)]]
        titles += [["source", *(target.replace("_", " ") for target in chosen)], [""] * (len(chosen) + 1)]
    config.out.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(rows, titles=titles, scale=2).save(config.out, quality=90)
    print(f"wrote {config.out}")
    return 0
