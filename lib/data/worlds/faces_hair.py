"""Hair and hats: shapes behind and in front of the face, strands, shine, and the shadows they throw."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.data.worlds.draw import column, ellipse
from lib.data.worlds.faces_easel import Easel, bell, fillet, oval, smooth

STYLES = ("buzz", "short", "side_part", "quiff", "bald_top", "curly", "bob", "fringe_bob", "long", "wavy_long", "bun")
_SHAPE = {  # one number for each style, picture units
    #                  buzz  short side  quiff bald  curly bob   fbob  long  wavy  bun
    "volume":         (0.015, 0.055, 0.065, 0.105, 0.010, 0.100, 0.070, 0.070, 0.065, 0.075, 0.045),
    "side":           (0.012, 0.022, 0.028, 0.012, 0.035, 0.100, 0.075, 0.085, 0.065, 0.080, 0.015),
    "length":         (-0.02, 0.02, 0.02, -0.04, 0.10, 0.20, 0.42, 0.36, 1.02, 0.92, -0.02),
    "flare":          (0.00, 0.00, 0.00, 0.00, 0.00, 0.02, 0.03, 0.04, 0.06, 0.12, 0.00),
    "drop":           (0.00, 0.05, 0.00, -0.06, -0.42, 0.06, 0.00, 0.17, 0.00, 0.00, 0.00),
    "sweep":          (0.00, 0.00, 0.30, 0.06, 0.00, 0.00, 0.44, 0.00, 0.48, 0.42, 0.14),
    "opening":        (0.385, 0.385, 0.385, 0.390, 0.390, 0.375, 0.345, 0.345, 0.345, 0.345, 0.395),
    "curl":           (0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.45, 0.0),
    "bun":            (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
}  # fmt: skip
_SHARE = {  # how often each style is worn by women and men
    "female": (0.02, 0.05, 0.02, 0.01, 0.0, 0.14, 0.17, 0.15, 0.18, 0.16, 0.10),
    "male": (0.15, 0.25, 0.20, 0.16, 0.09, 0.10, 0.01, 0.02, 0.01, 0.01, 0.0),
}


@dataclass(frozen=True)
class Hair:
    """Signed distances of the hair of a batch.

    Attributes:
        back: all of it, as it lies behind neck and ears.
        front: the part in front of the head.
        opening: distance to the gap in which the face shows, negative inside it.
        strand: the texture of the strands, about -1..1.
    """

    back: Tensor
    front: Tensor
    opening: Tensor
    strand: Tensor


def hairstyle(easel: Easel) -> Tensor:
    """Index into `STYLES`, (B,): identity picks a quantile, gender presentation says which style lies there."""
    p = easel.person
    shares = torch.tensor([_SHARE["female"], _SHARE["male"]], device=p.device).cumsum(1)
    rows = shares[p.parameters["gender"]]
    quantile = (p.flat("hairstyle") * 0.5 + 0.5).clamp(0, 0.999)
    return (quantile[:, None] * rows[:, -1:] >= rows).sum(1).clamp(max=len(STYLES) - 1)


def shape_hair(easel: Easel) -> Hair:
    """The shapes of a batch's hair, as it lies when nothing is worn on it."""
    p, style = easel.person, hairstyle(easel)
    form = {name: column(torch.tensor(row, device=p.device)[style]) for name, row in _SHAPE.items()}
    x, y = easel.hx + 0.030 * p.yaw, easel.hy
    curl = torch.sin(x * 21 + 5 * y) * torch.sin(y * 19 - 4 * x) + 0.5 * torch.sin(x * 43) * torch.sin(y * 47)
    curl = 0.020 * form["curl"] * curl
    cap = oval(x, y + 0.20, p.skull_w + form["side"], 0.475 + form["volume"])
    half = p.skull_w + form["side"] - 0.012 + form["flare"] * smooth(y, -0.1, 0.7)
    tip = form["length"] - 0.10 * smooth(x.abs(), 0.40, 0.58) + 0.02 * torch.sin(x * 30) * torch.sin(x * 13 + 1)
    fall = torch.maximum(torch.maximum(x.abs() - half, y - tip), -y - 0.15)
    hanging = form["length"] > 0.15
    back = torch.where(hanging, fillet(cap, fall + 0.01, 0.06), torch.maximum(cap, y - tip - 0.05))
    knot = oval(easel.hx + 0.05 * p.yaw, y + 0.76, 0.17, 0.15)
    back = torch.where(form["bun"] > 0.5, torch.minimum(back, knot), back) - curl
    # The parting and the hairline are on the forehead, so they turn with the face.
    part = 0.24 * p.trait("parting")
    away = (easel.u - part).abs()
    line = p.hairline + form["drop"] + form["sweep"] * (away - 0.08).clamp(min=0) * 0.8
    ragged = 0.012 * torch.sin(easel.u * 37 + p.trait("parting") * 9) * (form["drop"] > 0.01)
    window = ellipse(easel.u, easel.v - 0.16, form["opening"], 0.66, 3.0)
    opening = torch.maximum(window, line + ragged - easel.v)
    # Hair that hangs down leaves the neck free; short hair ends at the ears.
    below = torch.maximum(easel.s - form["opening"] * (1 - 0.25 * smooth(y, 0.35, 0.85)), -y)
    opening = torch.where(hanging, torch.minimum(opening, below), opening) - curl * 0.5
    front = torch.maximum(back, -opening)
    front = torch.where(hanging, front, -fillet(-front, form["length"] - y, 0.10))
    across = (x - part * smooth(y, 0.0, -0.6)) / (1 - ((y + 0.05).clamp(-0.72, 0) / 0.80) ** 2).sqrt()
    across = across + form["curl"] * 0.05 * torch.sin(y * 24 + 4 * x)
    return Hair(back, front, opening, easel.strands(across, y, 3))


