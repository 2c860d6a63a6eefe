"""House numbers: one digit in the middle, its neighbours cut off, on walls and plates in any light.

The world has what makes street numbers hard to read: many fonts and colours, light ink on dark and dark on
light, little contrast, neighbours, shadows, slant, blur. It imitates a detector's crop: the digit fills most of
the height, and the numbers beside it reach into the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lib.data.worlds.draw import Canvas, box, circle, column, cover, ellipse, grid, hashed, turned
from lib.data.worlds.glyphs import FONTS, glyph_distance, half_widths
from lib.data.worlds.world import Batch, Parameters, World
from lib.labelmaps import Palette

WALLS = ("plaster", "brick", "planks", "tiles")
PLATES = ("none", "panel", "oval", "one each")
_BACKGROUND, _DIGIT, _NEIGHBOUR = range(3)
_LUMA = (0.299, 0.587, 0.114)
# Hues that paint is sold in, in turns of the colour circle, and how common each is.
_HUES, _COMMON = (0.0, 0.07, 0.12, 0.34, 0.48, 0.61, 0.80), (0.17, 0.17, 0.14, 0.16, 0.09, 0.23, 0.04)
# For each wall: width and height of a course in half sides of the picture (plaster has none in sight), half the
# width of a joint, how much the courses differ in brightness, how rough they are.
_COURSES = (
    (9.0, 9.0, 0.0, 0.0, 0.24),
    (0.66, 0.24, 0.026, 0.36, 0.22),
    (9.0, 0.42, 0.014, 0.14, 0.20),
    (0.46, 0.46, 0.016, 0.10, 0.10),
)
_BRICK, _PLANKS = WALLS.index("brick"), WALLS.index("planks")


class StreetDigits(World):
    """Crops of coloured, cluttered house numbers in 21 fonts.

    Parameters beside the attributes: ``neighbours`` (B, 2), their digits, and ``present`` (B, 2); ``font``; of the
    row ``scale`` (half the digit's height), ``centre`` (B, 2), ``angle``, ``slant``, ``stretch``, ``weight``, ``gap``,
    ``vertical``; colours ``wall_colour`` and ``plate_colour`` (B, 3) in [0, 1], ``tint`` (B, 2) hue and saturation of
    the ink, ``contrast`` and ``dark`` of its brightness; ``soft`` the blur; ``outline``, ``relief``, ``border``,
    ``screws``; ``light`` (B, 2), where it comes from, ``shadow``, ``dapple``, ``haze``, ``cast`` (B, 3), ``grain``;
    ``phase`` (B, 2) and ``seed`` of the wall.
    """

    name = "digits"
    palette = Palette(("background", "digit", "neighbour"), ((40, 44, 60), (255, 214, 102), (204, 102, 102)))
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "digit": tuple("0123456789"),
        "wall": WALLS,
        "plate": PLATES,
    }

    def sample(self, count: int, *, generator: torch.Generator) -> Parameters:
        """Draw parameters; every digit, wall, font and neighbour is equally likely."""
        dice = _Dice(count, generator)
        wall = dice.whole(len(WALLS))
        return {
            "digit": dice.whole(10),
            "wall": wall,
            "plate": dice.choice(0.36, 0.34, 0.12, 0.18),
            "neighbours": dice.whole(10, 2),
            "present": dice.unit(2) < 0.65,
            "font": dice.whole(len(FONTS)),
            "seed": dice.whole(2**31 - 1),
            "phase": dice.between(-0.5, 0.5, 2),
            **_sample_row(dice),
            **_sample_colours(dice, wall),
            **_sample_light(dice),
        }

    def render(self, parameters: Parameters, size: int) -> Batch:
        """Wall, plate, shadow, digits, light and grain, from back to front."""
        p = parameters
        canvas = Canvas(len(p["digit"]), size, device=p["digit"].device)
        x, y = grid(size, device=p["digit"].device)
        u, v = turned(x, y, column(p["angle"]), (column(p["centre"][:, 0]), column(p["centre"][:, 1])))
        row = _Row(p, u, v, 2 / size)
        _paint_wall(canvas, row)
        ground = _paint_plate(canvas, row)
        _paint_numbers(canvas, row, ground)
        _paint_light(canvas, p, x, y)
        return canvas.finished()


class _Dice:
    """Random numbers for `count` pictures."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count, self.generator = count, generator

    def unit(self, *shape: int) -> Tensor:
        return torch.rand((self.count, *shape), generator=self.generator, device=self.generator.device)

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * self.unit(*shape)

    def sometimes(self, probability: float, low: float, high: float) -> Tensor:
        """A number in [low, high] with the given probability, else 0."""
        return self.between(low, high) * (self.unit() < probability)

    def whole(self, values: int, *shape: int) -> Tensor:
        # From doubles: float32 would leave gaps in the larger seeds.
        drawn = torch.rand(
            (self.count, *shape), generator=self.generator, device=self.generator.device, dtype=torch.float64
        )
        return (drawn * values).long().clamp(max=values - 1)

    def hue(self) -> Tensor:
        return _table(_HUES, self.generator.device)[self.choice(*_COMMON)] + self.between(-0.03, 0.03)

    def choice(self, *probabilities: float) -> Tensor:
        edges = torch.tensor(probabilities, device=self.generator.device).cumsum(0)[:-1]
        return (self.unit()[:, None] > edges).sum(dim=1)


def _sample_row(dice: _Dice) -> Parameters:
    return {
        "scale": dice.between(0.52, 0.84),
        "centre": dice.between(-0.09, 0.09, 2),
        "angle": dice.between(-1, 1) * dice.unit() * 0.22,
        "slant": dice.between(-1, 1) * dice.unit() * 0.3,
        "stretch": dice.between(0.74, 1.12),
        "weight": dice.between(0.0, 0.08),
        "gap": dice.between(0.12, 0.5),
        "vertical": dice.unit() < 0.12,
        "soft": dice.unit() ** 2 * 0.13,
        "outline": dice.sometimes(0.22, 0.04, 0.09),
        "relief": dice.sometimes(0.55, 0.1, 0.6),
        "border": dice.sometimes(0.55, 0.02, 0.045),
        "screws": dice.unit() < 0.5,
    }


def _sample_colours(dice: _Dice, wall: Tensor) -> Parameters:
    clay = torch.where(wall == _BRICK, dice.between(0.0, 0.06), dice.between(0.03, 0.16))
    wall_hue = torch.where(wall < _PLANKS, clay, dice.hue())
    strongest = torch.where(wall == _BRICK, 0.6, 0.4)
    # Enamel and paint are white, black or strong; little lies between.
    strong = dice.unit() < 0.55
    saturation = torch.where(strong, dice.between(0.45, 0.9), dice.between(0.0, 0.12))
    brightness = torch.where(strong, dice.between(0.12, 0.5), dice.choice(0.25, 0.75) * 0.7 + dice.between(0.08, 0.22))
    ink_saturation = torch.where(dice.unit() < 0.4, dice.between(0.4, 0.95), dice.between(0.0, 0.15))
    return {
        "wall_colour": _coloured(wall_hue, strongest * dice.unit(), dice.between(0.18, 0.85)),
        "plate_colour": _coloured(dice.hue(), saturation, brightness),
        "tint": torch.stack([dice.hue(), ink_saturation], dim=1),
        "contrast": dice.between(0.24, 0.75),
        "dark": dice.unit() < 0.5,
    }


def _sample_light(dice: _Dice) -> Parameters:
    angle = dice.between(-2.6, -0.5)  # from above: y points down
    return {
        "light": torch.stack([angle.cos(), angle.sin()], dim=1),
        "uneven": dice.unit() * 0.35,
        "shadow": dice.sometimes(0.7, 0.25, 0.65),
        "dapple": dice.sometimes(0.3, 0.2, 0.55),
        "haze": dice.unit() ** 2 * 0.35,
        "cast": 1 + dice.between(-0.07, 0.07, 3),
        "exposure": dice.between(0.78, 1.15),
        "grain": dice.unit() ** 2 * 0.09,
    }


def _coloured(hue: Tensor, saturation: Tensor, brightness: Tensor) -> Tensor:
    """The colour (B, 3) in [0, 1] of exactly this luma in [0, 1], as saturated as the luma allows."""
    turn = (hue[:, None] * 6 + _table((5.0, 3.0, 1.0), hue.device)) % 6
    colour = 1 - saturation[:, None] * torch.minimum(turn, 4 - turn).clamp(0, 1)
    luma = _luma(colour)[:, None]
    target = brightness[:, None].clamp(0.02, 0.98)
    lighter = 1 - (1 - colour) * (1 - target) / (1 - luma).clamp(min=1e-4)
    return torch.where(target < luma, colour * target / luma, lighter)


def _luma(colour: Tensor) -> Tensor:
    """Brightness (B,) of colours (B, 3) as the eye weighs the channels."""
    return (colour * _table(_LUMA, colour.device)).sum(dim=1)


@cache
def _table(values: tuple[float, ...] | tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    """A constant on the device: copied there once, not for each batch."""
    return torch.tensor(values, device=device)


class _Row:
    """The number in its own frame: ``u`` along the line of digits, ``v`` across, the digit in the middle."""

    def __init__(self, p: Parameters, u: Tensor, v: Tensor, pixel: float) -> None:
        self.p, self.u, self.v, self.pixel = p, u, v, pixel
        self.scale, self.width = p["scale"], p["scale"] * p["stretch"]
        digits = torch.cat([p["digit"][:, None], p["neighbours"]], dim=1)  # (B, 3): middle, before, after
        self.digits = digits
        self.half = half_widths(u.device)[p["font"][:, None], digits] * self.width[:, None]  # (B, 3)
        gap = (p["gap"] * p["scale"])[:, None]
        beside = self.half[:, :1] + self.half[:, 1:] + gap
        self.step = torch.where(p["vertical"][:, None], 2 * p["scale"][:, None] + gap, beside)  # (B, 2)
        self.here = p["present"]

    def place(self, which: int) -> tuple[Tensor, Tensor]:
        """Centre of the digit: 0 the middle one, 1 before it, 2 after it."""
        zero = torch.zeros_like(self.scale)
        if which == 0:
            return column(zero), column(zero)
        along = self.step[:, which - 1] * (2 * which - 3)
        vertical = self.p["vertical"]
        return column(torch.where(vertical, zero, along)), column(torch.where(vertical, along, zero))

    def distance(self, which: int) -> Tensor:
        """Signed distance (B, H, W) to one digit, far away where there is none."""
        cu, cv = self.place(which)
        v = (self.v - cv) / column(self.scale)
        u = (self.u - cu) / column(self.width) + column(self.p["slant"]) * v
        distance = glyph_distance(self.p["font"], self.digits[:, which], u, v) - column(self.p["weight"])
        distance = distance * column(torch.minimum(self.scale, self.width))
        return distance if which == 0 else torch.where(column(self.here[:, which - 1]), distance, 9.0)

    def ends(self) -> tuple[Tensor, Tensor]:
        """How far the number reaches before and after its middle, along the line; each (B,)."""
        half = torch.where(self.p["vertical"][:, None], self.scale[:, None], self.half)
        reach = torch.where(self.here, self.step + half[:, 1:], half[:, :1])
        return reach[:, 0], reach[:, 1]


def _paint_wall(canvas: Canvas, row: _Row) -> None:
    """Bricks, planks or tiles with their joints, or plaster, under rough texture."""
    p, wall = row.p, row.p["wall"]
    table = _table(_COURSES, wall.device)[wall]
    width, height, joint, differ, rough = (column(part) for part in table.unbind(1))
    v = row.v / height + column(p["phase"][:, 1]) * (1 / height).clamp(max=1)
    course = torch.floor(v + 0.5)
    stagger = 0.5 * (course % 2) * column(wall == _BRICK)
    u = row.u / width + column(p["phase"][:, 0]) * (1 / width).clamp(max=1) + stagger
    piece = torch.floor(u + 0.5)
    along, across = u - piece, v - course  # in [-1/2, 1/2] within the piece
    to_joint = torch.minimum((0.5 - along.abs()) * width, (0.5 - across.abs()) * height)
    seed = column(p["seed"])
    shade = 1 + differ * (hashed(piece.long(), course.long(), seed) - 0.5)
    shade = shade * (1 - 0.35 * across * column(wall == _PLANKS))  # boards lean out at their lower edge
    size = canvas.image.shape[-1]
    even = _texture(p["seed"], 40, 40, size) * 0.6 + _texture(p["seed"] + 1, 9, 9, size) * 0.4
    fibres = _texture(p["seed"] + 2, 3, 56, size)
    shade = shade * (1 + rough * torch.where(column(wall == _PLANKS), fibres, even))
    canvas.paint(torch.ones_like(shade), p["wall_colour"][:, :, None, None] * shade[:, None], _BACKGROUND)
    mortar = torch.where(wall[:, None] == _BRICK, 0.4 + 0.15 * p["wall_colour"], 0.45 * p["wall_colour"])
    lines = cover(to_joint - joint, row.pixel, column(p["soft"])) * (joint > 0)
    canvas.paint(lines * 0.85, mortar[:, :, None, None] * (1 + 0.3 * even)[:, None])


def _paint_plate(canvas: Canvas, row: _Row) -> Tensor:
    """The plate with its shadow, border and screws. Returns the colour (B, 3) under the digits."""
    p = row.p
    plate, soft = p["plate"], column(p["soft"])
    distance, (low, high) = _plate_distance(row)
    there = column(plate > 0)
    distance = torch.where(there, distance, 9.0)
    _cast(canvas, _moved(distance, p["light"], 0.05), column(p["shadow"]) * 0.8, 0.08)
    shine = 1 + 0.12 * (row.v * column(p["light"][:, 1]) + row.u * column(p["light"][:, 0]))
    shine = shine + 0.05 * _texture(p["seed"] + 3, 12, 12, canvas.image.shape[-1])
    shine = shine + column(p["relief"]) * _slope(distance, p["light"], 0.05)
    canvas.paint(cover(distance, row.pixel, soft), p["plate_colour"][:, :, None, None] * shine[:, None], _BACKGROUND)
    line = (distance + 0.075).abs() - column(p["border"]) / 2
    canvas.paint(cover(line, row.pixel, soft) * column(p["border"] > 0), _ink(p, p["plate_colour"]))
    vertical = column(p["vertical"])
    along, across = torch.where(vertical, row.v, row.u), torch.where(vertical, row.u, row.v)
    hole = torch.minimum(circle(along + low - 0.1, across, 0.035), circle(along - high + 0.1, across, 0.035))
    screwed = column(p["screws"] & ((plate == 1) | (plate == 2)))
    canvas.paint(cover(hole, row.pixel, soft) * screwed, 0.5 * p["plate_colour"] + 0.15)
    return torch.where((plate > 0)[:, None], p["plate_colour"], p["wall_colour"])


def _plate_distance(row: _Row) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Signed distance to the plate, and how far it reaches before and after the middle of the digit."""
    p = row.p
    oval = column(p["plate"] == 2)
    vertical = column(p["vertical"])
    before, after = (column(end) + 0.2 + 0.12 * oval for end in row.ends())
    thick = torch.where(p["vertical"], row.half.amax(dim=1), row.scale) * torch.where(p["plate"] == 2, 1.4, 1.14)
    length, middle, height = (before + after) / 2, (after - before) / 2, column(thick) + 0.08
    along = torch.where(vertical, row.v, row.u) - middle
    across = torch.where(vertical, row.u, row.v)
    distance = torch.where(oval, ellipse(along, across, length, height), box(along, across, length, height, 0.06))
    single = torch.full_like(distance, 9.0)
    half_gap = column(0.42 * p["gap"] * p["scale"])
    for which in range(3):
        cu, cv = row.place(which)
        tile = box(row.u - cu, row.v - cv, column(row.half[:, which]) + half_gap, column(row.scale) + half_gap, 0.03)
        single = torch.minimum(single, tile if which == 0 else torch.where(column(row.here[:, which - 1]), tile, 9.0))
    return torch.where(column(p["plate"] == 3), single, distance), (before, after)


def _paint_numbers(canvas: Canvas, row: _Row, ground: Tensor) -> None:
    """The shadow of the digits, then neighbours and digit; rim and relief where they have one."""
    p = row.p
    middle, beside = row.distance(0), torch.minimum(row.distance(1), row.distance(2))
    behind = _moved(torch.minimum(middle, beside), p["light"], 0.05)
    _cast(canvas, behind, column(p["shadow"] * (p["relief"] > 0)), 0.07)
    ink = _ink(p, ground)
    rim, around = column(p["outline"] * p["scale"]), 0.1 + 0.8 * (_luma(ink) < 0.5).float()[:, None].expand(-1, 3)
    for distance, label in ((beside, _NEIGHBOUR), (middle, _DIGIT)):
        soft = column(p["soft"])
        canvas.paint(cover(distance - rim, row.pixel, soft), around, label)
        light = 1 + column(p["relief"]) * _slope(distance, p["light"], 0.06)
        canvas.paint(cover(distance, row.pixel, soft), ink[:, :, None, None] * light[:, None], label)


def _paint_light(canvas: Canvas, p: Parameters, x: Tensor, y: Tensor) -> None:
    """Uneven light, dappled shade, haze, the camera's colour cast and grain."""
    size = canvas.image.shape[-1]
    towards = x * column(p["light"][:, 0]) + y * column(p["light"][:, 1])
    leaves = (_texture(p["seed"] + 4, 8, 8, size) * 2.5 - 0.2).clamp(0, 1)
    canvas.shade((1 + column(p["uneven"]) * towards) * (1 - column(p["dapple"]) * leaves))
    grey = canvas.image.mean(dim=(1, 2, 3), keepdim=True)
    image = torch.lerp(canvas.image, grey, p["haze"][:, None, None, None])
    image = image * (p["cast"] * p["exposure"][:, None])[:, :, None, None]
    noise = torch.stack([_texture(p["seed"] + 5 + c, 64, 64, size) for c in range(3)], dim=1)
    canvas.image = image + p["grain"][:, None, None, None] * noise


def _ink(p: Parameters, ground: Tensor) -> Tensor:
    """The colour of the ink (B, 3): its luma differs from that of the ground by the contrast asked for."""
    below = _luma(ground)
    contrast = p["contrast"]
    # Darker or lighter as asked where there is room for it, else whichever has more room.
    fits = torch.where(p["dark"], below - contrast > 0.03, below + contrast < 0.97)
    darker = torch.where(fits, p["dark"], below > 0.5)
    return _coloured(p["tint"][:, 0], p["tint"][:, 1], below + torch.where(darker, -contrast, contrast))


def _cast(canvas: Canvas, distance: Tensor, depth: Tensor, soft: float) -> None:
    """Darken what lies in a shadow of this shape."""
    canvas.shade(1 - depth * cover(distance, 2 / distance.shape[-1], soft))


def _moved(distance: Tensor, light: Tensor, by: float) -> Tensor:
    """A distance field moved away from the light, to first order in its own slope."""
    return distance + by * _towards(distance, light)


def _slope(distance: Tensor, light: Tensor, width: float) -> Tensor:
    """How much a bevel `width` wide inside the outline faces the light, in [-1, 1]."""
    bevel = (1 - (distance + width / 2).abs() / width).clamp(0, 1)
    return bevel * _towards(distance, light)


def _towards(distance: Tensor, light: Tensor) -> Tensor:
    """How far the slope of a distance field points to the light, in [-1, 1]."""
    gy, gx = torch.gradient(distance, spacing=2 / distance.shape[-1], dim=(1, 2))
    return (gx * column(light[:, 0]) + gy * column(light[:, 1])).clamp(-1, 1)


def _texture(seed: Tensor, columns: int, rows: int, size: int) -> Tensor:
    """Smooth noise (B, size, size) in about [-1, 1], one random number for each of `columns` x `rows` places.

    Drawn on the small lattice and enlarged, it costs the same few numbers at any size.
    """
    i, j = torch.arange(columns, device=seed.device), torch.arange(rows, device=seed.device)
    lattice = hashed(i[None, None, :], j[None, :, None], column(seed)) * 2 - 1
    return F.interpolate(lattice[:, None], size=(size, size), mode="bicubic", antialias=True, align_corners=False)[:, 0]
