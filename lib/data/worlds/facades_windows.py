"""Windows: openings with panes and glazing bars, what surrounds them, and blinds, shutters and flower boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.data.worlds.draw import length
from lib.data.worlds.facades_colours import RGB, choose, constant, fixed
from lib.data.worlds.facades_scene import Scene
from lib.data.worlds.facades_shapes import either, less, only, ramp, rectangle, repeated, stroke
from lib.data.worlds.facades_walls import trim_colour

SHUTTERS: tuple[RGB, ...] = (
    (0.24, 0.38, 0.30), (0.30, 0.42, 0.52), (0.45, 0.28, 0.20), (0.55, 0.58, 0.55), (0.50, 0.20, 0.18),
    (0.62, 0.70, 0.66), (0.18, 0.24, 0.34),
)  # fmt: skip
MIRRORED: tuple[RGB, ...] = ((0.62, 0.75, 0.90), (0.72, 0.75, 0.78), (0.52, 0.56, 0.60))  # sky, by weather
BALCONY_SHARE, BALCONY_ROWS = 0.38, 0.45  # of the cells, or of the floors, of a house that has balconies


@dataclass(frozen=True)
class Opening:
    """A hole in the wall at each pixel's cell: offsets `u`, `v` from its axis and middle, half sizes, distance."""

    u: Tensor
    v: Tensor
    half_width: Tensor
    half_height: Tensor
    distance: Tensor
    here: Tensor  # 1 in the cells that have one
    balcony: Tensor  # 1 in the cells with a balcony in front of it


def arched(u: Tensor, v: Tensor, half_width: Tensor, half_height: Tensor, rise: Tensor) -> Tensor:
    """Distance to a box whose top is an arch `rise` high; `rise` 0 is a plain box."""
    rise = rise.clamp(min=1e-3)
    above = v + half_height - rise
    arch = (length(u / half_width, above / rise) - 1) * torch.minimum(rise, half_width)
    return torch.maximum(rectangle(u, v, half_width, half_height), arch + above.clamp(min=0) * -99)


def opening(scene: Scene) -> Opening:
    """The window in each pixel's cell."""
    cells, style = scene.cells, scene.p["style"]
    balcony = balcony_here(scene)
    twins = scene.where("twins", 1) * scene.upper * less(0.13 - cells.half_width, 0)
    u = either(twins, cells.u.abs() - cells.half_width * 0.44, cells.u)
    share = 0.38 + 0.20 * style[:, 2].reshape(-1, 1, 1) - 0.06 * scene.where("shutters", 1)
    half_width = cells.half_width * share * (1 - 0.32 * twins)
    half_width = torch.minimum(half_width, cells.half_height * 0.62)
    top = -cells.half_height * (0.56 + 0.14 * scene.number("style", 3))
    bottom = cells.half_height * either(balcony, 0.86, 0.34 + 0.24 * scene.number("style", 4))
    half_height, v = (bottom - top) / 2, cells.v - (bottom + top) / 2
    distance = arched(u, v, half_width, half_height, half_width * arch_rise(scene))
    here = (1 - scene.at_door) * (1 - (1 - scene.upper) * scene.where("shop", 1))
    return Opening(u, v, half_width, half_height, only(distance, here), here, balcony)


def arch_rise(scene: Scene) -> Tensor:
    """How high the arch of a window is, in half widths: by floor, none, flat or a half circle."""
    number = scene.per_floor(1)
    some = 1 - 0.35 * less(number, 0.45) - 0.65 * less(number, 0.7)
    every = 1 - 0.65 * less(scene.number("style", 5), 0.4)
    return some * scene.where("arches", 1) + every * scene.where("arches", 2)


def balcony_here(scene: Scene) -> Tensor:
    """1 where the cell has a balcony in front of its window."""
    some = less(scene.per_cell(31), BALCONY_SHARE) * scene.where("balconies", 1)
    along = less(scene.per_floor(2), BALCONY_ROWS) * scene.where("balconies", 2)
    return (some + along) * scene.upper


def paint_windows(scene: Scene, hole: Opening) -> None:
    """All windows but those of the shop."""
    _surround(scene, hole)
    _glass(scene, hole)
    _bars(scene, hole)
    _roller(scene, hole)
    _shutters(scene, hole)
    _flowers(scene, hole)


