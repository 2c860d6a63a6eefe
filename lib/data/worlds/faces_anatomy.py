"""Who a face belongs to: from the parameters of a batch to its measurements, before any pixel is drawn.

Lengths are in units of half the picture at placement zero; the face looks at us from the origin, x to the right
and y down. Everything is a column (B, 1, 1), so that it broadcasts over pixels; colours are (B, 3).
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from lib.data.worlds.draw import column
from lib.data.worlds.world import Parameters

TRAITS = (
    "width", "jaw", "chin", "forehead", "cheeks", "eye_size", "eye_spacing", "eye_tilt", "eye_colour",
    "brow_thickness", "brow_arch", "brow_height", "nose_length", "nose_width", "mouth_width", "lip_fullness",
    "ear_size", "melanin", "undertone", "hairstyle", "parting", "hair_shade", "freckles", "mole", "beard_style",
    "glasses_shape", "hat_style", "hat_hue", "cloth_style", "cloth_hue", "cloth_light", "cloth_pattern",
)  # fmt: skip
"""What the entries of the identity vector decide, in order."""

EXPRESSIONS = ("neutral", "smile", "sad", "surprised", "angry")
_MOVES = {  # what each expression moves, in picture units, in the order of EXPRESSIONS; up is positive
    "corner": (0.004, 0.066, -0.050, 0.000, -0.030),  # corners of the mouth
    "stretch": (1.00, 1.24, 0.90, 0.78, 0.94),  # width of the mouth
    "open": (0.000, 0.052, 0.000, 0.125, 0.000),  # gap between the lips
    "press": (1.00, 0.85, 0.95, 1.00, 0.62),  # thickness of the lips
    "brow_inner": (0.000, 0.000, 0.060, 0.010, -0.056),
    "brow_outer": (0.000, 0.004, -0.022, 0.000, 0.014),
    "brow": (0.000, 0.008, 0.000, 0.075, -0.020),
    "lids": (1.00, 0.82, 0.76, 1.28, 0.80),  # opening of the eyes
    "squint": (0.00, 0.60, 0.10, 0.00, 0.45),  # lower lid pushed up
    "fold": (0.15, 0.75, 0.30, 0.00, 0.35),  # folds from the nose to the mouth
    "jaw_drop": (0.00, 0.00, 0.00, 0.035, 0.00),
}

_SKIN = (
    (1.00, 0.88, 0.80), (0.98, 0.81, 0.69), (0.90, 0.69, 0.54), (0.75, 0.53, 0.38), (0.55, 0.36, 0.25),
    (0.38, 0.24, 0.17),
)  # fmt: skip
_IRIS = (
    (0.24, 0.14, 0.08), (0.36, 0.21, 0.10), (0.45, 0.33, 0.14), (0.32, 0.44, 0.24), (0.28, 0.50, 0.66),
    (0.42, 0.54, 0.62),
)  # fmt: skip
_HAIR = ((0.085, 0.07, 0.075), (0.86, 0.68, 0.38), (0.38, 0.22, 0.13), (0.66, 0.66, 0.69))

SPHERE = (0.54, 0.90)
"""Semi-axes of the ellipsoid on which the features lie; larger than the skull, whose front is flatter."""
FACE_Y = 0.02
"""Height of the centre of that ellipsoid."""
YAW, PITCH, ROLL = 0.30, 0.13, 0.14
"""Angles in radians at pose (±1, ·), pose (·, ±1) and roll ±1."""
PIVOT = 0.45
"""The height of the point in the neck about which the head rolls."""
GAZE = (0.045, 0.026)
"""How far gaze (1, ·) and gaze (·, 1) move the irises, in head units."""


def ramp(where: Tensor, stops: tuple[tuple[float, ...], ...]) -> Tensor:
    """Piecewise linear walk through `stops`: where (B,) in [0, 1] -> (B, len(stop))."""
    table = torch.tensor(stops, device=where.device)
    place = where.clamp(0, 1) * (len(stops) - 1)
    low = place.floor().clamp(max=len(stops) - 2)
    index = low.long()
    return torch.lerp(table[index], table[index + 1], (place - low)[:, None])


class Person:
    """All measurements of a batch of people, as columns (B, 1, 1); colours (B, 3).

    Args:
        parameters: what `Faces.sample` returns.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        # Uniform in (-1, 1): a style picked by cutting this interval has the share one expects.
        self.traits = torch.erf(parameters["identity"].float() / sqrt(2))
        self.device = self.traits.device
        self.count = self.traits.shape[0]
        self.male = column(parameters["gender"] == 1).float()
        self.young = column(parameters["age"] == 0).float()
        self.old = column(parameters["age"] == 2).float()
        self.yaw, self.pitch = (column(parameters["pose"][:, i]) for i in (0, 1))
        self.gaze_x, self.gaze_y = (column(parameters["gaze"][:, i]) * GAZE[i] for i in (0, 1))
        self.light_x, self.light_y = (column(parameters["light"][:, i]) for i in (0, 1))
        self._skull()
        self._eyes()
        self._nose_and_mouth()
        self._colours()

    def trait(self, name: str) -> Tensor:
        """One entry of the identity, squashed to (-1, 1)."""
        return column(self.flat(name))

    def flat(self, name: str) -> Tensor:
        """The same as (B,)."""
        return self.traits[:, TRAITS.index(name)]

    def move(self, name: str) -> Tensor:
        """What the expression does to one part of the face."""
        table = torch.tensor(_MOVES[name], device=self.device)
        return column(table[self.parameters["expression"]])

    def is_value(self, attribute: str, index: int) -> Tensor:
        """1 where a categorical parameter has this value, else 0."""
        return column(self.parameters[attribute] == index).float()

    def seed(self, name: str, offset: int = 0) -> Tensor:
        """The seed of a texture, int64 (B, 1, 1)."""
        return column(self.parameters[name]) + offset

    def _skull(self) -> None:
        width, jaw, chin = self.trait("width"), self.trait("jaw"), self.trait("chin")
        self.skull_w = 0.448 + 0.018 * width
        self.cheek_w = 0.418 + 0.022 * width + 0.018 * self.trait("cheeks") + 0.012 * self.young + 0.008 * self.male
        self.jaw_w = 0.232 + 0.032 * jaw + 0.060 * self.male + 0.026 * self.old + 0.010 * width
        self.chin_y = 0.575 + 0.030 * chin + 0.022 * self.male - 0.022 * self.young + self.move("jaw_drop")
        self.hairline = -0.400 - 0.040 * self.trait("forehead") - 0.020 * self.male - 0.020 * self.old
        self.neck_w = 0.185 + 0.055 * self.male + 0.012 * jaw
        self.ear = 1 + 0.18 * self.trait("ear_size") + 0.12 * self.old

    def _eyes(self) -> None:
        size = self.trait("eye_size")
        self.eye_x = 0.194 + 0.014 * self.trait("eye_spacing") + 0.008 * self.trait("width")
        self.eye_y = torch.full_like(self.eye_x, -0.005)
        self.eye_w = 0.112 + 0.009 * size + 0.004 * self.young - 0.002 * self.male
        # Small faces and young faces have large eyes; grown men have flatter ones.
        opening = (0.064 + 0.008 * size + 0.005 * self.young - 0.009 * self.male - 0.007 * self.old) * self.move("lids")
        self.eye_up, self.eye_low = opening * 1.02, opening * (0.72 - 0.25 * self.move("squint"))
        self.eye_tilt = 0.10 * self.trait("eye_tilt") + 0.05 - 0.05 * self.old
        self.iris_r = 0.0535 + 0.003 * size
        self.brow_y = -0.150 - 0.016 * self.trait("brow_height") - 0.016 * (1 - self.male) - self.move("brow")
        self.brow_w = 0.132 + 0.010 * self.trait("eye_size")
        self.brow_t = 0.0165 + 0.0055 * self.trait("brow_thickness") + 0.0075 * self.male
        self.brow_arch = 0.030 + 0.016 * self.trait("brow_arch") - 0.012 * self.male + 0.006

    def _nose_and_mouth(self) -> None:
        self.nose_y = 0.200 + 0.022 * self.trait("nose_length") + 0.010 * self.male + 0.010 * self.old
        self.nose_w = 0.080 + 0.015 * self.trait("nose_width") + 0.010 * self.male + 0.012 * self.trait("melanin")
        self.mouth_y = self.nose_y + 0.140 + 0.010 * self.male + 0.30 * self.move("jaw_drop")
        self.mouth_w = (0.142 + 0.016 * self.trait("mouth_width") + 0.008 * self.male) * self.move("stretch")
        full = (1 + 0.28 * self.trait("lip_fullness") + 0.14 * self.trait("melanin")) * self.move("press")
        full = full * (1 - 0.18 * self.male) * (1 - 0.20 * self.old)
        self.upper_lip, self.lower_lip = 0.032 * full, 0.046 * full
        self.mouth_open = self.move("open") * (1 + 0.12 * self.trait("mouth_width"))

    def _colours(self) -> None:
        melanin, under = self.flat("melanin") * 0.5 + 0.5, self.flat("undertone")[:, None]
        tint = torch.tensor([0.010, 0.0, -0.022], device=self.device)
        self.skin = ramp(melanin, _SKIN) + tint * under
        pale = torch.tensor([0.93, 0.94, 0.95], device=self.device)
        self.skin = torch.lerp(self.skin, self.skin * pale, self.old[:, :, 0])
        # Dark skin goes with dark eyes far more often than not.
        self.iris = ramp((self.flat("eye_colour") * 0.5 + 0.5) * (1.15 - 0.95 * melanin), _IRIS)
        shade = self.flat("hair_shade")[:, None]
        base = torch.tensor(_HAIR, device=self.device)[self.parameters["hair"]]
        warm = torch.tensor([0.05, 0.0, -0.04], device=self.device)
        self.hair = base * (1 + 0.16 * shade) + base * warm * self.flat("undertone")[:, None]
        rouge = torch.tensor([0.80, 0.22, 0.27], device=self.device)
        natural = self.skin * torch.tensor([0.90, 0.62, 0.60], device=self.device)
        painted = (0.42 + 0.22 * self.flat("lip_fullness")[:, None]) * (1 - self.male[:, :, 0]) + 0.06
        self.lips = torch.lerp(natural, rouge * (0.55 + 0.45 * self.skin[:, :1]), painted)


