"""``python -m lib ablate maskface-terms``: who needs whom among the terms of the abstract, where faces form.

All variants have our flat colours, skips and smooth doublings, and an S as fast as G. None has ``rebuild`` or
``follow``: both show R and G true faces, and so do a part of the work of every term that is taken away here. At the
start G hardly hears the style, so that a style which shows was learned.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lib.data.worlds.faces import Faces
from lib.data.worlds.world import Batch, one_hot
from lib.games.maskface import TERMS, MaskFaceConfig
from lib.games.maskface_study import MaskFaceStudyCommand, Plan, conduct
from lib.images import read_image, to_pil, write_atomically
from lib.labelmaps import LabelMap
from lib.nn.maskface import FaceModel
from lib.runtime import seeded

__all__ = ["START", "TERMS_PLAN", "MaskFaceTermsCommand", "cells", "main", "place_strip", "strip"]

START: Mapping[str, Any] = {
    "rebuild": 0.0, "follow": 0.0, "hearing": 0.1, "detail": 0.05, "s_lr": 1.0, "diversity": 1.0, "ema": 0.99,
    "pool": 800, "batch": 4, "rounds": 400,
}  # fmt: skip
"""What all variants change in the quick profile. The weights are StarGAN v2's."""

TERMS_PLAN = Plan(
    "maskface terms",
    {**TERMS, "recon+div": {"judged": False}},
    {name: "all" for name in ("adv", "adv+recon", "adv+div", "recon+div")},
)
_PEOPLE = (1, 3)  # of the test faces: long hair and glasses; short hair
_STYLES = 4
_EMPTY = 0.8  # grey of a row that is still to come


@dataclass(frozen=True, kw_only=True)
class MaskFaceTermsCommand(MaskFaceStudyCommand):
    """Train the four networks with each choice of the abstract's terms, on flat colours; measure, and show."""

    sheet: Path | None = None
    """JPEG for the pictures of the first seed, one row for each variant"""

    def settings(self) -> MaskFaceConfig:
        """What every variant changes."""
        chosen = MaskFaceConfig.full() if self.full else MaskFaceConfig.quick(**START)
        return replace(chosen, rounds=self.rounds or chosen.rounds)


def main(config: MaskFaceTermsCommand) -> int:
    """Run the command."""
    order = list(TERMS_PLAN.variants)

    def look(variant: str, seed: int, model: FaceModel, faces: Batch) -> None:
        if config.sheet is not None and seed == config.seeds[0]:
            place_strip(config.sheet, strip(model, faces), order.index(variant), len(order))

    return conduct(config, TERMS_PLAN, "maskface-terms", look=look)


@torch.no_grad()
def strip(model: FaceModel, faces: Batch, *, seed: int = 0) -> Tensor:
    """One row of the sheet, (3, size, 14 size): two masks, each before itself in four styles, and four re-readings.

    The last four show the second mask in the styles that R reads from the four faces of the first. Where R reads well
    they equal the four before.
    """
    masks = one_hot(faces["labels"][list(_PEOPLE)].long(), model.config.classes)
    styles = model.S(model.draw(_STYLES, seeded(seed)))
    first, second = (mask.expand(_STYLES, -1, -1, -1) for mask in masks.split(1))
    painted = model.G(first, styles)
    groups = (painted, model.G(second, styles), model.G(second, model.R(painted)))
    shown = [LabelMap(mask.argmax(dim=0).byte().numpy(), Faces.palette).to_rgb() for mask in masks]
    return torch.cat([shown[0], *groups[0], shown[1], *groups[1], *groups[2]], dim=2)


def place_strip(path: Path, row: Tensor, number: int, rows: int) -> None:
    """Write a row of the sheet into its file; rows that are there already stay.

    Args:
        row: (3, H, W).
        number: of the row, from 0 on, among `rows`.
    """
    _, height, width = row.shape
    sheet = read_image(path) if path.exists() else torch.full((3, rows * height, width), _EMPTY)
    if sheet.shape != (3, rows * height, width):
        raise ValueError(f"{path} has another form than {rows} rows of {width} x {height} px; name a new file.")
    sheet[:, number * height : (number + 1) * height] = row
    buffer = io.BytesIO()
    picture: Image.Image = to_pil(sheet)
    # Blocks of 8 px that nobody touched keep their values when they are written again.
    picture.save(buffer, "JPEG", quality=92, subsampling=0, optimize=True)
    write_atomically(path, buffer.getvalue())


def cells(sheet: Tensor, size: int) -> list[list[Tensor]]:
    """The sheet (3, H, W) as rows of cells (3, size, size)."""
    return [list(row.split(size, dim=2)) for row in sheet.split(size, dim=1)]
