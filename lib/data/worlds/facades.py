"""Street fronts by day and by night: label maps of architecture, and pictures of them.

The layout (outline, floors, bays, windows, roof, trees …) and the appearance (material, colours, season, weather, time,
light) are separate parameters, so one building can be drawn in stone or brick, in July or in January, at noon
or at night, with one and the same label map:

    day = world.sample(8, generator=generator)
    night = world.changed(day, time="night")       # world.render(night, 64)["labels"] stays as it was

The classes follow the CMP Facade data set (Tyleček and Šára, 2013), with the sky, roof, plants and street added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from lib.data.worlds.facades_ground import paint_ground, paint_ivy, paint_neighbours, paint_plants, paint_tree
from lib.data.worlds.facades_layout import BAYS, FLOORS
from lib.data.worlds.facades_light import develop, paint_sky
from lib.data.worlds.facades_roof import paint_cornices, paint_gable, paint_pillars, paint_roof
from lib.data.worlds.facades_scene import FACADE_PALETTE, Scene
from lib.data.worlds.facades_street import paint_balconies, paint_door, paint_shop
from lib.data.worlds.facades_walls import paint_wall
from lib.data.worlds.facades_windows import opening, paint_windows
from lib.data.worlds.world import Batch, Parameters, World
from lib.labelmaps import Palette

# Layout choices and how often each value occurs; all are parameters, so `World.changed` can set them.
TRAITS: Mapping[str, tuple[float, ...]] = {
    "roof": (0.22, 0.30, 0.24, 0.14, 0.10),  # flat, pitched, mansard, gable, stepped gable
    "arches": (0.45, 0.35, 0.20),  # none, on some floors, everywhere
    "hoods": (0.30, 0.25, 0.25, 0.20),  # over the windows: none, flat, triangular, keystone
    "twins": (0.75, 0.25),  # one or two windows in a bay
    "shutters": (0.55, 0.45),
    "balconies": (0.40, 0.38, 0.22),  # none, at some windows, along a floor
    "pillars": (0.45, 0.30, 0.25),  # none, pilasters, quoins at the corners
    "shop": (0.50, 0.50),
    "dormers": (0.35, 0.65),
    "flowers": (0.65, 0.35),
    "ivy": (0.78, 0.22),
    "tree": (0.58, 0.42),
    "bushes": (0.60, 0.40),
}  # fmt: skip
WEATHER = (0.50, 0.28, 0.22)  # grey pictures are the harder half, not most of them


class Facades(World):
    """Street fronts with their label maps.

    The layout is set by `TRAITS` (int64) and by ``floors`` 2–6 and ``bays`` 2–7 (int64); ``frame`` (B, 4), left, right,
    eaves and ground line of the façade; ``camera`` (B, 2), leaning verticals and slant; ``style`` (B, 8) and
    ``planting`` (B, 4), proportions in [0, 1); ``structure`` (int64), the seed of all that differs between cells.

    The attributes and four more parameters change the picture and never its labels: ``surface`` (int64), the seed of
    textures and of which windows are lit; ``colours`` (B, 8) in [0, 1); ``light`` (B, 2), how far a thing throws its
    shadow to the right and down, in its own depths; ``evening`` (B,), the share of lit windows in [0, 1].
    """

    name: ClassVar[str] = "facades"
    palette: ClassVar[Palette] = FACADE_PALETTE
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "material": ("plaster", "brick", "stone", "timber"),
        "season": ("summer", "autumn", "winter"),
        "weather": ("clear", "overcast", "rain"),
        "time": ("day", "night"),
    }

    def sample(self, count: int, *, generator: torch.Generator) -> Parameters:
        """Draw the parameters of `count` street fronts."""

        def uniform(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator, device=generator.device)

        def whole(low: int, high: int) -> Tensor:
            return torch.randint(low, high, (count,), generator=generator, device=generator.device)

        p = {name: whole(0, len(values)) for name, values in self.attributes.items() if name != "weather"}
        for name, weights in {**TRAITS, "weather": WEATHER}.items():
            edges = torch.tensor(weights, device=generator.device).cumsum(0)[:-1]
            p[name] = torch.bucketize(uniform(), edges)
        p["structure"], p["surface"] = whole(0, 2**31), whole(0, 2**31)
        p["floors"] = whole(FLOORS[0], FLOORS[1] + 1)
        p["bays"], p["frame"] = _frames(p["floors"], uniform(5))
        p["camera"] = uniform(2) * torch.tensor([0.09, 0.16], device=generator.device) - torch.tensor(
            [0.0, 0.08], device=generator.device
        )
        p["style"], p["planting"], p["colours"] = uniform(8), uniform(4), uniform(8)
        sun = uniform(2)
        side = torch.where(sun[:, 0] < 0.5, -1.0, 1.0)
        p["light"] = torch.stack([side * (0.35 + 1.1 * (2 * sun[:, 0]).frac()), 0.5 + 0.8 * sun[:, 1]], dim=1)
        p["evening"] = 0.25 + 0.6 * uniform()
        return p

    def render(self, parameters: Parameters, size: int) -> Batch:
        """Draw the street fronts from back to front."""
        scene = Scene(parameters, size)
        paint_sky(scene)
        paint_neighbours(scene)
        paint_roof(scene)
        paint_wall(scene)
        paint_gable(scene)
        paint_pillars(scene)
        paint_cornices(scene)
        paint_ivy(scene)
        hole = opening(scene)
        paint_windows(scene, hole)
        paint_shop(scene)
        paint_door(scene)
        paint_balconies(scene, hole)
        paint_ground(scene)
        paint_plants(scene)
        paint_tree(scene)
        return develop(scene)


def _frames(floors: Tensor, random: Tensor) -> tuple[Tensor, Tensor]:
    """Bays (B,) and outline (B, 4) of façades that fill the picture with cells of natural shape; `random` (B, 5)."""
    tall, wide, aspect, place, low = random.unbind(1)
    ground = 0.70 + 0.14 * low
    height = ((0.60 + 0.17 * floors) * (0.88 + 0.3 * tall)).clamp(max=1.62)
    bay = height / (floors + 0.4) * (0.72 + 0.55 * aspect)
    bays = ((1.25 + 0.85 * wide) / bay).round().long().clamp(*BAYS)
    width = (bays * bay).clamp(0.95, 2.5)
    left = (place - 0.5) * (2 - width).clamp(min=0.1) * 0.7 - width / 2
    return bays, torch.stack([left, left + width, ground - height, ground], dim=1)