def paint_hair(easel: Easel, hair: Hair, distance: Tensor, *, behind: bool) -> None:
    """Fill a part of the hair with shaded strands; what hangs behind the neck is in the shade."""
    p = easel.person
    strand = hair.strand
    nx, ny = (easel.hx / 0.58).clamp(-1, 1), ((easel.hy + 0.18) / 0.75).clamp(-1, 0.6)
    lit = 0.62 - 0.30 * ny + 0.34 * nx * p.light_x - 0.30 * nx * nx
    ring = bell(easel.hy + 0.50 - 0.30 * nx * nx - 0.10 * nx * p.light_x, 0.085) * (1 + 0.8 * strand)
    lit = lit * (1 + 0.34 * strand) + 0.10 * strand
    lit = lit * (0.47 if behind else smooth(hair.opening, 0.0, 0.07) * 0.30 + 0.70)
    colour = easel.lit(p.hair, lit.clamp(0, 1.25), (0.42, 0.38, 0.40))
    sheen = (ring * (0.03 if behind else 0.16)).clamp(min=0)[:, None]
    colour = colour + sheen * (0.35 + p.hair[:, :, None, None])
    easel.paint(easel.cover(distance - 0.006 * strand, 0.006), colour, "hair")


def shape_hat(easel: Easel) -> tuple[Tensor, Tensor]:
    """Distance to the hat without its brim, and the height of its lower edge at each pixel."""
    p = easel.person
    x = easel.hx + 0.01 * p.yaw
    line = -0.315 - 0.10 * (x / 0.5) ** 2 + 0.02 * p.pitch
    tall = 0.06 * smooth(p.trait("hat_style"), 0.25, 0.4)
    dome = oval(x, easel.hy + 0.20, p.skull_w + 0.095, 0.590 + tall)
    return -fillet(-dome, line - easel.hy, 0.06), line


def paint_hat(easel: Easel, dome: Tensor, line: Tensor) -> None:
    """A beanie, a cap or a hat with a brim, by identity."""
    p = easel.person
    worn, style = p.is_value("hat", 1), p.trait("hat_style")
    beanie, brim = style < -0.3, style > 0.32
    hue, x = p.flat("hat_hue"), easel.hx + 0.01 * p.yaw
    base = cloth_colour(hue, p.flat("hat_style") * 2.3)
    nx, ny = x / 0.60, (easel.hy + 0.30) / 0.60
    light = (0.70 - 0.42 * ny + 0.36 * nx * p.light_x - 0.42 * nx * nx).clamp(0, 1.15)
    across = nx / (1 - (ny.clamp(-0.93, 0)) ** 2).sqrt()
    ribs = torch.sin(across * 46) * easel.band(95) * beanie
    cuff = smooth(easel.hy - line, -0.145, -0.135) * beanie
    band = smooth(easel.hy - line, -0.115, -0.105) * brim
    seam = bell(torch.sin(across * 2.6), 0.05) * (~beanie & ~brim)
    light = light * (1 + 0.13 * ribs) * (1 + 0.12 * cuff) * (1 - 0.55 * band) * (1 - 0.22 * seam)
    light = light * (1 - 0.35 * bell(easel.hy - line + 0.150, 0.016) * beanie)
    easel.paint(easel.cover(dome) * worn, easel.lit(base, light), "hat")
    turn, dip = 0.11 * p.yaw, 0.06 * p.pitch
    bow = ((easel.hx - turn) / 0.5) ** 2
    visor = oval(easel.hx - turn, easel.hy + 0.305 - dip + 0.10 * bow, 0.40, 0.090)
    wide = oval(easel.hx - 0.03 * p.yaw, easel.hy + 0.355 - dip, 0.80, 0.115)
    edge = torch.where(brim, wide, visor)
    depth = easel.hy + 0.30 - dip + torch.where(brim, 0.04, 0.10 * bow)
    shade = (0.66 - 2.6 * depth + 0.20 * easel.hx * p.light_x).clamp(0, 1.1) * (1 - 0.30 * smooth(-edge, 0.014, 0.004))
    easel.paint(easel.cover(edge - 0.012, 0.03) * worn * ~beanie * 0.35, base * 0.3)
    easel.paint(easel.cover(edge) * worn * ~beanie, easel.lit(base * 0.95, shade), "hat")


def cloth_colour(hue: Tensor, light: Tensor) -> Tensor:
    """A muted dye: hue and lightness in any range (B,) -> (B, 3)."""
    phase = hue[:, None] * 3.1416 + torch.tensor([0.0, 2.094, 4.189], device=hue.device)
    value = (0.46 + 0.26 * torch.sin(light * 2.5))[:, None]
    return (value * (1 + 0.50 * torch.cos(phase))).clamp(0.03, 0.95)


def shadow_on_face(easel: Easel, hair: Hair, dome: Tensor, line: Tensor) -> Tensor:
    """How much hair and hat darken the skin below them, (B, H, W) in [0, 1]."""
    p = easel.person
    fringe = bell(hair.opening.clamp(max=0), 0.055) * smooth(easel.hy, 0.30, -0.1) * 0.40
    brim = 0.04 + 0.10 * (p.trait("hat_style") > -0.3)
    hat = smooth(easel.hy - line, 0.05 + brim, 0.0 + 0.4 * brim) * 0.50 * p.is_value("hat", 1)
    return torch.maximum(fringe, hat)
