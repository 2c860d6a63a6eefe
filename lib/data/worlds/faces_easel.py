"""The painter's tools for faces: pixel coordinates in every frame, soft masks, light on a rounded head."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lib.data.worlds.draw import Canvas, Number, cover, grid, hashed
from lib.data.worlds.faces_anatomy import Frame, Person
from lib.data.worlds.world import Parameters
from lib.labelmaps import Palette

PALETTE = Palette(
    (
        "background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear", "nose", "mouth",
        "u_lip", "l_lip", "neck", "cloth", "hair", "hat",
    ),
    (
        (28, 30, 38), (244, 196, 160), (120, 72, 30), (176, 116, 52), (60, 130, 220), (110, 200, 250), (150, 90, 200),
        (240, 140, 90), (250, 170, 60), (226, 120, 140), (120, 10, 40), (214, 40, 70), (250, 90, 120),
        (210, 150, 110), (60, 150, 100), (90, 60, 50), (240, 220, 70),
    ),
)  # fmt: skip
"""The classes of CelebAMask-HQ but earrings and necklaces; ``l_`` lies in the left half of a frontal picture."""
LABEL = {name: index for index, name in enumerate(PALETTE.names)}


def smooth(value: Tensor, low: Number, high: Number) -> Tensor:
    """0 below `low`, 1 above `high`, an S between (or the reverse, if low > high)."""
    t = ((value - low) * (1 / (high - low))).clamp(0, 1)
    return t.square() * (3 - 2 * t)


def bell(distance: Tensor, width: Number) -> Tensor:
    """A soft spot or line: close to exp(-(distance / width)²), but exactly 0 from two widths on.

    The exponential's tail would be slow: its products are denormal numbers, which CPUs handle a hundred times slower.
    """
    scaled = distance * (0.5 / width)
    return (1 - scaled * scaled).clamp(min=0).square().square()


def flat_oval(x: Tensor, y: Tensor, a: Number, b: Number) -> Tensor:
    """(x/a)² + (y/b)²: 1 on the ellipse. The cheap mask for soft things."""
    return (x * (1 / a)).square() + (y * (1 / b)).square()


def oval(x: Tensor, y: Tensor, a: Number, b: Number) -> Tensor:
    """`draw.ellipse` with power 2: the same distance at a third of the cost."""
    p, q = x * (1 / a), y * (1 / b)
    norm = (p.square() + q.square() + 1e-9).sqrt()
    return (norm - 1) * norm * ((p * (1 / a)).square() + (q * (1 / b)).square() + 1e-9).rsqrt()


class Easel:
    """A canvas, the sitter and where every pixel lies on the sitter.

    Attributes:
        x, y: body coordinates, in which shoulders stay upright.
        hx, hy: head coordinates, turned with the head.
        u, v: the face seen from the front; ``s`` = |u| draws both halves at once.
        side, is_left: the sign of u, and where it is negative.
        pixel: the side of a pixel in body units.
        skull: signed distance to the head's outline.
        light: how bright the head is at each pixel, about 0 in the shade and 1 in the light.
        shine: the mirror reflection of the light on the head.
        grain: fine noise in [0, 1] that lies on the skin.
    """

    def __init__(self, parameters: Parameters, size: int) -> None:
        self.person, self.size = Person(parameters), size
        device = self.person.device
        self.canvas = Canvas(self.person.count, size, device=device)
        frame = Frame(parameters)
        self.px, self.py = grid(size, device=device)
        self.pixel = (2 / size) / frame.scale
        self.x, self.y = frame.to_body(self.px, self.py)
        self.hx, self.hy = frame.to_head(self.x, self.y)
        self.u, self.v = frame.to_face(self.hx, self.hy)
        self.s, self.side, self.is_left = self.u.abs(), torch.sign(self.u), self.u < 0
        self.skull = self._skull()
        self.light, self.shine = self._light()
        # One sheet of grain serves the skin and its freckles.
        self.grain = self.sampled(sheet(self.person.seed("texture", 5), 64), self.u * 1.3, self.v * 1.3)

    def cover(self, distance: Tensor, soft: Number = 0.0) -> Tensor:
        """How much of each pixel a shape covers."""
        return cover(distance, 0.0, self.pixel + soft)

    def sampled(self, noise: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Values of a `sheet` at (u, v), which in [-1, 1] covers it once: (B, H, W)."""
        places = torch.stack(torch.broadcast_tensors(u, v), 3)
        return F.grid_sample(noise, places, padding_mode="reflection", align_corners=False)[:, 0]

    def band(self, frequency: Number) -> Tensor:
        """1 where waves of `frequency` (radians a unit) can be drawn, 0 where the pixels are too coarse."""
        return (2.0 - self.pixel * frequency * 0.9).clamp(0, 1)

    def paint(self, coverage: Tensor, colour: Tensor, label: str | None = None) -> None:
        """`Canvas.paint` with the label's name."""
        self.canvas.paint(coverage, colour, None if label is None else LABEL[label])

    def paint_pair(self, coverage: Tensor, colour: Tensor, left: str, right: str) -> None:
        """Paint both halves of the face with a label for each."""
        self.canvas.paint(coverage, colour)
        own = coverage > 0.5
        self.relabel(own & self.is_left, left)
        self.relabel(own & ~self.is_left, right)

    def relabel(self, where: Tensor, label: str) -> None:
        """Give pixels another class and leave their colour."""
        self.canvas.labels = self.canvas.labels.masked_fill(where, LABEL[label])

    def lit(self, colour: Tensor, light: Tensor, dark: tuple[float, float, float] = (0.50, 0.42, 0.44)) -> Tensor:
        """`colour` (B, 3) in the light, `colour` × `dark` in the shade: (B, 3, H, W)."""
        bright = colour[:, :, None, None]
        shade = bright * torch.tensor(dark, device=colour.device)[:, None, None]
        return torch.addcmul(shade, bright - shade, light[:, None])

    def strands(self, across: Tensor, along: Tensor, seed: int) -> Tensor:
        """Hair-like texture, about -1..1: fine across the strands, slow along them."""
        seeds = self.person.seed("texture")
        phase = hashed(seeds, torch.full_like(seeds, seed), seeds) * 6.283
        bend = 0.015 * torch.sin(along * 5.0 + phase)
        drift = torch.sin(along * 3.1 + phase * 3)
        total = torch.zeros((), device=across.device)
        for k, (frequency, weight) in enumerate(((11.0, 0.40), (27.0, 0.34), (61.0, 0.30), (140.0, 0.24))):
            wave = (across + bend) * frequency + phase * (3 * k + 1) + drift * (1 + 0.03 * frequency)
            total = total + weight * self.band(frequency * 2.2) * torch.sin(wave)
        return total

    def _skull(self) -> Tensor:
        """Cranium, cheeks and jaw, melted together; chin and cheeks follow the turn of the head."""
        person = self.person
        x, y = self.hx, self.hy
        cranium = oval(x + 0.015 * person.yaw, y + 0.20, person.skull_w, 0.47)
        cheeks = oval(x - 0.045 * person.yaw, y - 0.06, person.cheek_w, 0.40)
        jaw_h = 0.235
        drop = person.chin_y + 0.025 * person.pitch
        jaw = oval(x - 0.105 * person.yaw, y - drop + jaw_h, person.jaw_w, jaw_h)
        both = fillet(cheeks, jaw, 0.22)
        return fillet(cranium, both, 0.10)

    def _light(self) -> tuple[Tensor, Tensor]:
        """Lambert's law, wrapped, on an ellipsoid with the bumps of a face."""
        person = self.person
        slope_u, slope_v = self._relief()
        nx = (self.hx / 0.60 - 0.05 * person.yaw).clamp(-0.95, 0.95)
        ny = ((self.hy - 0.02) / 0.86).clamp(-0.9, 0.9)
        edge = smooth(-self.skull, 0.16, 0.0)
        nx, ny = nx * (1 + 0.35 * edge) - slope_u, ny * (1 + 0.25 * edge) - slope_v
        nz = (1.15 - (self.hx / 0.68) ** 2 - ((self.hy - 0.02) / 1.0) ** 2).clamp(min=0.10).sqrt()
        length = (nx * nx + ny * ny + nz * nz).rsqrt()
        lx, ly = 1.05 * person.light_x, -0.42 + 0.40 * person.light_y
        norm = (lx * lx + ly * ly + 0.62).rsqrt()
        towards = (nx * lx + ny * ly + nz * 0.787) * norm * length
        half = (nx * lx * norm + ny * ly * norm + nz * (0.787 * norm + 1)) * length
        half = half * (2 + 2 * 0.787 * norm).rsqrt()
        gleam = ((half - 0.80) * 5).clamp(min=0)
        return (0.22 + 0.88 * towards).clamp(0, 1.12), gleam.square() * gleam

    def _relief(self) -> tuple[Tensor, Tensor]:
        """Slopes of the face's relief: a sum of Gaussian hills at the nose, cheeks, brows, lips and chin."""
        p = self.person
        u = self.u - (0.05 * p.yaw) * smooth(self.v, -0.15, 0.22)
        hills: list[tuple[Tensor, Tensor, Number, Number, Number]] = [
            (u, self.v - p.nose_y + 0.030, p.nose_w * 0.70, 0.062, 0.052),  # tip of the nose
            (u, self.v - p.nose_y + 0.150, p.nose_w * 0.48, 0.150, 0.026),  # its bridge
            (u.abs() - p.nose_w * 0.78, self.v - p.nose_y + 0.012, 0.034, 0.036, 0.012),  # wings
            (self.s - 0.235, self.v - 0.16, 0.125, 0.115, 0.030 + 0.020 * p.move("squint")),  # cheeks
            (self.s - p.eye_x, self.v - p.eye_y, 0.120, 0.080, -0.022),  # eye sockets
            (self.s - 0.16, self.v - p.brow_y, 0.140, 0.050, 0.008 + 0.007 * p.male),  # brow ridge
            (self.u, self.v - p.mouth_y, 0.150, 0.075, 0.022),  # lips
            (self.u, self.v - p.mouth_y - 0.085, 0.090, 0.030, -0.010),  # dent above the chin
            (self.u, self.v - p.chin_y + 0.075, 0.085, 0.070, 0.020 + 0.006 * p.male),  # chin
        ]
        slope_u, slope_v = torch.zeros_like(self.u), torch.zeros_like(self.u)
        for du, dv, a, b, height in hills:
            # For a hill drawn on both halves the slope along u points outwards on each of them.
            sign = 1.0 if du is self.u or du is u else self.side
            hill = bell(flat_oval(du, dv, a, b).sqrt(), 1.0) * (2 * height)
            slope_u = slope_u - sign * hill * du / (a * a)
            slope_v = slope_v - hill * dv / (b * b)
        return slope_u, slope_v


def fillet(a: Tensor, b: Tensor, width: float) -> Tensor:
    """Smooth minimum; the same curve as `draw.smooth_union` at half the cost."""
    gap = (width - (a - b).abs()).clamp(min=0)
    return torch.minimum(a, b) - gap * gap * (0.25 / width)


def sheet(seed: Tensor, cells: int, size: int = 64) -> Tensor:
    """Smooth noise of mean 0.5 on a square sheet, (B, 1, size, size), with `cells` independent values on a side.

    A seed is int64 (B, 1, 1). Small sheets cost nothing; `Easel.sampled` lays them on a face.
    """
    lattice = torch.arange(cells, device=seed.device)
    values = hashed(lattice[None, None, :], lattice[None, :, None], seed)[:, None]
    return F.interpolate(values, size=(size, size), mode="bicubic", align_corners=False)