def _surround(scene: Scene, hole: Opening) -> None:
    """Casing, hood and sill, each with the shadow it throws on the wall."""
    trim = trim_colour(scene)
    casing = 0.012 + 0.10 * hole.half_width * scene.number("style", 6)
    _, down = scene.sun(0.02)
    top = hole.v + hole.half_height
    hood = rectangle(hole.u, top + casing + 0.018, hole.half_width + casing + 0.025, 0.014)
    slope = (hole.half_width + 0.04 - hole.u.abs()) * 0.55
    gable = torch.maximum(-(top + casing + 0.012 + slope), top + casing + 0.006)
    key = torch.maximum(hole.u.abs() - 0.02 - (top * -0.12), (top + casing * 0.5).abs() - casing - 0.02)
    extra = either(scene.where("hoods", 1), hood, either(scene.where("hoods", 2), gable, key))
    extra = only(extra, hole.here * scene.upper * (1 - scene.where("hoods", 0)))
    sill = rectangle(hole.u, hole.v - hole.half_height - 0.012, hole.half_width + casing + 0.02, 0.013)
    sill = only(sill, hole.here)
    for shape, depth in ((extra, 1.0), (sill, 1.4)):
        below = torch.maximum(shape - down * depth, hole.u.abs() - hole.half_width - casing - 0.02)
        scene.cast(scene.cover(below, 0.01) * hole.here, 0.85)
    scene.paint(scene.cover(hole.distance - casing), trim * 0.95, "molding")
    lit = 1.0 - 0.12 * ramp(hole.v / hole.half_height, -1, 1)
    scene.paint(scene.cover(torch.minimum(extra, sill)), trim[:, :, None, None] * lit[:, None], "molding")
    scene.snow(scene.cover(sill + 0.004) * ramp(-(hole.v - hole.half_height - 0.012), -0.006, 0.004))


def _glass(scene: Scene, hole: Opening) -> None:
    """Dark rooms behind panes that mirror the sky, curtains, and lamps at night."""
    across, along = hole.u / hole.half_width, hole.v / hole.half_height
    room = fixed((0.13, 0.16, 0.20), across)[:, :, None, None] * (0.75 + 0.5 * ramp(along, 1, -1))[:, None]
    tilt = scene.per_cell(41, of="surface", mirrored=False)
    cloud = scene.noise(7, 5, 11)
    mirror = ramp(cloud + 0.5 * tilt - 0.35 * along + 0.25 * across, 0.35, 1.15) * 0.75
    room = torch.lerp(room, sky_mirror(scene)[:, :, None, None].expand_as(room), mirror[:, None])
    drawn = scene.per_cell(42, of="surface", mirrored=False)
    open_to = 1.15 - 0.9 * ramp(drawn, 0.35, 1.0)
    folds = 0.80 + 0.2 * torch.cos(across * 24)
    curtain = ramp(across.abs() + 0.12 * along, open_to, open_to + 0.08)
    cloth = choose(((0.86, 0.83, 0.76), (0.80, 0.70, 0.58), (0.72, 0.76, 0.78), (0.84, 0.74, 0.70)), drawn_of(scene))
    room = torch.lerp(room, cloth[:, :, None, None] * folds[:, None], (curtain * 0.8)[:, None])
    glass = scene.cover(hole.distance)
    scene.paint(glass, room, "window")
    lit = less(scene.per_cell(43, of="surface", mirrored=False), scene.number("evening"))
    strength = lit * (0.55 + 0.75 * scene.per_cell(44, of="surface", mirrored=False))
    fall = 0.55 + 0.6 * torch.exp(-(across**2) * 0.7 - (along + 0.35) ** 2 * 1.2)
    hue = scene.per_cell(45, of="surface", mirrored=False)
    light = lamp_light(hue) * (fall * torch.lerp(torch.ones_like(folds), folds * 0.75, curtain))[:, None]
    scene.shine(glass * strength, light)
    scene.cast(_recess(scene, hole), 0.7)


def drawn_of(scene: Scene) -> Tensor:
    """Which cloth the curtains of a house are of, (B,) in [0, 1)."""
    return (scene.p["colours"][:, 5] * 7).frac()


def lamp_light(hue: Tensor) -> Tensor:
    """Colours of lamps, (B, 3, H, W) linear, by a number in [0, 1): mostly warm, some pale, few blue screens."""
    warm = torch.stack([torch.ones_like(hue), 0.44 + 0.20 * hue, 0.10 + 0.20 * hue], dim=1)
    screen = torch.stack([0.45 + 0 * hue, 0.62 + 0 * hue, 0.95 + 0 * hue], dim=1)
    return torch.lerp(warm, screen, ramp(hue, 0.929, 0.931)[:, None])


def sky_mirror(scene: Scene) -> Tensor:
    """The colour of the sky that panes mirror, (B, 3)."""
    return constant(MIRRORED, scene.x.device)[scene.p["weather"]]


def _recess(scene: Scene, hole: Opening) -> Tensor:
    """The shadow that the edge of the wall throws on the panes behind it."""
    right, down = scene.sun(0.022)
    shifted = rectangle(hole.u - right, hole.v - down, hole.half_width, hole.half_height)
    return scene.cover(hole.distance) * (1 - scene.cover(shifted, 0.008))


