"""``python -m lib data preview``: a sheet of pictures from a world, each above its label map."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from PIL import Image

from lib.data.worlds.catalogue import world_named
from lib.data.worlds.world import MAX_SIZE, MIN_SIZE, Parameters, Split, World, WorldError, split_generator
from lib.images import Cell, contact_sheet, write_atomically
from lib.labelmaps import LabelMap

SHOWN = 128
"""Smaller pictures are enlarged to about this many pixels on the sheet."""


@dataclass(frozen=True)
class PreviewCommand:
    """Draw pictures from a world and write them, with their label maps, as one PNG."""

    out: Path
    """the PNG to write"""
    world: Literal["faces", "facades", "digits"] = "faces"
    """where the pictures come from"""
    size: int = 64
    """side of a picture in pixels"""
    rows: int = 3
    """rows of pictures; each has a row of label maps below"""
    columns: int = 8
    """pictures in a row; with --attribute there is one for each value instead"""
    attribute: str | None = None
    """show each row's picture with every value of this attribute, everything else fixed"""
    split: Split = "train"
    """train, val or test"""
    seed: int = 0
    """which pictures of the split"""


def main(config: PreviewCommand) -> int:
    """Write the sheet and say what is on it."""
    world = world_named(config.world)
    sheet = preview(
        world,
        size=config.size,
        rows=config.rows,
        columns=config.columns,
        attribute=config.attribute,
        generator=split_generator(config.split, config.seed),
    )
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    write_atomically(config.out, buffer.getvalue())
    shown = f"every {config.attribute} of {config.rows}" if config.attribute else str(config.rows * config.columns)
    print(f"{config.out}: {shown} pictures of {world.name} at {config.size} px, {len(world.palette)} classes")
    return 0


def preview(
    world: World, *, size: int, rows: int, columns: int, generator: torch.Generator, attribute: str | None = None
) -> Image.Image:
    """The sheet: rows of pictures and, below each, their label maps in the world's palette.

    Raises:
        WorldError: a size, count or attribute that the world does not have.
    """
    if min(rows, columns) < 1 or not MIN_SIZE <= size <= MAX_SIZE:
        raise WorldError(f"A sheet needs rows, columns and a size from {MIN_SIZE} to {MAX_SIZE} pixels.")
    titles = None if attribute is None else list(_values(world, attribute))
    cells: list[list[Cell]] = []
    for _ in range(rows):
        drawn = world.sample(columns if titles is None else 1, generator=generator)
        parameters = drawn if attribute is None else _each_value(world, drawn, attribute)
        batch = world.render(parameters, size)
        cells += [list(batch["image"]), [LabelMap(labels.numpy(), world.palette) for labels in batch["labels"].cpu()]]
    return contact_sheet(cells, titles, scale=max(1, SHOWN // size))


def _values(world: World, attribute: str) -> tuple[str, ...]:
    world.value(attribute, next(iter(world.attributes.get(attribute, ("",)))))  # one clear sentence if unknown
    return world.attributes[attribute]


def _each_value(world: World, drawn: Parameters, attribute: str) -> Parameters:
    """One picture repeated, once with each value of the attribute."""
    values = [world.changed(drawn, **{attribute: value}) for value in _values(world, attribute)]
    return {name: torch.cat([parameters[name] for parameters in values]) for name in drawn}