class Frame:
    """How the head is placed in the picture, both ways: from the face to the picture and back.

    The features lie on an ellipsoid that yaw and pitch turn, so they move with their depth and are foreshortened;
    roll turns the head about a point in the neck.
    """

    def __init__(self, parameters: Parameters) -> None:
        place = parameters["placement"]
        self.shift_x, self.shift_y = column(place[:, 0]), column(place[:, 1])
        self.scale = column(place[:, 2])
        angles = (parameters["pose"][:, 0] * YAW, parameters["pose"][:, 1] * PITCH, parameters["roll"] * ROLL)
        (self.cos_y, self.sin_y), (self.cos_p, self.sin_p), (self.cos_r, self.sin_r) = (
            (column(torch.cos(angle)), column(torch.sin(angle))) for angle in angles
        )

    def to_body(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Picture -> body: undo placement."""
        return (x - self.shift_x) / self.scale, (y - self.shift_y) / self.scale

    def to_head(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Body -> head: undo roll."""
        y = y - PIVOT
        return self.cos_r * x + self.sin_r * y, self.cos_r * y - self.sin_r * x + PIVOT

    def to_face(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Head -> face seen from the front: undo yaw and pitch on the ellipsoid."""
        p, q = x / SPHERE[0], (y - FACE_Y) / SPHERE[1]
        depth = (1 - p * p - q * q).clamp(min=0.03).sqrt()
        q, depth = self.cos_p * q - self.sin_p * depth, self.cos_p * depth + self.sin_p * q
        return (self.cos_y * p - self.sin_y * depth) * SPHERE[0], q * SPHERE[1] + FACE_Y

    def from_face(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Face -> picture, the inverse of the three steps above."""
        p, q = u / SPHERE[0], (v - FACE_Y) / SPHERE[1]
        depth = (1 - p * p - q * q).clamp(min=0.03).sqrt()
        p, depth = self.cos_y * p + self.sin_y * depth, self.cos_y * depth - self.sin_y * p
        q = self.cos_p * q + self.sin_p * depth
        x, y = p * SPHERE[0], q * SPHERE[1] + FACE_Y - PIVOT
        x, y = self.cos_r * x - self.sin_r * y, self.cos_r * y + self.sin_r * x + PIVOT
        return x * self.scale + self.shift_x, y * self.scale + self.shift_y
