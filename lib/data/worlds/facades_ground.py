"""Round the house: its neighbours, the street, and everything that grows."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.data.worlds.draw import column, length, segment
from lib.data.worlds.facades_colours import RGB, choose, fixed
from lib.data.worlds.facades_scene import Scene
from lib.data.worlds.facades_shapes import either, less, only, ramp, rectangle, repeated, stroke
from lib.data.worlds.facades_walls import TRIMS, WALLS
from lib.data.worlds.facades_windows import lamp_light, sky_mirror

PAVINGS: tuple[RGB, ...] = ((0.62, 0.60, 0.57), (0.55, 0.52, 0.50), (0.66, 0.61, 0.54), (0.50, 0.50, 0.52))


def paint_neighbours(scene: Scene) -> None:
    """The houses to the left and right: plainer, each with a roof, floors and colours of its own."""
    layout = scene.layout
    side = less((layout.left + layout.right) / 2 - scene.x, 0)
    number = scene.random(side, side * 0, 61, of="structure")
    other = scene.random(side, side * 0 + 1, 62, of="structure")
    top = layout.eaves - 0.12 + 0.42 * number
    away = torch.maximum(layout.left - scene.x, scene.x - layout.right)
    tone = 0.90 + 0.14 * scene.noise(20, 20, 28) - 0.10 * scene.noise(3, 3, 29)
    colours = torch.stack(
        [choose(WALLS[0], scene.p["colours"][:, 7]), choose(WALLS[1], scene.p["colours"][:, 6])], dim=2
    )
    wall = either(side[:, None], colours[:, :, 1:, None], colours[:, :, :1, None]) * 0.92
    roof = (
        fixed((0.44, 0.32, 0.28), tone)[:, :, None, None]
        * (0.85 + 0.3 * scene.random(torch.floor(scene.x / 0.04), torch.floor(scene.y / 0.028), 30))[:, None]
    )
    tiles = scene.cover(torch.maximum(top - 0.14 - 0.1 * other - scene.y, -away - 0.03))
    scene.paint(tiles, roof, "roof", silhouette=True)
    scene.snow(tiles * ramp(scene.noise(6, 4, 31), 0.20, 0.32))
    scene.paint(scene.cover(torch.maximum(top - scene.y, -away - 0.03)), wall * tone[:, None], "wall", silhouette=True)
    ledge = torch.maximum((scene.y - top).abs() - 0.022, -away)
    scene.paint(scene.cover(ledge), choose(TRIMS, scene.p["colours"][:, 6]) * 0.9, "cornice")
    scene.cast(scene.cover((scene.y - top - 0.04).abs() - 0.02, 0.01), 0.8)
    _neighbour_windows(scene, away, top, other)
    scene.cast(scene.cover(away.abs() - 0.03, 0.05), 0.35)


def _neighbour_windows(scene: Scene, away: Tensor, top: Tensor, number: Tensor) -> None:
    wide, tall = 0.22 + 0.10 * number, 0.27 + 0.10 * (number * 5).frac()
    i, j = torch.floor(away / wide), torch.floor((scene.y - top) / tall)
    u, v = away - (i + 0.5) * wide, scene.y - top - (j + 0.58) * tall
    glass = rectangle(u, v, wide * 0.23, tall * 0.30)
    glass = only(glass, less(-away, 0) * (j + 1).clamp(0, 1))
    trim = choose(TRIMS, scene.p["colours"][:, 6])
    scene.paint(scene.cover(glass - 0.018), trim * 0.92, "molding")
    chance = scene.random(i + 9 * torch.sign(scene.x), j, 63)
    dark = fixed((0.15, 0.18, 0.22), u)[:, :, None, None]
    mirror = ramp(scene.noise(6, 6, 64) + 0.3 * chance, 0.4, 1.0)[:, None] * 0.7
    scene.paint(scene.cover(glass), torch.lerp(dark, sky_mirror(scene)[:, :, None, None], mirror), "window")
    scene.shine(scene.cover(glass) * less(chance, scene.number("evening") * 0.8) * 0.8, lamp_light((chance * 9).frac()))
    cross = torch.maximum(stroke(u, 0.006, scene.pixel), stroke(v + tall * 0.1, 0.006, scene.pixel))
    scene.paint(scene.cover(glass) * cross, trim, "window")


def paint_ground(scene: Scene) -> None:
    """Pavement with slabs, a kerb, the carriageway, and the steps of the door."""
    layout = scene.layout
    depth = scene.y - layout.ground
    walk = 0.075 + 0.05 * scene.number("planting", 1)
    floor = scene.cover(-depth)
    near = 1 + depth.clamp(min=0) * 5  # slabs grow towards the eye
    slab = (scene.x / near) / 0.13
    joints = torch.maximum(
        stroke(repeated(slab, 1.0) * 0.13, 0.004, scene.pixel), stroke(repeated(depth, 0.045), 0.004, scene.pixel)
    )
    grain = (
        0.90
        + 0.12 * scene.noise(40, 40, 32)
        + 0.10 * (scene.random(torch.floor(slab), torch.floor(depth / 0.045), 33) - 0.5)
    )
    paving = choose(PAVINGS, scene.p["colours"][:, 6])[:, :, None, None] * (grain * (1 - 0.25 * joints))[:, None]
    scene.paint(floor, paving, "ground", silhouette=True)
    grit = scene.random(torch.floor(scene.x / 0.009), torch.floor(scene.y / 0.007), 34) + scene.noise(3, 9, 34)
    road = fixed((0.36, 0.36, 0.38), depth)[:, :, None, None] * (0.84 + 0.16 * grit)[:, None]
    scene.paint(scene.cover(walk - depth), road, "ground")
    scene.paint(scene.cover((depth - walk).abs() - 0.010), choose(PAVINGS, scene.p["colours"][:, 6]) * 1.12, "ground")
    scene.cast(scene.cover(depth.abs() - 0.025, 0.03) * floor, 0.6)
    _fallen(scene, floor, depth, walk)
    _steps(scene, depth)


def _fallen(scene: Scene, floor: Tensor, depth: Tensor, walk: Tensor) -> None:
    """Snow with tracks in it, or leaves in autumn."""
    tracks = ramp((depth - walk - 0.06).abs(), 0.012, 0.03)
    scene.snow(floor * ramp(scene.noise(4, 22, 35) + 0.15 * less(depth, walk), 0.16, 0.42) * (0.45 + 0.5 * tracks))
    leaf = scene.random(torch.floor(scene.x / 0.022), torch.floor(scene.y / 0.014), 36)
    fallen = floor * ramp(leaf + 0.12 * scene.noise(5, 8, 37), 0.93, 0.97) * scene.where("season", 1)
    scene.paint(fallen * 0.85, scene.leaf_colour(38))


def _steps(scene: Scene, depth: Tensor) -> None:
    """Two stone steps below the door."""
    cells, layout = scene.cells, scene.layout
    there = (cells.bay == layout.door).float() * less(cells.u.abs(), cells.half_width)
    for rank in (1, 0):
        wide = torch.minimum(cells.half_width * 0.62, cells.half_height * 0.62) + 0.03 * rank
        step = only(rectangle(cells.u, depth - 0.010 - 0.024 * rank, wide, 0.014), there)
        tread = 0.78 + 0.30 * ramp(depth - 0.024 * rank, 0.012, 0.002)
        scene.paint(
            scene.cover(step),
            choose(PAVINGS, scene.p["colours"][:, 6])[:, :, None, None] * 1.1 * tread[:, None],
            "ground",
        )
        scene.snow(scene.cover(step + 0.004) * ramp(depth - 0.024 * rank, 0.006, 0.0) * 0.8)


def paint_plants(scene: Scene) -> None:
    """Bushes at the foot of the wall."""
    layout = scene.layout
    number = scene.random(torch.floor(scene.x / 0.17), scene.x * 0, 65, of="structure")
    u = repeated(scene.x - 0.085, 0.17)
    size = 0.035 + 0.045 * number
    ball = length(u, (scene.y - layout.ground + size * 0.5) * 0.9) - size
    ball = ball + 0.035 * (scene.noise(30, 30, 39, of="structure") - 0.5)
    off_door = less(0.17, (scene.x - u - layout.door_x).abs()) * less(0.45 - number, 0) * scene.where("bushes", 1)
    coverage = scene.cover(ball) * off_door
    scene.cast(scene.cover(ball - 0.03, 0.03) * off_door, 0.6)
    light = ramp(-(u * torch.sign(scene.number("light", 0)) + scene.y - layout.ground) / size, -0.6, 1.6)
    scene.paint(coverage, scene.leaf_colour(40, evergreen=True) * (0.65 + 0.5 * light)[:, None], "vegetation")
    scene.snow(coverage * ramp(light + 0.4 * scene.noise(25, 25, 41), 0.75, 1.0) * 0.9)


def paint_ivy(scene: Scene) -> None:
    """Ivy climbs one side of the wall."""
    layout = scene.layout
    side = either(less(scene.number("planting", 2), 0.5), scene.x - layout.left, layout.right - scene.x)
    wide = 0.25 + 0.5 * scene.number("planting", 3)
    rise = (layout.ground - scene.y) / (layout.ground - layout.eaves)
    field = (
        1.25 * (1 - side / wide)
        - rise * 0.75
        + 0.9 * (scene.noise(7, 6, 42, of="structure") - 0.35)
        + 0.35 * (scene.noise(30, 30, 43, of="structure") - 0.5)
    )
    inside = less(-side, 0) * less(rise, 0.96) * less(-rise, 0)
    coverage = ramp(field, 0.30, 0.36) * inside * scene.where("ivy", 1)
    scene.paint(coverage, scene.leaf_colour(44), "vegetation")


def paint_tree(scene: Scene) -> None:
    """A tree on the pavement; its leaves turn and fall, its outline stays."""
    there = scene.where("tree", 1)
    place = torch.sign(scene.number("planting", 2) - 0.5) * (0.35 + 0.5 * scene.number("planting", 0))
    foot = scene.layout.ground + 0.06
    tall = 0.62 + 0.45 * scene.number("planting", 1)
    x, y = scene.x - place, scene.y - foot + tall
    crown, light = _crown(scene, x, y)
    trunk = torch.minimum(
        segment(x, y, (0.0, 0.0), (0.01, tall), 0.020 + 0.012 * ramp(y, 0 * tall, tall)),
        torch.minimum(
            segment(x, y, (0.0, 0.12), (-0.13, -0.10), 0.011), segment(x, y, (0.0, 0.05), (0.12, -0.14), 0.010)
        ),
    )
    scene.cast(scene.cover(crown - 0.05, 0.08) * ramp(scene.noise(16, 16, 45), 0.35, 0.6) * there * 0.8, 1.0)
    bark = fixed((0.34, 0.26, 0.20), x)[:, :, None, None] * (0.75 + 0.5 * scene.noise(60, 12, 46))[:, None]
    scene.paint(scene.cover(trunk) * there, bark, "vegetation", silhouette=True)
    twigs = _twigs(scene) * scene.cover(crown + 0.01)
    full = scene.cover(crown) * ramp(scene.noise(26, 26, 47), 0.10, 0.22)
    bare = scene.where("season", 2)
    coverage = torch.lerp(full, twigs, bare.expand_as(full)) * there
    leaves = scene.leaf_colour(48) * (0.55 + 0.62 * light)[:, None]
    colour = torch.lerp(leaves, bark * 0.9, bare[:, None])
    scene.paint(coverage, colour, silhouette=True)
    clear = 1 - coverage
    scene.shadow.mul_(clear)
    scene.lamps.mul_(clear[:, None])
    scene.mark(scene.cover(crown) * there, "vegetation")
    scene.snow(twigs * there * ramp(scene.noise(40, 40, 49), 0.5, 0.6) * 0.8)


def _crown(scene: Scene, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to the crown, a heap of balls with a leafy edge, and how much light each point gets."""
    seed, sun = scene.p["structure"], torch.sign(scene.number("light", 0))
    distance, light = torch.ones_like(x), torch.zeros_like(x)
    for ball in range(6):
        a, b = (column((seed >> (5 * ball % 23 + shift)) & 31).float() / 31 for shift in (0, 3))
        cx, cy, size = (
            (ball % 3 - 1) * 0.11 + 0.10 * (a - 0.5),
            -0.10 * (ball // 3) - 0.12 * b + 0.02,
            0.12 + 0.06 * b,
        )
        near = length(x - cx, y - cy) - size
        bright = ramp(-(sun * (x - cx) + (y - cy) * 1.3) / size, -1.2, 1.4)
        light = either(less(near, distance), bright, light)
        distance = torch.minimum(distance, near)
    ragged = (
        distance
        + 0.075 * (scene.noise(13, 13, 50, of="structure") - 0.5)
        + 0.04 * (scene.noise(31, 31, 51, of="structure") - 0.5)
    )
    return ragged, light * (0.72 + 0.56 * scene.noise(24, 24, 52))


def _twigs(scene: Scene) -> Tensor:
    """A net of bare twigs: the level lines of noise."""
    thick = torch.maximum(
        ramp((scene.noise(13, 9, 53) - 0.5).abs(), 0.09, 0.03),
        0.85 * ramp((scene.noise(29, 24, 54) - 0.5).abs(), 0.11, 0.03),
    )
    return thick
