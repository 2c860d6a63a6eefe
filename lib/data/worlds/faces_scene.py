"""Everything round the face: the out-of-focus background, the neck, the shoulders and what covers them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lib.data.worlds.draw import column, grid, hashed, length
from lib.data.worlds.faces_easel import Easel, bell, fillet, sheet, smooth
from lib.data.worlds.faces_hair import cloth_colour

BACKGROUNDS = ("wall", "plaster", "foliage", "lights", "stripes", "sky", "room")
_FOCUS = 48
"""The background is out of focus: it is painted at this many pixels and enlarged smoothly."""


def paint_background(easel: Easel) -> None:
    """One of `BACKGROUNDS`, by its seed alone."""
    p = easel.person
    x, y = grid(_FOCUS, device=p.device)
    seed = p.seed("background")
    kind = column(_pick(seed, 1) * len(BACKGROUNDS)).long()
    wall = cloth_colour(_pick(seed, 2) * 2, _pick(seed, 3) * 1.2 - 0.2) * 0.36 + 0.22 + 0.22 * _pick(seed, 3)[:, None]
    other = cloth_colour(_pick(seed, 4) * 2, _pick(seed, 5) * 2 - 1) * 0.55 + 0.20
    a, b = wall[:, :, None, None], other[:, :, None, None]
    coarse = (sheet(seed + 11, 5, _FOCUS)[:, 0] * 2 + sheet(seed + 13, 11, _FOCUS)[:, 0]) / 3
    fine = (sheet(seed + 12, 12, _FOCUS)[:, 0] * 2 + sheet(seed + 14, 25, _FOCUS)[:, 0]) / 3
    picture = a * (1.08 - 0.20 * y + 0.10 * x * (column(_pick(seed, 6)) - 0.5))[:, None]
    picture = torch.where((kind == 1)[:, None], a * (0.72 + 0.55 * (0.5 * coarse + 0.5 * fine))[:, None], picture)
    picture = torch.where((kind == 2)[:, None], _foliage(coarse, fine, y), picture)
    picture = torch.where((kind == 3)[:, None], _lights(b * 0.35, x, y, seed), picture)
    wave = smooth(torch.sin(x * (9 + 12 * column(_pick(seed, 7))) + y * 4 * (column(_pick(seed, 8)) > 0.5)), -0.3, 0.3)
    picture = torch.where((kind == 4)[:, None], torch.lerp(a, b * 0.5 + a * 0.5, wave[:, None]), picture)
    picture = torch.where((kind == 5)[:, None], _sky(coarse, x, y, seed), picture)
    picture = torch.where((kind == 6)[:, None], _room(a, b, x, y, seed, fine), picture)
    if easel.size != _FOCUS:
        picture = F.interpolate(picture, size=(easel.size,) * 2, mode="bicubic", antialias=easel.size < _FOCUS)
    easel.canvas.image = picture.clamp(0, 1)


def _pick(seed: Tensor, which: int) -> Tensor:
    """A number in [0, 1) that depends on the seed (B, 1, 1) and `which`, as (B,)."""
    return hashed(seed, seed * 0 + which, seed)[:, 0, 0]


def _tint(like: Tensor, red: float, green: float, blue: float) -> Tensor:
    """A colour (3, 1, 1) on the device of `like`."""
    return torch.tensor([red, green, blue], device=like.device)[:, None, None]


def _foliage(coarse: Tensor, fine: Tensor, y: Tensor) -> Tensor:
    """Leaves with patches of sky between them."""
    dark, leaf, sky = _tint(y, 0.10, 0.20, 0.09), _tint(y, 0.48, 0.62, 0.25), _tint(y, 0.86, 0.92, 0.88)
    green = torch.lerp(dark, leaf, smooth(fine * 0.6 + coarse * 0.4, 0.25, 0.75)[:, None])
    return torch.lerp(green, sky, (smooth(coarse - 0.25 * y, 0.62, 0.82) * 0.8)[:, None])


def _lights(dusk: Tensor, x: Tensor, y: Tensor, seed: Tensor) -> Tensor:
    """Discs of blurred lamps at dusk, one in each cell of two lattices."""
    picture = dusk * (1 + 0.35 * y)[:, None] + 0.05
    lamps = torch.tensor(
        [[1.0, 0.78, 0.42], [1.0, 0.60, 0.30], [0.98, 0.92, 0.80], [0.55, 0.78, 0.85]], device=x.device
    )
    lattice = torch.arange(-4, 4, device=x.device)
    for layer, cells in enumerate((1.15, 1.9)):
        i, j = torch.floor(x * cells + 0.3), torch.floor(y * cells)
        # Drawn once for each cell, then looked up by each pixel.
        drawn = [hashed(lattice[None, None], lattice[None, :, None], seed + 31 * layer + n) for n in range(4)]
        place = (j.long()[0] + 4, i.long()[0] + 4)
        dx, dy, seen, tone = (values[:, place[0], place[1]] for values in drawn)
        dx = x * cells + 0.3 - i - 0.34 - 0.32 * dx
        dy = y * cells - j - 0.34 - 0.32 * dy
        size = 0.19 + 0.14 * tone
        radius = length(dx, dy)
        disc = smooth(radius, size + 0.07, size - 0.06) * (0.75 + 0.25 * smooth(radius, size * 0.6, size))
        glow = lamps[(tone * 4).long().clamp(max=3)].permute(0, 3, 1, 2)
        picture = torch.lerp(picture, glow, (disc * (seen > 0.35) * (0.15 + 0.55 * seen))[:, None])
    return picture


def _sky(coarse: Tensor, x: Tensor, y: Tensor, seed: Tensor) -> Tensor:
    """A pale sky with clouds above distant hills."""
    clear = torch.lerp(_tint(y, 0.40, 0.62, 0.86), _tint(y, 0.86, 0.90, 0.92), ((y + 1) * 0.55)[:, None].clamp(0, 1))
    sky = torch.lerp(clear, _tint(y, 0.97, 0.96, 0.95), (smooth(coarse, 0.48, 0.75) * 0.8)[:, None])
    ridge = 0.25 + 0.35 * sheet(seed + 5, 4, _FOCUS)[:, 0, 20:21]
    hill = torch.lerp(_tint(y, 0.42, 0.52, 0.46), _tint(y, 0.30, 0.40, 0.24), smooth(y, 0.2, 1.0)[:, None])
    return torch.lerp(sky, hill, smooth(y - ridge, -0.03, 0.03)[:, None])


def _room(wall: Tensor, wood: Tensor, x: Tensor, y: Tensor, seed: Tensor, fine: Tensor) -> Tensor:
    """Shelves with things on them, or a bright window beside a dim wall."""
    shelf = torch.floor((y + 1) * 2.2)
    column_index = torch.floor(x * 7 + 3 * hashed(shelf.long(), shelf.long() * 0, seed))
    tone = hashed(column_index.long(), shelf.long(), seed + 3)
    book = (
        wood
        * (0.45 + 0.9 * tone)[:, None]
        * torch.lerp(_tint(x, 1.15, 0.95, 0.75), _tint(x, 0.7, 0.95, 1.2), tone[:, None])
    )
    board = smooth((y + 1) * 2.2 - shelf, 0.80, 0.90)
    shelves = torch.lerp(book, wood * 0.35 + 0.05, board[:, None]) * (0.55 + 0.2 * fine)[:, None]
    across = x - 2.4 * (column(_pick(seed, 9)) - 0.5)
    pane = smooth(across.abs(), 0.46, 0.38) * smooth(y, 0.55, 0.45)
    pane = pane * (1 - 0.6 * bell(across, 0.04)) * (1 - 0.6 * bell(y + 0.25, 0.04))
    outside = torch.lerp(
        _tint(x, 0.78, 0.88, 0.96), _tint(x, 0.70, 0.76, 0.58), smooth(y + 0.4 * fine, -0.2, 0.7)[:, None]
    )
    glow = 0.80 + 0.20 * smooth(across.abs(), 1.4, 0.4)
    window = torch.lerp(wall * glow[:, None], outside, pane[:, None])
    return torch.where((column(_pick(seed, 10)) > 0.5)[:, None], window, shelves)


def paint_body(easel: Easel) -> None:
    """Neck, then shoulders under a shirt, a collar, a sweater or a jacket."""
    p = easel.person
    x, y, w = easel.x, easel.y, easel.x.abs()
    lean = torch.lerp(easel.hx, x, smooth(y, 0.35, 0.80))
    neck = lean.abs() - p.neck_w - 0.10 * smooth(y, 0.62, 0.92) - 0.02 * smooth(y, 0.5, 0.2)
    neck = torch.maximum(neck, -easel.hy)
    light = (0.86 - 3.7 * lean * lean + 0.9 * lean * p.light_x).clamp(0.05, 1)
    light = light * (1 - 0.72 * bell(easel.skull.clamp(min=0), 0.13))
    tendon = bell(lean.abs() - 0.08 - 0.10 * (0.9 - y).clamp(min=0), 0.03) * 0.06 * (0.3 + p.male)
    easel.paint(easel.cover(neck), easel.lit(p.skin * 0.97, light - tendon, (0.52, 0.42, 0.42)), "neck")
    chest = _shoulders(easel, w)
    easel.paint(easel.cover(chest), easel.lit(p.skin * 0.97, light, (0.52, 0.42, 0.42)), "neck")
    _paint_clothes(easel, chest)


def _shoulders(easel: Easel, w: Tensor) -> Tensor:
    """Distance to the shoulders, which rise towards the neck; `w` = |x|."""
    p = easel.person
    span = 0.70 + 0.10 * p.male + 0.03 * p.trait("width")
    rise = 0.775 + 0.055 * (w / 0.4).clamp(max=1) ** 2 + 0.13 * (w / span) ** 4
    return (rise - easel.y) * 0.94


def _paint_clothes(easel: Easel, chest: Tensor) -> None:
    """The garment with its neckline, folds and pattern."""
    p, x, y, w = easel.person, easel.x, easel.y, easel.x.abs()
    style = column(torch.floor((p.flat("cloth_style") * 0.5 + 0.5) * 5).clamp(0, 4))
    base = cloth_colour(p.flat("cloth_hue"), p.flat("cloth_light"))
    trim = cloth_colour(p.flat("cloth_hue") + 0.35, p.flat("cloth_pattern") * 1.7)
    crew = length(w, (y - 0.70) * 1.25) - 0.275
    vee = torch.maximum(w - 0.30 + 0.80 * (y - 0.74), w - 0.30)
    neckline = torch.where(style == 1, vee * 0.78, crew)
    high = torch.maximum(w - p.neck_w - 0.035 - 0.10 * (y - 0.66), 0.665 - y + 0.9 * x * x)
    high = fillet(chest - 0.012, high, 0.10)
    garment = torch.where(style == 3, high, torch.maximum(chest - 0.012, -neckline))
    folds = easel.sampled(sheet(p.seed("texture", 77), 9), 0.8 * x + 0.3 * y, y - 0.4 * x) - 0.5
    light = (0.80 - 0.50 * (w / 0.95) ** 2 + 0.28 * x * p.light_x + 0.5 * folds).clamp(0.05, 1.1)
    light = light * (1 - 0.40 * bell(easel.skull.clamp(min=0), 0.16))
    light = light * (1 - 0.25 * bell(neckline - 0.035, 0.010) * (style != 3))
    pattern = p.trait("cloth_pattern")
    stripes = smooth(torch.sin(y * 42), -0.2, 0.2) * (pattern > 0.55) * easel.band(50)
    checks = 0.5 * (smooth(torch.sin(x * 30), 0.2, 0.5) + smooth(torch.sin(y * 30), 0.2, 0.5)) * (pattern < -0.6)
    colour = torch.lerp(
        base[:, :, None, None], trim[:, :, None, None], ((stripes + checks) * 0.75).clamp(0, 1)[:, None]
    )
    shaded = colour * (0.45 + 0.60 * light)[:, None]
    easel.paint(easel.cover(garment), shaded, "cloth")
    _paint_collar(easel, chest, style, trim, base, light)


def _paint_collar(easel: Easel, chest: Tensor, style: Tensor, trim: Tensor, base: Tensor, light: Tensor) -> None:
    """A shirt collar (style 2) or the lapels of a jacket (style 4)."""
    y, w = easel.y, easel.x.abs()
    # Two flaps that meet below the throat; their outer corners point down.
    inner_edge, outer_edge = w - 0.235 + 0.78 * (y - 0.70), w - 0.275 - 0.05 * (y - 0.70)
    flap = torch.maximum(torch.maximum(-inner_edge * 0.79, outer_edge), torch.maximum(0.66 - y, y - 0.90 - 0.45 * w))
    shirt = easel.cover(flap) * (style == 2)
    pale = torch.lerp(base, torch.ones_like(base), 0.35)
    easel.paint(easel.cover(flap - 0.012, 0.03) * (style == 2) * 0.35, base * 0.35)
    easel.paint(shirt, pale[:, :, None, None] * (0.55 + 0.50 * light)[:, None], "cloth")
    lapel = easel.cover(torch.maximum(w - 0.15 - 0.80 * (1.0 - y).clamp(min=0), chest - 0.012)) * (style == 4)
    inner = easel.cover(length(w, (y - 0.70) * 1.25) - 0.275)
    easel.paint(lapel * (1 - inner) * 0.9, trim[:, :, None, None] * (0.50 + 0.55 * light)[:, None], "cloth")
