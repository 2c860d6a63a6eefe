"""Eyes, brows, nose, mouth, beard and glasses: what lies on the skin of a face."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.data.worlds.draw import box, length, segment
from lib.data.worlds.faces_easel import LABEL, Easel, bell, flat_oval, smooth


def paint_eyes(easel: Easel) -> None:
    """Eyeballs with iris, pupil and a catchlight, under lids with lashes."""
    p = easel.person
    e = (easel.s - p.eye_x) / p.eye_w  # -1 inner corner, 1 outer corner
    arch = (1 - e * e).clamp(min=0)
    base = p.eye_y - p.eye_tilt * e * p.eye_w
    top = base - p.eye_up * arch * (1.25 - 0.25 * arch - 0.10 * e)
    bottom = base + p.eye_low * arch * (1.05 + 0.12 * e)
    lid = top - easel.v
    distance = torch.maximum(torch.maximum(lid, easel.v - bottom) * 0.85, (e.abs() - 1) * p.eye_w)
    inside = easel.cover(distance)
    _lids(easel, e, lid, base, arch)
    ball, light = _eyeball(easel, e, lid)
    easel.paint_pair(inside, ball * light[:, None], "l_eye", "r_eye")
    reach = smooth(e.abs(), 1.16, 0.98)
    thick = (0.007 + 0.004 * e + 0.006 * (1 - p.male)) * reach
    lash = easel.cover((lid + 0.1 * thick).abs() - thick) * reach
    easel.paint(lash * (0.92 - 0.15 * p.male), p.skin * 0.14)


def _lids(easel: Easel, e: Tensor, lid: Tensor, base: Tensor, arch: Tensor) -> None:
    """Socket shade, eye shadow, the crease above and the soft edge below."""
    p = easel.person
    near = smooth(e.abs(), 1.25, 0.75)
    crease = bell(lid - 0.026 - 0.004 * p.old, 0.0085 + 0.2 * easel.pixel) * near * (0.34 + 0.16 * p.old)
    makeup = smooth(lid, 0.060, 0.005) * (lid > -0.02) * near * (0.05 + 0.20 * (1 - p.male))
    under = bell(easel.v - base - p.eye_low * arch - 0.012, 0.012) * near * (0.16 + 0.10 * p.male)
    easel.paint((crease + makeup + under).clamp(max=0.7), p.skin * _rgb(p.skin, 0.46, 0.30, 0.30))


def _eyeball(easel: Easel, e: Tensor, lid: Tensor) -> tuple[Tensor, Tensor]:
    """Colour (B, 3, H, W) of the eyeball and its light: the upper lid throws a shadow on it."""
    p = easel.person
    dx = easel.u - easel.side * p.eye_x - p.gaze_x
    dy = easel.v - p.eye_y + 0.006 - p.gaze_y
    r = length(dx, dy) / p.iris_r
    white = torch.tensor([0.955, 0.945, 0.935], device=r.device)[:, None, None]
    pink = torch.tensor([0.90, 0.70, 0.66], device=r.device)[:, None, None]
    ball = torch.lerp(white, pink, (smooth(e, -0.70, -0.98) * 0.9 + smooth(e.abs(), 0.6, 1.0) * 0.15)[:, None])
    glow = (0.72 + 0.95 * smooth(dy, -0.02, 0.040)) * (1 + 0.10 * torch.sin(torch.atan2(dy, dx) * 16) * easel.band(220))
    iris = p.iris[:, :, None, None] * (glow * (1.0 - 0.72 * smooth(r, 0.66, 1.0)))[:, None]
    iris = iris * smooth(r, 0.36, 0.50)[:, None]
    # Distances in units of the iris, so one pixel is pixel / iris_r.
    ball = torch.lerp(ball, iris, easel.cover((r - 1) * p.iris_r, 0.004)[:, None])
    light = (0.55 + 0.5 * smooth(-lid, -0.004, 0.040)) * (1 - 0.16 * smooth(e.abs(), 0.5, 1.0))
    light = light * (0.72 + 0.30 * easel.light.clamp(max=1))
    spot_x, spot_y = dx - 0.020 * p.light_x - 0.006, dy + 0.020 - 0.005 * p.light_y
    spot = easel.cover(length(spot_x, spot_y) - 0.0125, 0.004)
    spot = torch.maximum(spot, 0.35 * easel.cover(length(dx + 0.017, dy - 0.020) - 0.008, 0.008))
    return torch.lerp(ball * light[:, None], torch.ones_like(ball), 0.95 * spot[:, None]), torch.ones_like(light)


def paint_brows(easel: Easel) -> None:
    """Eyebrows of short hairs that lean outwards; expressions lift and lower their two ends."""
    p = easel.person
    b = (easel.s - p.eye_x - 0.008) / p.brow_w
    hold = b.clamp(-1.15, 1.15)
    rise = p.brow_arch * (1 - (hold - 0.12) ** 2) + p.move("brow_inner") * 0.5 * (1 - hold) + 0.004 * hold
    centre = p.brow_y - rise - p.move("brow_outer") * 0.5 * (1 + hold)
    thick = p.brow_t * (1 - 0.55 * smooth(b, -0.2, 1.1)) * (0.72 + 0.28 * smooth(b, -1.1, -0.6))
    hairs = torch.sin(easel.s * 190 + easel.v * 120 + 3 * torch.sin(easel.v * 60)) * easel.band(230)
    distance = torch.maximum((easel.v - centre).abs() - thick * (1 + 0.09 * hairs), (b.abs() - 1) * p.brow_w)
    colour = torch.lerp(p.hair * 0.62, p.skin * _rgb(p.skin, 0.34, 0.22, 0.18), 0.35)
    shaded = easel.lit(colour, easel.light) * (1 + 0.09 * hairs)[:, None]
    easel.paint_pair(easel.cover(distance, 0.007), shaded, "l_brow", "r_brow")


def paint_nose(easel: Easel) -> None:
    """Shade beside and below the nose, the nostrils, and the label of the whole."""
    p = easel.person
    u = easel.u - 0.05 * p.yaw * smooth(easel.v, -0.15, 0.22)
    w, below = u.abs(), easel.v - p.nose_y
    dark = p.skin * _rgb(p.skin, 0.52, 0.33, 0.30)
    under = bell(below - 0.026, 0.020) * smooth(w, p.nose_w * 1.25, p.nose_w * 0.4) * 0.42
    wing = bell(length(w - p.nose_w * 0.80, below + 0.008) - 0.036, 0.010) * smooth(w, 0.7 * p.nose_w, p.nose_w)
    easel.paint((under + 0.30 * wing * (below < 0.03)).clamp(max=0.6), dark)
    hole = flat_oval(w - p.nose_w * 0.46, below - 0.008 + 0.14 * (w - p.nose_w * 0.46), p.nose_w * 0.30, 0.0125)
    easel.paint(smooth(hole, 1.5, 0.4) * 0.78, dark * 0.42)
    half = p.nose_w * (0.38 + 0.70 * smooth(below, -0.19, -0.02))
    shape = torch.maximum(w - half, torch.maximum(below - 0.022, -below - 0.20))
    easel.relabel(shape < 0, "nose")


def paint_mouth(easel: Easel) -> None:
    """Lips that open on teeth and tongue."""
    p = easel.person
    t = easel.u / p.mouth_w
    arch = (1 - t * t).clamp(min=0)
    middle = p.mouth_y - p.move("corner") * (t * t - 0.30) - 0.008 * arch * (0.5 - bell(t, 0.25))
    # A smile opens to a crescent, a cry of surprise to an oval.
    wide = smooth(p.mouth_open, 0.07, 0.11)
    gape = p.mouth_open * torch.lerp(arch, arch.sqrt(), wide)
    inner_top, inner_low = middle - (0.20 + 0.18 * wide) * gape, middle + (0.80 - 0.18 * wide) * gape
    bow = arch * (0.80 + 0.62 * bell(t.abs() - 0.26, 0.24) - 0.22 * bell(t, 0.13))
    top = inner_top - p.upper_lip * torch.lerp(bow, bow.sqrt(), wide)
    low = inner_low + p.lower_lip * arch.sqrt() * (0.72 + 0.28 * arch)
    ends = (t.abs() - 1) * p.mouth_w
    _around_mouth(easel, t, middle, low)
    whole = torch.maximum(torch.maximum(top - easel.v, easel.v - low) * 0.9, ends)
    gap = torch.maximum(torch.maximum(inner_top - easel.v, easel.v - inner_low), ends)
    upper = easel.v < (inner_top + inner_low) * 0.5
    light = easel.light * torch.where(upper, 0.80, 1.06)
    plump = smooth(easel.v, inner_low, low) * smooth(easel.v, low, inner_low)
    gloss = plump * bell(t - 0.25 * p.light_x, 0.55) * (0.35 - 0.20 * p.male) * ~upper
    lips = easel.lit(p.lips, light) + (0.8 * gloss * p.skin[:, :1, None])[:, None]
    coverage = easel.cover(whole, 0.004)
    easel.paint(coverage, lips, "l_lip")
    easel.relabel((coverage > 0.5) & upper, "u_lip")
    _inside_mouth(easel, t, gap, inner_top, inner_low)
    line = bell(easel.v - (inner_top + inner_low) * 0.5, 0.0065 + 0.25 * easel.pixel) * smooth(t.abs(), 1.08, 0.85)
    closed = smooth(p.mouth_open, 0.02, 0.0)
    corner = bell(length(easel.s - p.mouth_w, easel.v - middle), 0.020) * 0.45
    easel.paint((line * closed * 0.75 + corner).clamp(max=0.85), p.lips * 0.28)


def _around_mouth(easel: Easel, t: Tensor, middle: Tensor, low: Tensor) -> None:
    """The groove above the lips, the shade below, and folds from the wings of the nose to the corners."""
    p = easel.person
    dark = p.skin * _rgb(p.skin, 0.58, 0.38, 0.36)
    shade = bell(easel.v - low - 0.020, 0.018) * smooth(t.abs(), 0.85, 0.2) * 0.36
    groove = bell(easel.u, 0.011) * smooth(easel.v, p.nose_y + 0.01, p.nose_y + 0.05) * (easel.v < middle) * 0.18
    lift = p.move("corner")
    a, b = (p.nose_w + 0.020, p.nose_y - 0.015), (p.mouth_w + 0.045, p.mouth_y - lift - 0.010)
    bend = 0.020 * bell(easel.v - (a[1] + b[1]) * 0.5, 0.08)
    fold = segment(easel.s - bend, easel.v, a, b, 0.0)
    strength = (p.move("fold") * 0.55 + 0.50 * p.old + 0.10 * (1 - p.young) - 0.10 * p.young).clamp(min=0)
    easel.paint((shade + groove + strength * bell(fold, 0.013)).clamp(max=0.8), dark)


def _inside_mouth(easel: Easel, t: Tensor, gap: Tensor, top: Tensor, low: Tensor) -> None:
    """Dark, with a row of upper teeth and a tongue where it is wide open."""
    p = easel.person
    dark = torch.tensor([0.24, 0.05, 0.07], device=t.device).expand(p.count, 3)
    inside = easel.cover(gap) * (p.mouth_open > 0.005)
    easel.paint(inside, dark, "mouth")
    wide = smooth(p.mouth_open, 0.08, 0.12)
    tongue = torch.tensor([0.72, 0.30, 0.32], device=t.device).expand(p.count, 3)
    easel.paint(inside * wide * smooth(flat_oval(easel.u, easel.v - low, p.mouth_w * 0.75, 0.050), 1.3, 0.6), tongue)
    depth = easel.v - top
    gaps = 1 - 0.10 * bell(torch.sin(easel.u * 62), 0.35) * easel.band(160)
    white = easel.lit(torch.tensor([0.97, 0.95, 0.91], device=t.device).expand(p.count, 3), easel.light * 0.9 + 0.1)
    white = white * (gaps * (1 - 0.30 * smooth(t.abs(), 0.5, 1.0)))[:, None]
    reach = 0.042 - 0.018 * wide
    easel.paint(inside * easel.cover(depth - reach, 0.006) * smooth(t.abs(), 1.0, 0.85), white)


def paint_beard(easel: Easel) -> None:
    """Stubble, a goatee or a full beard of the hair's colour; its class stays skin, as in CelebAMask-HQ."""
    p = easel.person
    style = p.trait("beard_style")
    full, goatee = smooth(style, -0.35, -0.15), smooth(style, 0.45, 0.5)
    t = easel.s / 0.40
    strand = easel.strands(easel.s * 0.9 + 0.35 * easel.v, easel.v * 2, 7)
    cheek = p.nose_y + 0.050 + 0.125 * smooth(t, 0.25, 0.52) - 0.30 * smooth(t, 0.62, 1.0)
    rough = 0.010 * strand
    grow = 0.040 * full * smooth(easel.hy, 0.30, 0.55)
    jaw = torch.maximum(easel.skull - grow - rough, cheek - easel.v + rough)
    chin = torch.maximum(easel.s - 0.175 + rough, jaw)
    distance = torch.lerp(jaw, chin, goatee)
    bare = flat_oval(easel.u, easel.v - p.mouth_y - 0.060, 0.055, 0.020)
    alpha = easel.cover(distance, 0.045 + 0.11 * (1 - full)) * (0.36 + 0.56 * full) * (1 - 0.5 * smooth(bare, 1.0, 0.4))
    alpha = (alpha * (1 + 0.20 * strand)).clamp(0, 1) * p.is_value("beard", 1)
    alpha = alpha * smooth(easel.v, p.nose_y + 0.028, p.nose_y + 0.060) * easel.cover(easel.skull - grow, 0.01)
    dark = torch.lerp(p.hair * 0.80, p.skin * 0.35, 0.18)
    easel.paint(alpha, easel.lit(dark, easel.light) * (1 + 0.28 * strand)[:, None])
    easel.relabel((alpha > 0.5) & (easel.canvas.labels != LABEL["nose"]), "skin")


