"""``python -m lib evaluate gallery``: what the competitors painted, as pictures: for people to rank, and to look at.

The user study of the paper lets people rank Image Analogies, Deep Image Analogy and its own method. Chapter 13 does so
with the pictures that are written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from lib.baselines.cases import Case, photo_case
from lib.baselines.inputs import PaintError
from lib.baselines.painters import PAINTERS
from lib.book.paths import repository_root
from lib.images import contact_sheet, read_image, to_pil
from lib.labelmaps import LabelMap
from lib.runtime import Runtime

__all__ = ["EDITS", "RANKED", "GalleryCommand", "load_version", "main"]

RANKED = ("texture-by-numbers", "deep image analogy", "ours")  # who the paper's user study compares
EDITS: Mapping[str, tuple[str, ...]] = {
    "flower": ("two", "heart"),
    "china": ("wide", "lake"),
    "coffee": ("no_spoon", "left"),
    "astronaut": ("hair_full", "mouth_smaller"),
    "chelsea": ("sleepy", "looks_left"),
    "rocket": ("two_rockets", "no_towers"),
}
"""Photo -> the layouts that people rank; the first of each is on the sheet of all competitors."""
_SHOWN = tuple(method for method in PAINTERS if method != "copy")  # a copy is the photo, which is shown anyway
_QUALITY = 92  # of JPEG: what it takes away is below what the competitors do


@dataclass(frozen=True)
class GalleryCommand:
    """Write the pictures of the user study, and a sheet of one edit of each photo by every competitor."""

    pictures: Path | None = None
    """folder that `evaluate analogy --pictures` wrote; what is not there is painted anew, which may take hours"""
    out: Path = repository_root() / "assets" / "figures"
    """folder for analogy_photos.jpg and the folder ranked"""
    device: str | None = None
    """cuda, mps or cpu; default: the fastest"""


def main(config: GalleryCommand) -> int:
    """Run the command."""
    runtime = Runtime.detect(config.device)
    ranked = config.out / "ranked"
    ranked.mkdir(parents=True, exist_ok=True)
    columns: list[list[Tensor | LabelMap]] = []
    for name, wishes in EDITS.items():
        case = photo_case(name)
        made = {(method, wishes[0]): _version(config, case, method, wishes[0], runtime) for method in PAINTERS}
        made |= {(method, wish): _version(config, case, method, wish, runtime) for wish in wishes for method in RANKED}
        for wish in wishes:
            for method in RANKED:
                to_pil(made[method, wish]).save(_file(ranked, name, wish, method), quality=_QUALITY)
        columns.append([case.image, case.targets[wishes[0]], *(made[method, wishes[0]] for method in _SHOWN)])
    path = config.out / "analogy_photos.jpg"
    _sheet(columns).save(path, quality=_QUALITY)
    print(f"wrote {path} and {len(list(ranked.glob('*.jpg')))} pictures to {ranked}")
    return 0


def load_version(name: str, wish: str, method: str, folder: Path | None = None) -> Tensor:
    """What a competitor painted for an edit of `EDITS`: (3, H, W) in [-1, 1].

    Args:
        folder: default the book's own.

    Raises:
        PaintError: it is not among the pictures.
    """
    path = _file(folder or repository_root() / "assets" / "figures" / "ranked", name, wish, method)
    if not path.is_file():
        raise PaintError(f"There is no picture {path.name}; write it with python -m lib evaluate gallery.")
    return read_image(path)


def _file(folder: Path, name: str, wish: str, method: str) -> Path:
    return folder / f"{name}-{wish}-{method.replace(' ', '-')}.jpg"


def _version(config: GalleryCommand, case: Case, method: str, wish: str, runtime: Runtime) -> Tensor:
    if config.pictures is not None:
        path = config.pictures / "photos" / case.name / method / f"{wish}.png"
        if path.is_file():
            return read_image(path)
    return PAINTERS[method](replace(case, targets={wish: case.targets[wish]}), runtime)[wish].cpu()


def _sheet(columns: list[list[Tensor | LabelMap]]) -> Image.Image:
    """One column for each photo, one row for each competitor, the name of the row in its first title."""
    rows = [list(row) for row in zip(*columns, strict=True)]
    titles = [[name, *[""] * (len(columns) - 1)] for name in ("photo", "layout", *_SHOWN)]
    return contact_sheet(rows, titles=titles)
