"""``python -m lib book overview``: the README's two pictures, of the shipped models and of the worlds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from lib.book.paths import repository_root
from lib.data.photos import load_photo
from lib.data.worlds.catalogue import world_named
from lib.data.worlds.world import World, split_generator
from lib.games.analogist import Analogist
from lib.images import contact_sheet
from lib.labelmaps import LabelMap
from lib.runtime import Runtime

SHOWN = {
    "flower": ("left", "two", "bigger", "heart"),
    "china": ("wide", "tall", "right", "lake"),
    "astronaut": ("smile_wider", "hair_full", "hair_long", "hair_short"),
}

COLUMNS, SIZE = 8, 128  # pictures of a world, and their side in pixels


@dataclass(frozen=True)
class OverviewCommand:
    """Paint the README's pictures again: what the shipped models make, and a sheet of each world."""

    out: Path = repository_root() / "assets" / "figures"
    """folder for analogy_overview.jpg and worlds.jpg"""
    checkpoints: Path = repository_root() / "assets" / "checkpoints"
    """folder of the shipped models"""


def main(config: OverviewCommand) -> int:
    """Run the command."""
    config.out.mkdir(parents=True, exist_ok=True)
    for name, sheet in {"analogy_overview": analogies(config.checkpoints), "worlds": worlds()}.items():
        path = config.out / f"{name}.jpg"
        sheet.save(path, quality=90)
        print(f"wrote {path}")
    return 0


def worlds() -> Image.Image:
    """People, street fronts by day and by night, and house numbers; below each picture its label map."""
    faces, facades, digits = (world_named(name) for name in ("faces", "facades", "digits"))
    streets = facades.sample(COLUMNS, generator=split_generator("test", 3))
    day = facades.render(facades.changed(streets, time="day"), SIZE)
    night = facades.render(facades.changed(streets, time="night"), SIZE)
    people = faces.draw(COLUMNS, SIZE, generator=split_generator("test", 0))
    numbers = digits.draw(COLUMNS, SIZE, generator=split_generator("test", 1))
    rows: list[list[Tensor | LabelMap]] = [[*people["image"]], _maps(faces, people["labels"])]
    rows += [[*day["image"]], [*night["image"]], _maps(facades, day["labels"])]
    rows += [[*numbers["image"]], _maps(digits, numbers["labels"])]
    return contact_sheet(rows)


def _maps(world: World, labels: Tensor) -> list[Tensor | LabelMap]:
    return [LabelMap(index.numpy(), world.palette) for index in labels]


def analogies(checkpoints: Path) -> Image.Image:
    """Source and target layouts, and below them the photo and what its model paints."""
    rows: list[list[Tensor | LabelMap]] = []
    titles: list[list[str]] = []
    runtime = Runtime.detect("cpu")
    for name, chosen in SHOWN.items():
        analogist = Analogist.load(checkpoints / f"analogy_{name}.safetensors", runtime=runtime)
        photo = load_photo(name, side=analogist.config.side)
        targets = [photo.targets[target] for target in chosen]
        rows += [[photo.layout, *targets], [photo.image, *(analogist.paint(target) for target in targets)]]
        titles += [["source", *(target.replace("_", " ") for target in chosen)], [""] * (len(chosen) + 1)]
    return contact_sheet(rows, titles=titles, scale=2)
