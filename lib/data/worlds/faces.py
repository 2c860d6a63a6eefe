"""Portraits of people who do not exist: every measurement is known, every pixel has its class.

Each attribute can be changed alone. Identity decides the shape of the skull, the eyes, the nose and the mouth, the
skin, the hairstyle and the clothes; gender presentation, age, expression, hair colour, glasses, beard and hat
are attributes; gaze, pose, light, placement and the seeds of the textures are parameters of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from lib.data.worlds.faces_anatomy import EXPRESSIONS, TRAITS, Frame, Person
from lib.data.worlds.faces_easel import PALETTE, Easel
from lib.data.worlds.faces_features import (
    paint_beard,
    paint_brows,
    paint_eyes,
    paint_glasses,
    paint_mouth,
    paint_nose,
)
from lib.data.worlds.faces_hair import paint_hair, paint_hat, shadow_on_face, shape_hair, shape_hat
from lib.data.worlds.faces_scene import paint_background, paint_body
from lib.data.worlds.faces_skin import paint_ears, paint_head
from lib.data.worlds.world import Batch, Parameters, World, WorldError
from lib.labelmaps import Palette

IDENTITY = len(TRAITS)
"""Entries of the identity vector."""


class Faces(World):
    """Head-and-shoulders portraits with label maps in CelebAMask-HQ's classes.

    Parameters besides the attributes, all float32 unless noted:
        identity: (B, 32), standard normal; see `TRAITS`.
        gaze: (B, 2) in [-1, 1], where the irises look: right and down in the picture are positive.
        pose: (B, 2) in [-1, 1], yaw and pitch; positive turns to the right of the picture and down.
        roll: (B,) in [-1, 1], the tilt of the head, clockwise.
        light: (B, 2) in [-1, 1], where the light comes from; it is always somewhat above.
        placement: (B, 3), the shift of the sitter (x, y) in half pictures, and the scale.
        background, texture: (B,) int64 seeds.

    Attributes are drawn independently and uniformly, with two exceptions: a beard is given to men only,
    and hats and glasses are worn by a third. `changed` may give anyone anything.
    """

    name: ClassVar[str] = "faces"
    palette: ClassVar[Palette] = PALETTE
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "hair": ("black", "blond", "brown", "grey"),
        "gender": ("female", "male"),
        "age": ("young", "middle", "old"),
        "glasses": ("none", "glasses"),
        "beard": ("none", "beard"),
        "expression": EXPRESSIONS,
        "hat": ("none", "hat"),
    }

    def sample(self, count: int, *, generator: torch.Generator) -> Parameters:
        """Draw `count` people.

        Raises:
            WorldError: fewer than one.
        """
        if count < 1:
            raise WorldError(f"At least one face can be drawn, not {count}.")
        device = generator.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator, device=device) * 2 - 1

        def choice(values: int) -> Tensor:
            return torch.randint(values, (count,), generator=generator, device=device)

        gender = choice(2)
        worn = torch.rand(count, 3, generator=generator, device=device)
        frame = torch.tensor([0.05, 0.03, 0.05], device=device)
        return {
            "identity": torch.randn(count, IDENTITY, generator=generator, device=device),
            "hair": choice(4),
            "gender": gender,
            "age": choice(3),
            "glasses": (worn[:, 0] < 1 / 3).long(),
            "beard": (worn[:, 1] < 1 / 2).long() * gender,
            "expression": choice(len(EXPRESSIONS)),
            "hat": (worn[:, 2] < 1 / 3).long(),
            "gaze": uniform(2),
            "pose": uniform(2),
            "roll": uniform(),
            "light": uniform(2),
            "placement": uniform(3) * frame + torch.tensor([0.0, 0.03, 1.04], device=device),
            "background": choice(2**31 - 1),
            "texture": choice(2**31 - 1),
        }

    @torch.no_grad()
    def render(self, parameters: Parameters, size: int) -> Batch:
        """Draw the portraits from back to front: ``image`` and ``labels``."""
        easel = Easel(parameters, size)
        hair, (dome, line) = shape_hair(easel), shape_hat(easel)
        # A hat presses the hair down: nothing sticks out above its edge.
        worn = easel.person.is_value("hat", 1) > 0.5
        pressed = torch.where(worn, line - 0.02 - easel.hy, -1.0)
        shadow = shadow_on_face(easel, hair, dome, line)
        paint_background(easel)
        paint_hair(easel, hair, torch.maximum(hair.back, pressed), behind=True)
        paint_body(easel)
        paint_ears(easel, shadow)
        paint_head(easel, shadow)
        paint_nose(easel)
        paint_beard(easel)
        paint_mouth(easel)
        paint_eyes(easel)
        paint_brows(easel)
        paint_glasses(easel)
        paint_hair(easel, hair, torch.maximum(hair.front, pressed), behind=False)
        paint_hat(easel, dome, line)
        return easel.canvas.finished()

    def landmarks(self, parameters: Parameters, size: int) -> dict[str, Tensor]:
        """Where the parts of the face are, in pixels: name -> (B, 2) as (x, y), the centre of the first pixel at 0.

        Eyes, irises and corners of the mouth come as ``l_`` and ``r_`` (left and right in the picture);
        ``nose`` is the base of the nose, ``mouth`` the middle of the mouth, ``chin`` its lowest point.
        Hair, hats or a turned head may hide what lies there.
        """
        person, frame = Person(parameters), Frame(parameters)
        lift = person.move("corner") * 0.7
        points: dict[str, tuple[Tensor, Tensor]] = {}
        for side, sign in (("l", -1.0), ("r", 1.0)):
            points[f"{side}_eye"] = (sign * person.eye_x, person.eye_y)
            points[f"{side}_iris"] = (sign * person.eye_x + person.gaze_x, person.eye_y - 0.006 + person.gaze_y)
            points[f"{side}_mouth"] = (sign * person.mouth_w, person.mouth_y - lift)
        points["nose"] = (0.05 * person.yaw, person.nose_y)
        points["mouth"] = (torch.zeros_like(person.mouth_y), person.mouth_y)
        points["chin"] = (torch.zeros_like(person.mouth_y), person.chin_y)
        places = {name: torch.cat(frame.from_face(u, v), 1)[:, :, 0] for name, (u, v) in points.items()}
        return {name: (place + 1) * (size / 2) - 0.5 for name, place in places.items()}
