"""Walls: plaster, brick, stone and timber."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.data.worlds.draw import column
from lib.data.worlds.facades_colours import RGB, choose, fixed
from lib.data.worlds.facades_scene import Scene
from lib.data.worlds.facades_shapes import either, less, only, ramp, rectangle, repeated, stroke

# One row of colours for each material: what the wall is made of, and what lies between (cracks, mortar, joints, beams).
WALLS: tuple[tuple[RGB, ...], ...] = (
    ((0.93, 0.86, 0.70), (0.90, 0.72, 0.58), (0.86, 0.88, 0.84), (0.95, 0.80, 0.55), (0.74, 0.82, 0.84),
     (0.88, 0.66, 0.62), (0.82, 0.85, 0.70), (0.94, 0.91, 0.86)),
    ((0.68, 0.33, 0.25), (0.60, 0.29, 0.23), (0.74, 0.45, 0.32), (0.55, 0.34, 0.28), (0.78, 0.62, 0.45),
     (0.64, 0.40, 0.36), (0.72, 0.38, 0.24), (0.50, 0.30, 0.26)),
    ((0.80, 0.74, 0.62), (0.72, 0.70, 0.66), (0.84, 0.79, 0.70), (0.66, 0.63, 0.60), (0.78, 0.68, 0.54),
     (0.74, 0.72, 0.70), (0.82, 0.76, 0.64), (0.62, 0.60, 0.56)),
    ((0.94, 0.90, 0.80), (0.92, 0.84, 0.66), (0.90, 0.90, 0.86), (0.88, 0.78, 0.60), (0.82, 0.62, 0.46),
     (0.93, 0.88, 0.74), (0.78, 0.80, 0.72), (0.86, 0.70, 0.58)),
)  # fmt: skip
BETWEEN: tuple[RGB, ...] = ((0.62, 0.54, 0.46), (0.80, 0.76, 0.70), (0.46, 0.43, 0.39), (0.27, 0.18, 0.13))
TRIMS: tuple[RGB, ...] = (
    (0.95, 0.94, 0.90), (0.88, 0.84, 0.74), (0.82, 0.80, 0.76), (0.97, 0.93, 0.82), (0.70, 0.66, 0.60),
    (0.92, 0.88, 0.84),
)  # fmt: skip


def wall_colour(scene: Scene) -> Tensor:
    """The colour of the wall without its texture, (B, 3)."""
    rows = torch.stack([choose(row, scene.p["colours"][:, 0]) for row in WALLS], dim=1)  # (B, materials, 3)
    base = rows.gather(1, scene.p["material"][:, None, None].expand(-1, 1, 3))[:, 0]
    return base * (0.92 + 0.14 * scene.p["colours"][:, 6:7])


def trim_colour(scene: Scene) -> Tensor:
    """The colour of mouldings, cornices and frames, (B, 3)."""
    return choose(TRIMS, scene.p["colours"][:, 1])


def wall_distance(scene: Scene) -> Tensor:
    """Signed distance to the façade up to its eaves."""
    layout = scene.layout
    x, y = scene.x - (layout.left + layout.right) / 2, scene.y - (layout.eaves + layout.ground) / 2
    return rectangle(x, y, (layout.right - layout.left) / 2, (layout.ground - layout.eaves) / 2)


def paint_wall(scene: Scene) -> None:
    """The wall, up to the eaves or to the top of its gable."""
    scene.paint(
        scene.cover(torch.minimum(wall_distance(scene), gable_distance(scene, scene.x, scene.y))),
        textured_wall(scene), "wall", silhouette=True,
    )  # fmt: skip


def gable_distance(scene: Scene, x: Tensor, y: Tensor) -> Tensor:
    """Distance of points to the wall above the eaves, under a gable roof; far where the roof is of another kind."""
    layout = scene.layout
    x = (x - (layout.left + layout.right) / 2).abs()
    half, up = (layout.right - layout.left) / 2, layout.eaves - y
    rise = torch.minimum(half * (0.62 + 0.3 * scene.number("style", 0)), layout.eaves + 0.95)
    steps = 5
    stair = (torch.ceil(x / half * steps - 1e-4) - 0.5) / steps
    stepped = torch.maximum(up - rise * (1 - stair), x - half)
    slanted = (up - rise * (1 - x / half)) * torch.rsqrt(1 + (rise / half) ** 2)
    distance = either(scene.where("roof", 4), stepped, torch.maximum(slanted, x - half))
    return only(torch.maximum(distance, -up), scene.where("roof", 3, 4))


def textured_wall(scene: Scene) -> Tensor:
    """The colour of the wall at every pixel, (B, 3, H, W): a tone of the material and a share of what lies between."""
    coarse, fine = scene.noise(3, 2.2, 1), scene.noise(22, 22, 2)
    weather = 1 + 0.14 * (coarse - 0.5) + 0.10 * (fine - 0.5)
    tone, mix = torch.ones_like(weather), torch.zeros_like(weather)
    for index, texture in enumerate((_plaster, _brick, _stone, _timber)):
        of_material, between = texture(scene)
        here = scene.where("material", index)
        tone, mix = either(here, of_material, tone), either(here, between, mix)
    damp = 1 - 0.16 * ramp(scene.y, scene.layout.ground - 0.16, scene.layout.ground)
    between = torch.stack([fixed(colour, mix) for colour in BETWEEN], dim=1)
    between = between.gather(1, scene.p["material"][:, None, None].expand(-1, 1, 3))[:, 0]
    wall = wall_colour(scene)[:, :, None, None] * tone[:, None]
    return torch.lerp(wall, between[:, :, None, None].expand_as(wall), mix[:, None]) * (weather * damp)[:, None]


def _plaster(scene: Scene) -> tuple[Tensor, Tensor]:
    """Smooth, with rain streaks and patches where the colour has gone."""
    streaks = scene.noise(26, 1.6, 3)
    patches = ramp(scene.noise(5, 5, 4) * 0.7 + scene.noise(17, 17, 5) * 0.3, 0.70, 0.74)
    return 1 - 0.10 * ramp(streaks, 0.45, 0.95), patches * 0.55 * ramp(column(scene.p["colours"][:, 7]), 0.3, 1.0)


def _brick(scene: Scene) -> tuple[Tensor, Tensor]:
    """Running bond: each course is set off by half a brick."""
    height, width = 0.030, 0.078
    row = torch.floor(scene.y / height)
    shifted = scene.x / width + 0.5 * (row % 2)
    tone = 0.80 + 0.34 * scene.random(torch.floor(shifted), row, 6)
    beds = stroke(repeated(scene.y, height), 0.0035, scene.pixel)
    joints = stroke(repeated(shifted, 1.0) * width, 0.0035, scene.pixel)
    return tone, torch.maximum(beds, joints) * 0.6


def _stone(scene: Scene) -> tuple[Tensor, Tensor]:
    """Ashlar: large blocks, lit on their upper edge."""
    height, width = 0.092, 0.20
    row = torch.floor(scene.y / height)
    shifted = scene.x / width + 0.5 * (row % 2)
    tone = 0.88 + 0.2 * scene.random(torch.floor(shifted), row, 7)
    edge = repeated(scene.y, height)
    tone = tone + 0.12 * stroke(edge - 0.009, 0.004, scene.pixel)
    joints = torch.maximum(
        stroke(edge, 0.0045, scene.pixel), stroke(repeated(shifted, 1.0) * width, 0.0045, scene.pixel)
    )
    return tone * (0.94 + 0.12 * scene.noise(45, 30, 8)), joints * 0.75


def _timber(scene: Scene) -> tuple[Tensor, Tensor]:
    """Half-timbering: posts and rails along the cells, braces in some; or boards over the whole wall."""
    cells, thick = scene.cells, 0.020
    posts = stroke(cells.half_width - cells.u.abs(), thick, scene.pixel)
    rails = stroke(cells.half_height - cells.v.abs(), thick * 1.2, scene.pixel)
    half = stroke(cells.v - cells.half_height * 0.45, thick * 0.8, scene.pixel)
    slope = torch.sign(scene.per_cell(21) - 0.5) * torch.sign(cells.u)
    lean = (cells.u.abs() - cells.half_width * 0.8) - slope * cells.v * 0.22
    brace = stroke(lean, thick * 0.8, scene.pixel) * less(scene.per_cell(22), 0.6)
    beams = torch.stack([posts, rails, half, brace]).amax(0) * (0.9 + 0.1 * scene.noise(60, 8, 9))
    boards = 1 - 0.28 * stroke(repeated(scene.y, 0.034) - 0.012, 0.006, scene.pixel)
    boards = boards * (0.94 + 0.1 * scene.random(torch.zeros_like(scene.y), torch.floor(scene.y / 0.034), 10))
    framed = less(scene.number("style", 1), 0.72)
    return either(framed, 1.0, boards), framed * beams
