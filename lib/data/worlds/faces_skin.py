"""The head itself: skin with light, blush, freckles and the marks of age, and the ears."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.data.worlds.draw import length, turned
from lib.data.worlds.faces_easel import Easel, bell, flat_oval, oval, smooth


def paint_ears(easel: Easel, shadow: Tensor) -> None:
    """Ears with the shade of the concha; the skull, painted later, covers their inner half."""
    p = easel.person
    out = easel.hx.abs() - p.skull_w + 0.020 + 0.04 * p.yaw * torch.sign(easel.hx)
    ex, ey = turned(out, easel.hy - 0.065, 0.14)
    ear = oval(ex, ey, 0.080 * p.ear, 0.135 * p.ear)
    light = (0.72 + 0.26 * torch.sign(easel.hx) * p.light_x) * (1 - 0.6 * shadow)
    light = light * (1 - 0.50 * bell(flat_oval(ex - 0.005, ey + 0.01, 0.045, 0.085), 0.9)) + 0.16 * bell(
        ear + 0.016, 0.010
    )
    red = torch.tensor([1.0, 0.93, 0.91], device=p.device)
    easel.paint_pair(
        easel.cover(ear), easel.lit(p.skin * red, light.clamp(0, 1.1), (0.52, 0.36, 0.35)), "l_ear", "r_ear"
    )


def paint_head(easel: Easel, shadow: Tensor) -> None:
    """The skin of the head, darkened by `shadow`."""
    p = easel.person
    light = easel.light * (1 - shadow)
    mottle = easel.grain - 0.5
    light = light * (1 + 0.035 * mottle * (0.5 + p.old) * easel.band(60))
    skin = easel.lit(p.skin, light, (0.50, 0.36, 0.35))
    shine = 0.20 * easel.shine * (1 - shadow)
    skin = (
        skin
        + (shine * (1.1 - 0.4 * p.skin[:, 1:2, None]))[:, None]
        * torch.tensor([1.0, 0.95, 0.88], device=p.device)[:, None, None]
    )
    easel.paint(easel.cover(easel.skull), skin, "skin")
    _blush(easel)
    _spots(easel)
    _wrinkles(easel)


def _blush(easel: Easel) -> None:
    """Blood in the cheeks and the tip of the nose."""
    p = easel.person
    cheek = bell(flat_oval(easel.s - 0.245, easel.v - 0.165, 0.135, 0.10).sqrt(), 0.9) * (
        0.26 + 0.10 * (1 - p.male) + 0.08 * p.young
    )
    nose = bell(flat_oval(easel.u, easel.v - p.nose_y + 0.03, 0.06, 0.05).sqrt(), 1.0) * 0.16
    rosy = p.skin * torch.tensor([1.0, 0.66, 0.62], device=p.device)
    inside = easel.cover(easel.skull)
    easel.paint(
        (cheek + nose) * inside * 0.75, rosy[:, :, None, None] * (0.55 + 0.48 * easel.light.clamp(0, 1))[:, None]
    )


def _spots(easel: Easel) -> None:
    """Freckles over the nose and cheeks of some, a mole on others."""
    p = easel.person
    speck = easel.grain
    where = bell(flat_oval(easel.s - 0.15, easel.v - 0.13, 0.20, 0.085).sqrt(), 1.0)
    freckles = smooth(speck, 0.80, 0.97) * where * smooth(p.trait("freckles"), 0.45, 0.9) * 0.55
    mole = p.trait("mole")
    at_u, at_v = 0.30 * torch.sin(mole * 40), 0.27 + 0.14 * torch.cos(mole * 23)
    spot = easel.cover(length(easel.u - at_u, easel.v - at_v) - 0.011, 0.004) * (mole > 0.6) * 0.8
    easel.paint((freckles + spot).clamp(max=0.9), p.skin * torch.tensor([0.58, 0.40, 0.30], device=p.device))


def _wrinkles(easel: Easel) -> None:
    """Lines on the forehead, at the corners of the eyes and under them."""
    p = easel.person
    forehead = torch.sin((easel.v + 0.02 * torch.cos(easel.u * 9)) * 78) * 0.5 + 0.5
    region = (
        smooth(easel.v, -0.36, -0.30) * smooth(easel.v, p.brow_y - 0.02, p.brow_y - 0.07) * smooth(easel.s, 0.26, 0.12)
    )
    lines = forehead**3 * region * (0.55 * p.old + 0.12 * (1 - p.young)) * (0.3 + 0.7 * easel.band(90))
    out_u, out_v = easel.s - p.eye_x - p.eye_w - 0.01, easel.v - p.eye_y
    feet = bell(torch.sin(torch.atan2(out_v, out_u + 0.05) * 7), 0.45) * bell(out_u - 0.045, 0.035) * bell(out_v, 0.07)
    smile = p.move("squint")
    lines = lines + feet * (0.45 * p.old + 0.15 * smile * (1 - p.young))
    bag = bell(easel.v - p.eye_y - 0.088 + 0.35 * (easel.s - p.eye_x) ** 2 / 0.1, 0.014) * bell(
        easel.s - p.eye_x, 0.085
    )
    lines = lines + bag * (0.50 * p.old + 0.16 * (1 - p.young))
    frown = bell(easel.s - 0.034, 0.009) * bell(easel.v - p.brow_y, 0.05) * (p.move("brow_inner") < -0.02) * 0.5
    easel.paint((lines + frown).clamp(max=0.75), p.skin * torch.tensor([0.60, 0.42, 0.38], device=p.device))
