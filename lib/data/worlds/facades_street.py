"""What belongs to single places of a façade: the shop front, the door and the balconies."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.data.worlds.draw import length
from lib.data.worlds.facades_colours import RGB, choose, fixed
from lib.data.worlds.facades_layout import LATTICE, pick
from lib.data.worlds.facades_scene import Scene
from lib.data.worlds.facades_shapes import either, less, only, ramp, rectangle, repeated, stroke
from lib.data.worlds.facades_walls import trim_colour
from lib.data.worlds.facades_windows import BALCONY_ROWS, BALCONY_SHARE, Opening, arch_rise, arched, sky_mirror

PAINTS: tuple[RGB, ...] = (
    (0.18, 0.32, 0.28), (0.50, 0.16, 0.14), (0.16, 0.24, 0.40), (0.34, 0.22, 0.15), (0.75, 0.60, 0.28),
    (0.26, 0.28, 0.30), (0.70, 0.36, 0.22), (0.40, 0.50, 0.46),
)  # fmt: skip
CLOTHS: tuple[RGB, ...] = (
    (0.72, 0.18, 0.16), (0.18, 0.40, 0.34), (0.20, 0.32, 0.55), (0.85, 0.62, 0.22), (0.50, 0.20, 0.30),
)  # fmt: skip
IRON: RGB = (0.13, 0.14, 0.15)


def paint_shop(scene: Scene) -> None:
    """Show windows over the ground floor, with a sign above and an awning in front."""
    cells = scene.cells
    there = (1 - scene.upper) * (1 - scene.at_door) * scene.where("shop", 1)
    height = cells.half_height
    wood = choose(PAINTS, scene.p["colours"][:, 5])
    front = only(rectangle(cells.u, cells.v - height * 0.06, cells.half_width * 0.98, height * 0.94), there)
    scene.paint(scene.cover(front), wood[:, :, None, None] * (0.85 + 0.2 * scene.noise(50, 4, 20))[:, None], "shop")
    pane_v = cells.v - height * 0.20
    pane = only(rectangle(cells.u, pane_v, cells.half_width * 0.84, height * 0.50), there)
    scene.paint(scene.cover(pane), _display(scene, pane_v / (height * 0.5)), "shop")
    warm = fixed((1.0, 0.62, 0.28), front)[:, :, None, None] * (scene.image * 1.3 + 0.06)
    scene.shine(scene.cover(pane) * 0.9 * (0.7 + 0.5 * ramp(-pane_v / height, -0.5, 0.5)), warm)
    upright = stroke(repeated(cells.u, cells.half_width * 0.84), 0.007, scene.pixel)
    scene.paint(scene.cover(pane) * upright, wood * 1.1, "shop")
    _sign(scene, there, wood)
    _awning(scene, there)


def _display(scene: Scene, v: Tensor) -> Tensor:
    """What stands in the show window, behind a mirrored sky; `v` runs from -1 at its top to 1."""
    i, j = torch.floor(scene.x / 0.042), torch.floor((v + 1) * 2.2)
    kind, tall = scene.random(i, j, 22), scene.random(i, j, 23)
    shelf = (v + 1) * 2.2 - j
    goods = ramp(shelf, 1.0 - 0.75 * tall, 1.03 - 0.75 * tall + 0.04) * scene.cover(
        repeated(scene.x - 0.021, 0.042).abs() - 0.016
    )
    hue = torch.stack([0.45 + 0.5 * kind, 0.30 + 0.5 * (kind * 7).frac(), 0.22 + 0.5 * (kind * 13).frac()], dim=1)
    room = torch.lerp(torch.full_like(hue, 0.16), hue, (goods * less(0.25 - kind, 0))[:, None] * 0.85)
    mirror = ramp(scene.noise(4, 4, 24) + 0.3 * scene.x + 0.2 * v, 0.45, 1.1)[:, None] * 0.45
    return torch.lerp(room, sky_mirror(scene)[:, :, None, None].expand_as(room), mirror)


def _sign(scene: Scene, there: Tensor, wood: Tensor) -> None:
    """A board with letters that nobody can read."""
    cells = scene.cells
    v = cells.v + cells.half_height * 0.62
    half = cells.half_height * 0.14
    board = only(rectangle(cells.u, v, cells.half_width, half), there)
    scene.paint(scene.cover(board), wood * 0.72, "shop")
    i, j = torch.floor(scene.x / 0.013), torch.floor(v / 0.017)
    gap = less(0.2 - scene.random(torch.floor(scene.x / 0.039), i * 0, 25), 0) * less(i % 3, 2)
    letter = less(0.35 - scene.random(i, j, 26), 0) * gap
    inside = scene.cover(torch.maximum(board + half * 0.45, cells.u.abs() - cells.half_width * 0.72))
    gold = choose(((0.95, 0.85, 0.55), (0.95, 0.94, 0.90), (0.90, 0.70, 0.40)), scene.p["colours"][:, 2])
    fine = min(1.0, 0.022 / scene.pixel)
    scene.paint(inside * torch.lerp(torch.full_like(v, 0.45), letter, fine), gold, "shop")
    scene.shine(inside * letter * 0.35, gold)


def _awning(scene: Scene, there: Tensor) -> None:
    """A striped awning with a scalloped edge, on half of the shops."""
    cells = scene.cells
    height = cells.half_height
    drop = cells.v + height * 0.46
    shown = there * less(scene.number("planting", 0), 0.6)
    long = height * 0.36
    scallop = 0.010 * torch.cos(repeated(scene.x, 0.05) * (2 * torch.pi / 0.05))
    beside = cells.u.abs() - cells.half_width
    cloth = only(torch.maximum(torch.maximum(-drop, drop - long - scallop), beside), shown)
    shade = only(torch.maximum(torch.maximum(-drop, drop - long - 0.07 * scene.number("light", 1)), beside), shown)
    scene.cast(scene.cover(shade, 0.015), 0.85)
    stripes = scene.cover(repeated(scene.x, 0.10).abs() - 0.025)
    colour = choose(CLOTHS, scene.p["colours"][:, 4])
    pale = fixed((0.94, 0.92, 0.86), drop)
    tone = (1.05 - 0.25 * ramp(drop, 0 * long, long) - 0.12 * scene.cover((drop - long + 0.02).abs() - 0.003))[:, None]
    both = torch.lerp(colour[:, :, None, None], pale[:, :, None, None], stripes[:, None])
    through = scene.lamps * 0.25 * both
    scene.paint(scene.cover(cloth), both * tone, "shop")
    scene.lamps.lerp_(through, scene.cover(cloth)[:, None])
    scene.snow(scene.cover(cloth) * ramp(-drop, -0.035, -0.015) * 0.8)


def paint_door(scene: Scene) -> None:
    """The door: casing, leaf with panels, a light above it, and steps."""
    cells, there = scene.cells, scene.at_door
    half = torch.minimum(cells.half_width * 0.52, cells.half_height * 0.5)
    top = -cells.half_height * 0.52
    tall, v = (cells.half_height - top) / 2, cells.v - (cells.half_height + top) / 2
    rise = half * torch.maximum(arch_rise(scene), less(scene.number("style", 6), 0.5))
    hole = only(arched(cells.u, v, half, tall, rise), there)
    trim = trim_colour(scene)
    right, down = scene.sun(0.03)
    shade = only(arched(cells.u - right * 0.4, v - down, half + 0.04, tall, rise), there)
    scene.cast(scene.cover(shade - 0.03, 0.012) * less(v, 0), 0.6)
    scene.paint(scene.cover(hole - 0.032), trim * 0.94, "molding")
    leaf = choose(PAINTS, (scene.p["colours"][:, 5] * 5 + scene.p["colours"][:, 4]).frac())
    panel = torch.maximum(
        stroke(repeated(cells.u + half * 0.5, half), 0.008, scene.pixel),
        stroke(repeated(v + tall * 0.3, tall * 0.62), 0.008, scene.pixel),
    )
    rim = stroke(hole + 0.008, 0.008, scene.pixel)
    tone = 1.0 + 0.16 * rim - 0.32 * panel + 0.1 * (scene.noise(70, 5, 27) - 0.5)
    scene.paint(scene.cover(hole), leaf[:, :, None, None] * tone[:, None], "door")
    light = torch.maximum(hole + 0.018, v + tall * 0.42)
    scene.paint(scene.cover(light), sky_mirror(scene) * 0.5, "door")
    scene.shine(scene.cover(light), fixed((1.0, 0.70, 0.36), v))
    scene.paint(scene.cover(light) * stroke(cells.u, 0.006, scene.pixel), leaf * 0.9, "door")
    scene.paint(
        scene.cover(length(cells.u - half * 0.14, v - tall * 0.25) - 0.011) * there, fixed((0.86, 0.72, 0.36), v)
    )
    shifted = arched(cells.u - right, v - down, half, tall, rise)
    scene.cast(scene.cover(hole) * (1 - scene.cover(shifted, 0.01)), 0.7)
    _lantern(scene, there, half, top)


def _lantern(scene: Scene, there: Tensor, half: Tensor, top: Tensor) -> None:
    """Two lamps beside the door; they burn at night and light the wall."""
    cells = scene.cells
    u, v = cells.u.abs() - half - 0.055, cells.v - top - cells.half_height * 0.35
    glass = only(rectangle(u, v, 0.014, 0.024), there)
    scene.paint(scene.cover(glass - 0.007), fixed(IRON, u), "molding")
    scene.paint(scene.cover(glass), fixed((0.80, 0.76, 0.62), u), "molding")
    scene.shine(scene.cover(glass), fixed((1.6, 1.15, 0.6), u))


def paint_balconies(scene: Scene, hole: Opening) -> None:
    """Slabs with railings; the window shows between the bars, the whole belongs to the balcony."""
    cells, here = scene.cells, hole.balcony
    single = torch.minimum(hole.half_width + 0.06, cells.half_width * 0.94)
    single = either(scene.where("twins", 1), cells.half_width * 0.92, single)
    wide = either(scene.where("balconies", 2), cells.half_width + 0.01, single)
    low = cells.half_height - cells.v
    tall = cells.half_height * 0.58
    _, down = scene.sun(0.07)
    _shadow_below(scene, down)
    rail = only(rectangle(cells.u, low - tall * 0.5, wide, tall * 0.5), here)
    cage = scene.cover(rail)
    bars = stroke(repeated(cells.u, 0.034), 0.0052, scene.pixel)
    ball = scene.cover(length(repeated(cells.u, 0.034), low - tall * 0.5) - 0.011)
    bars = torch.maximum(bars, ball * less(0.5 - scene.number("style", 7), 0))
    bars = torch.maximum(bars, stroke(low - tall, 0.012, scene.pixel))
    bars = torch.maximum(bars, stroke(low - 0.04, 0.008, scene.pixel))
    iron = either(less(scene.p["colours"][:, 2:3], 0.65), fixed(IRON, low), trim_colour(scene) * 0.95)
    scene.paint(cage * bars, iron)
    scene.lamps.mul_((1 - cage * bars)[:, None])
    scene.mark(cage, "balcony")
    slab = only(rectangle(cells.u, low - 0.012, wide + 0.012, 0.020), here)
    scene.paint(scene.cover(slab), trim_colour(scene) * 0.9, "balcony")
    scene.snow(cage * stroke(low - tall - 0.010, 0.008, scene.pixel))


def _shadow_below(scene: Scene, down: Tensor) -> None:
    """The shadow of a balcony falls on the floor below it, in another cell."""
    cells, layout = scene.cells, scene.layout
    seed = scene.p["structure"]
    above = (cells.index + LATTICE).clamp(max=LATTICE**2 - 1)
    some = less(pick(layout.cell_numbers(seed, 31, mirrored=True), above), BALCONY_SHARE) * scene.where("balconies", 1)
    floor = (cells.floor + 1).clamp(max=LATTICE - 1)
    along = less(pick(layout.floor_numbers(seed, 2), floor), BALCONY_ROWS) * scene.where("balconies", 2)
    there = (some + along) * (cells.floor < layout.floors - 1)
    wide = cells.half_width * (0.8 + 0.3 * along)
    top = cells.v + cells.half_height
    shade = torch.maximum(cells.u.abs() - wide, top - down * 1.6)
    scene.cast(scene.cover(shade, 0.02) * there * scene.cover(scene.layout.left - scene.x), 0.85)