def _bars(scene: Scene, hole: Opening) -> None:
    """The frame and the glazing bars."""
    frame = 0.011 + 0.05 * hole.half_width
    columns = 3 - less(scene.number("style", 7), 0.3) - less(scene.number("style", 7), 0.8)
    rows = 1 + torch.floor(scene.number("planting", 3) * 4)
    edge = stroke(hole.distance + frame * 0.5, frame * 0.5, scene.pixel)
    upright = stroke(repeated(hole.u + hole.half_width, 2 * hole.half_width / columns), 0.006, scene.pixel)
    level = stroke(repeated(hole.v + hole.half_height, 2 * hole.half_height / rows), 0.005, scene.pixel)
    transom = stroke(hole.v + hole.half_height * 0.35, 0.008, scene.pixel)
    bars = torch.stack([upright, level, transom]).amax(0) * scene.cover(hole.distance)
    colour = either(less(scene.p["colours"][:, 2:3], 0.7), trim_colour(scene), fixed((0.30, 0.22, 0.17), hole.u))
    scene.paint(torch.maximum(edge, bars * hole.here), colour * 0.97, "window")


def _roller(scene: Scene, hole: Opening) -> None:
    """Roller blinds, some way down."""
    number = scene.per_cell(51, mirrored=False)
    down = ramp(number, 0.62, 1.0) * 1.5 + 0.25
    blind = torch.maximum(hole.distance + 0.008, hole.v + hole.half_height * (1 - down))
    blind = only(blind, hole.here * less(0.72 - number, 0) * scene.where("shutters", 0))
    slats = 0.94 + 0.10 * torch.cos(hole.v * (2 * torch.pi / 0.022)) * min(1.0, 0.011 / scene.pixel)
    cloth = choose(((0.88, 0.86, 0.80), (0.78, 0.74, 0.64), (0.66, 0.70, 0.72)), scene.p["colours"][:, 4])
    behind = scene.lamps * 0.3
    scene.paint(scene.cover(blind), cloth[:, :, None, None] * slats[:, None] * 0.92, "blind")
    scene.lamps.lerp_(behind, scene.cover(blind)[:, None])


def _shutters(scene: Scene, hole: Opening) -> None:
    """Wooden leaves: open beside the window, or closed over it."""
    number = scene.per_cell(52, mirrored=False)
    leaf = hole.half_width * 0.46
    beside = hole.u.abs() - hole.half_width - leaf - 0.008
    open_leaf = rectangle(beside, hole.v, leaf, hole.half_height)
    closed = less(number, 0.16)
    there = hole.here * scene.where("shutters", 1) * scene.upper
    shape = only(either(closed, hole.distance, open_leaf), there)
    right, down = scene.sun(0.014)
    side = torch.sign(hole.u)
    shade = rectangle(beside - right * side, hole.v - down, leaf, hole.half_height)
    scene.cast(scene.cover(only(shade, there * (1 - closed)), 0.006), 0.7)
    inner = either(closed, hole.u.abs() - hole.half_width * 0.5, beside)
    width = leaf + closed * hole.half_width * 0.04
    slats = 0.90 + 0.16 * torch.cos(hole.v * (2 * torch.pi / 0.026)) * min(1.0, 0.013 / scene.pixel)
    rim = torch.maximum(
        stroke(inner.abs() - width, 0.010, scene.pixel),
        stroke(hole.v.abs() - hole.half_height * 0.98, 0.012, scene.pixel),
    )
    rim = torch.maximum(rim, stroke(hole.v, 0.010, scene.pixel))
    tone = torch.lerp(slats, torch.full_like(slats, 1.06), rim)
    colour = choose(SHUTTERS, scene.p["colours"][:, 4])
    scene.paint(scene.cover(shape), colour[:, :, None, None] * tone[:, None], "blind")


def _flowers(scene: Scene, hole: Opening) -> None:
    """Flower boxes on some sills."""
    number = scene.per_cell(53)
    top = hole.v - hole.half_height
    there = hole.here * scene.where("flowers", 1) * less(number, 0.7) * scene.upper * (1 - hole.balcony)
    leafy = rectangle(hole.u, top + 0.010, hole.half_width * 0.9, 0.030)
    leafy = leafy + 0.030 * (scene.noise(31, 31, 12, of="structure") - 0.6)
    leafy = only(leafy, there)
    bloom = scene.random(torch.floor(scene.x / 0.018), torch.floor(scene.y / 0.018), 13)
    green = scene.leaf_colour(14)
    petals = choose(
        ((0.85, 0.20, 0.24), (0.93, 0.45, 0.60), (0.95, 0.75, 0.25), (0.75, 0.40, 0.75)), scene.p["planting"][:, 2]
    )
    flowering = (ramp(bloom, 0.55, 0.6) * (1 - scene.where("season", 2)))[:, None]
    scene.paint(
        scene.cover(leafy), torch.lerp(green, petals[:, :, None, None].expand_as(green), flowering), "vegetation"
    )
    scene.snow(scene.cover(leafy + 0.012) * ramp(top, 0.0, -0.02) * 0.8)