def paint_glasses(easel: Easel) -> None:
    """Round or square frames with clear lenses; eyes and brows keep their classes behind the lens."""
    p = easel.person
    shape = p.trait("glasses_shape")
    du, dv = easel.s - p.eye_x - 0.012, easel.v - p.eye_y - 0.008
    half_w, half_h = 0.142 + 0.006 * shape, 0.112 + 0.018 * shape.abs() * (shape < 0)
    corner = torch.where(shape < 0, half_h - 0.002, 0.045)
    lens = box(du, dv, half_w, half_h, corner)
    worn = p.is_value("glasses", 1)
    bridge = segment(easel.s, easel.v, (0.0, -0.022), (p.eye_x - half_w + 0.02, -0.014), 0.010)
    temple = torch.maximum(box(easel.s - 0.375, dv + 0.050, 0.055, 0.011), easel.skull - 0.01)
    rim = torch.minimum(lens.abs() - 0.0105 - 0.004 * smooth(shape, -0.2, 0.4), torch.minimum(bridge, temple))
    inside = easel.cover(lens) * worn
    streak = smooth((du + 0.8 * dv + 0.04).abs(), 0.034, 0.018) * (dv < 0.03)
    tint = torch.tensor([0.86, 0.92, 0.97], device=lens.device).expand(p.count, 3)
    kept = easel.canvas.labels
    easel.paint(inside * (0.05 + 0.13 * streak), tint)
    frame = easel.cover(rim) * worn
    tone = torch.stack([0.09 + 0.25 * p.flat("hat_hue").clamp(min=0), *[0.08 + 0.06 * p.flat("hat_hue").abs()] * 2], 1)
    shadow = easel.cover(torch.minimum(bridge, lens.abs() - 0.010), 0.03) * worn * 0.16
    easel.paint(shadow, p.skin * 0.4)
    easel.paint(frame * 0.97, easel.lit(tone, easel.light * 0.9 + 0.4 * easel.shine), "eye_g")
    seen = (kept >= LABEL["l_brow"]) & (kept <= LABEL["r_eye"])
    easel.relabel((inside > 0.5) & (frame <= 0.5) & ~seen, "eye_g")


def _rgb(like: Tensor, red: float, green: float, blue: float) -> Tensor:
    """A colour on the device of `like`."""
    return torch.tensor([red, green, blue], device=like.device)
