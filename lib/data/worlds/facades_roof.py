"""What crowns and frames a façade: roof, dormers, chimneys, cornices and pillars."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.data.worlds.draw import column
from lib.data.worlds.facades_colours import RGB, choose, fixed
from lib.data.worlds.facades_scene import Scene
from lib.data.worlds.facades_shapes import either, less, only, ramp, rectangle, repeated, stroke
from lib.data.worlds.facades_walls import gable_distance, trim_colour, wall_colour
from lib.data.worlds.facades_windows import lamp_light, sky_mirror

TILES: tuple[RGB, ...] = (
    (0.66, 0.33, 0.22), (0.36, 0.39, 0.44), (0.48, 0.30, 0.24), (0.58, 0.38, 0.26), (0.30, 0.32, 0.35),
    (0.42, 0.54, 0.48),
)  # fmt: skip


def roof_distance(scene: Scene) -> Tensor:
    """Distance to the roof; its kind decides how its sides lean."""
    layout = scene.layout
    x = (scene.x - (layout.left + layout.right) / 2).abs()
    half, up = (layout.right - layout.left) / 2, layout.eaves - scene.y
    tall = 0.16 + 0.20 * scene.number("style", 0)
    tall = either(scene.where("roof", 0), 0.055, torch.minimum(tall, layout.eaves + 0.93))
    lean = 0.75 * scene.where("roof", 1) + 0.16 * scene.where("roof", 2)
    over = 0.025 * (1 - scene.where("roof", 0))
    sides = (x - half - over + lean * up) * torch.rsqrt(1 + lean**2)
    plain = torch.maximum(sides, torch.maximum(up - tall, -up - 0.005))
    return either(scene.where("roof", 3, 4), gable_distance(scene, scene.x, scene.y) - 0.028, plain)


def tiles(scene: Scene, shape: Tensor) -> Tensor:
    """Rows of tiles, (B, 3, H, W)."""
    height, width = 0.026, 0.034
    row = torch.floor(scene.y / height)
    along = scene.x / width + 0.5 * (row % 2)
    tone = 0.80 + 0.32 * scene.random(torch.floor(along), row, 15)
    lap = repeated(scene.y, height) + height / 2
    tone = tone * (1 - 0.28 * stroke(lap - height, 0.006, scene.pixel) - 0.10 * ramp(lap, 0, height))
    tone = tone * (0.88 + 0.24 * scene.noise(4, 4, 16))
    return choose(TILES, scene.p["colours"][:, 3])[:, :, None, None] * tone[:, None]


def paint_roof(scene: Scene) -> None:
    """Chimneys behind, the roof, its snow and its dormers."""
    _chimneys(scene)
    shape = roof_distance(scene)
    coverage = scene.cover(shape)
    scene.paint(coverage, tiles(scene, shape), "roof", silhouette=True)
    drift = scene.noise(6, 3, 17) + 0.35 * ramp(scene.layout.eaves - scene.y, 0.0, 0.25)
    scene.snow(coverage * ramp(drift, 0.22, 0.34) * 0.95)
    ridge = stroke(shape + 0.008, 0.008, scene.pixel) * scene.where("roof", 1, 2)
    scene.paint(ridge * (1 - scene.where("season", 2)), choose(TILES, scene.p["colours"][:, 3]) * 0.8)
    _parapet(scene)
    _dormers(scene)


def _chimneys(scene: Scene) -> None:
    """Two stacks that stand behind the roof."""
    layout, place = scene.layout, scene.p["structure"]
    width = layout.right - layout.left
    for index in (0, 1):
        number = column((place >> (4 * index + 3)) & 15).float() / 16
        middle = layout.left + width * (0.12 + 0.3 * number + 0.45 * index)
        top = 0.24 + 0.14 * number - 0.10 * scene.where("roof", 0)
        stack = rectangle(scene.x - middle, scene.y - layout.eaves + top / 2, 0.045, top / 2)
        cap = rectangle(scene.x - middle, scene.y - layout.eaves + top, 0.056, 0.014)
        bricks = 0.85 + 0.25 * scene.random(torch.floor(scene.x / 0.04), torch.floor(scene.y / 0.025), 18)
        bricks = bricks * (1 - 0.2 * ramp(scene.x - middle, 0, 0.05))
        colour = (fixed((0.58, 0.36, 0.29), width)[:, :, None, None] * bricks[:, None]).contiguous()
        there = less(0.2 - number, 0)
        scene.paint(scene.cover(stack) * there, colour, "roof", silhouette=True)
        scene.paint(scene.cover(cap) * there, fixed((0.52, 0.46, 0.41), width), "roof", silhouette=True)
        scene.snow(scene.cover(cap + 0.006) * there * ramp(-(scene.y - layout.eaves + top), -0.004, 0.006))


def _parapet(scene: Scene) -> None:
    """A flat roof hides behind a low wall with openings."""
    flat = scene.cover(roof_distance(scene)) * scene.where("roof", 0)
    trim = trim_colour(scene)
    up = scene.layout.eaves - scene.y
    balusters = stroke(repeated(scene.x, 0.045), 0.013, scene.pixel)
    solid = torch.maximum(balusters, torch.maximum(ramp(up, 0.036, 0.042), 1 - ramp(up, 0.006, 0.012)))
    colour = torch.lerp(trim * 0.45, trim * 0.92, 0.5 * torch.ones_like(trim[:, :1]))[:, :, None, None]
    colour = colour * (0.62 + 0.58 * solid[:, None])
    scene.paint(flat, colour, "roof", silhouette=True)
    scene.snow(flat * ramp(up, 0.040, 0.050))


def _dormers(scene: Scene) -> None:
    """Small gabled windows on pitched and mansard roofs, above the bays."""
    cells, layout, away = scene.cells, scene.layout, scene.y - scene.layout.eaves
    mirror = torch.minimum(cells.bay, layout.bays - 1 - cells.bay)
    outer = (mirror == 0).float() * (layout.bays > 2) * scene.where("roof", 1)
    every = column((scene.p["structure"] % 3 + 1) // 2)  # at each bay, or at every other one
    there = scene.where("dormers", 1) * scene.where("roof", 1, 2) * (mirror % (every + 1) == every) * (1 - outer)
    half = (cells.half_width * 0.46).clamp(max=0.085)
    v = away + 0.115
    body = only(rectangle(cells.u, v, half, 0.085), there)
    peak = half * 0.75
    slope = (v + 0.085 + peak) - cells.u.abs() * (peak / (half + 0.022))
    cap = only(torch.maximum(-slope, v + 0.074), there)
    glass = only(rectangle(cells.u, v - 0.008, half * 0.62, 0.060), there)
    right, down = scene.sun(0.04)
    shade = only(rectangle(cells.u - right, v - down, half, 0.085), there)
    scene.cast(scene.cover(shade, 0.01) * scene.cover(roof_distance(scene)), 0.8)
    scene.paint(scene.cover(body), trim_colour(scene) * 0.93, "wall", silhouette=True)
    scene.paint(scene.cover(cap), choose(TILES, scene.p["colours"][:, 3]) * 0.78, "roof", silhouette=True)
    scene.snow(scene.cover(torch.maximum(cap, slope - 0.024)))
    _attic_window(scene, glass, cells.u, v)


def _attic_window(scene: Scene, glass: Tensor, u: Tensor, v: Tensor) -> None:
    """A small window with crossed bars under the roof; `glass` is its distance."""
    scene.paint(scene.cover(glass - 0.014), trim_colour(scene), "molding")
    scene.paint(scene.cover(glass), sky_mirror(scene) * 0.5, "window")
    lit = scene.per_cell(46, of="surface", mirrored=False)
    scene.shine(scene.cover(glass) * less(lit, 0.7 * scene.number("evening")), 0.9 * lamp_light(lit))
    cross = torch.maximum(stroke(u, 0.006, scene.pixel), stroke(v, 0.005, scene.pixel))
    scene.paint(scene.cover(glass) * cross, trim_colour(scene), "window")


def paint_gable(scene: Scene) -> None:
    """Rows of small windows where a gable is wide enough for them."""
    layout = scene.layout
    wide, tall = 0.27, 0.25
    x, y = scene.x - (layout.left + layout.right) / 2, scene.y - layout.eaves + 0.16
    i, j = torch.round(x / wide), torch.round(y / tall).clamp(max=0)
    u, v = x - i * wide, y - j * tall
    corner = layout.eaves - 0.16 + j * tall - 0.10
    room = gable_distance(scene, (layout.left + layout.right) / 2 + (i.abs() + 0.3) * wide, corner)
    _attic_window(scene, only(rectangle(u, v, 0.055, 0.075), less(room, -0.01)), u, v)


def paint_pillars(scene: Scene) -> None:
    """Pilasters between the bays, or quoins up the corners."""
    cells, layout = scene.cells, scene.layout
    trim, inside = trim_colour(scene), scene.cover(_front(scene))
    edge = cells.half_width - cells.u.abs()
    half = (cells.half_width * 0.14).clamp(0.016, 0.034)
    base = less((cells.v.abs() - cells.half_height).abs(), 0.05)
    side = torch.sign(cells.u)
    shaft = stroke(edge, half + 0.008 * base, scene.pixel) * scene.where("pillars", 1) * inside
    right, _ = scene.sun(0.022)
    scene.cast(stroke(edge + right * side, half, scene.pixel) * scene.where("pillars", 1) * inside, 0.75)
    flutes = 1.0 - 0.14 * ramp(edge * side / half, -1, 1) + 0.05 * torch.cos(edge / half * 9)
    scene.paint(shaft, trim[:, :, None, None] * 0.93 * flutes[:, None], "pillar")
    from_side = torch.minimum((scene.x - layout.left).abs(), (layout.right - scene.x).abs())
    block = torch.floor(scene.y / 0.075)
    length = 0.095 - 0.033 * (block % 2)
    quoin = scene.cover(from_side - length) * scene.where("pillars", 2) * inside
    joint = stroke(repeated(scene.y, 0.075), 0.004, scene.pixel)
    tone = (0.88 + 0.14 * scene.random(block, torch.sign(scene.x), 19)) * (1 - 0.3 * joint)
    scene.paint(quoin, torch.lerp(trim, wall_colour(scene), 0.15)[:, :, None, None] * tone[:, None], "pillar")


def _front(scene: Scene) -> Tensor:
    layout = scene.layout
    middle = (layout.left + layout.right) / 2
    return rectangle(
        scene.x - middle, scene.y - (layout.eaves + layout.ground) / 2,
        (layout.right - layout.left) / 2, (layout.ground - layout.eaves) / 2,
    )  # fmt: skip


def paint_cornices(scene: Scene) -> None:
    """The main cornice with its brackets, and string courses between floors."""
    cells, layout, trim = scene.cells, scene.layout, trim_colour(scene)
    reach = (scene.x - (layout.left + layout.right) / 2).abs() - (layout.right - layout.left) / 2
    down = scene.number("light", 1)
    level = scene.y - layout.eaves
    deep = 0.024 + 0.022 * scene.number("style", 1)
    scene.cast(
        scene.cover(torch.maximum(reach, (level - deep - 0.03 * down).abs() - 0.03 * down), 0.012) * less(-level, 0),
        0.9,
    )
    band = torch.maximum(reach - 0.03, (level - deep * 0.4).abs() - deep)
    bracket = stroke(repeated(scene.x, 0.05), 0.013, scene.pixel) * ramp(level, deep * 0.5, deep * 0.62)
    tone = 1.04 - 0.30 * ramp(level, -deep * 0.5, deep * 1.3) + 0.2 * bracket
    scene.paint(scene.cover(band), trim[:, :, None, None] * tone[:, None], "cornice", silhouette=True)
    scene.snow(scene.cover(torch.maximum(reach - 0.03, (level + deep * 0.55).abs() - 0.010)))
    every = either(less(scene.number("style", 5), 0.5), 1, 6)
    low = cells.half_height - cells.v
    course = scene.upper * (cells.floor <= every)
    strip = only(low.abs() - 0.020, course)
    under = ((cells.floor < every) & (cells.floor < layout.floors - 1)).float()
    above = only(cells.half_height + cells.v, under)
    inside = scene.cover(reach - 0.008)
    scene.cast(scene.cover(above - 0.022 * (0.6 + down), 0.01) * inside, 0.8)
    tone = 1.02 - 0.22 * ramp(-low, -0.02, 0.002)
    scene.paint(scene.cover(strip) * inside, trim[:, :, None, None] * tone[:, None], "cornice")
    scene.snow(scene.cover(only((low - 0.020).abs() - 0.006, course)) * inside * 0.9)
