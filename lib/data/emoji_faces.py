"""Flat, front-on faces in few colours, drawn from the same measurements as the portraits: DTN's emoji.

Who it is and every attribute stay; pose, gaze, light, place, background and texture are gone. So each portrait has a
true emoji, which no unpaired method is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from lib.data.worlds.draw import Canvas, Number, box, circle, cover, ellipse, grid, segment
from lib.data.worlds.faces import Faces
from lib.data.worlds.faces_anatomy import EXPRESSIONS, Person
from lib.data.worlds.faces_easel import LABEL, PALETTE
from lib.data.worlds.faces_hair import cloth_colour
from lib.data.worlds.world import Batch, Parameters, World
from lib.labelmaps import Palette

__all__ = ["EmojiFaces"]

_PAPER = (0.98, 0.95, 0.88)
_DARK, _WHITE, _TONGUE = (0.12, 0.10, 0.13), (1.0, 1.0, 1.0), (0.45, 0.08, 0.12)


class EmojiFaces(World):
    """The people of `lib.data.worlds.faces.Faces` as emoji, from the same parameters; those of the scene do nothing.

    The emoji of a portrait: ``EmojiFaces().render(parameters, size)`` with the portrait's parameters.
    """

    name: ClassVar[str] = "emoji"
    palette: ClassVar[Palette] = PALETTE
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = {**Faces.attributes, "expression": EXPRESSIONS}

    def sample(self, count: int, *, generator: torch.Generator) -> Parameters:
        """Draw `count` people, as `Faces` does."""
        return Faces().sample(count, generator=generator)

    @torch.no_grad()
    def render(self, parameters: Parameters, size: int) -> Batch:
        """Draw the emoji from back to front: ``image`` and ``labels``."""
        still = {name: torch.zeros_like(parameters[name]) for name in ("pose", "gaze", "light")}
        sheet = _Sheet(Person({**parameters, **still}), size)
        sheet.body()
        sheet.head()
        sheet.mouth()
        sheet.eyes()
        sheet.hair()
        return sheet.canvas.finished()


class _Sheet:
    """Canvas and coordinates; ``s`` = |x| draws both halves at once."""

    def __init__(self, person: Person, size: int) -> None:
        self.p, self.pixel = person, 2 / size
        self.canvas = Canvas(person.count, size, device=person.device)
        x, y = grid(size, device=person.device)
        self.x, self.y = x / 1.05, y / 1.05 - 0.06
        self.s = self.x.abs()
        middle = (person.chin_y - 0.56) / 2
        self.skull = ellipse(
            self.x, self.y - middle, person.cheek_w + 0.3 * (person.jaw_w - 0.26), (person.chin_y + 0.56) / 2, 2.2
        )
        self.paint(torch.full_like(self.skull, -1), self.flat(_PAPER), "background")

    def flat(self, colour: tuple[float, float, float]) -> Tensor:
        return torch.tensor(colour, device=self.p.device).expand(self.p.count, 3)

    def paint(self, distance: Tensor, colour: Tensor, label: str | None, where: Number = 1.0) -> None:
        """A flat shape; `where` (B, 1, 1) is 0 for the people who have none."""
        coverage = (cover(distance, self.pixel) * where).expand(self.p.count, *distance.shape[-2:])
        self.canvas.paint(coverage, colour, None if label is None else LABEL[label])

    def paint_pair(self, distance: Tensor, colour: Tensor, part: str) -> None:
        """Both halves, each with its own label."""
        for side, half in (("l", self.x < 0), ("r", self.x >= 0)):
            self.paint(distance, colour, f"{side}_{part}", half.float())

    def body(self) -> None:
        """Long hair behind, neck, clothes, ears."""
        p = self.p
        self.paint(box(self.x, self.y - 0.1, p.cheek_w + 0.09, 0.62, 0.3), p.hair, "hair", 1 - p.male)
        self.paint(box(self.x, self.y - 0.62, p.neck_w, 0.3), p.skin * 0.88, "neck")
        cloth = cloth_colour(p.flat("cloth_hue"), p.flat("cloth_light"))
        self.paint(ellipse(self.x, self.y - 1.15, 0.68, 0.40), cloth, "cloth")
        self.paint_pair(circle(self.s - p.cheek_w, self.y - 0.03, 0.075 * p.ear), p.skin * 0.94, "ear")

    def head(self) -> None:
        """Face, beard, nose, and the folds of the old."""
        p = self.p
        self.paint(self.skull, p.skin, "skin")
        beard = torch.maximum(self.skull, p.mouth_y - 0.05 - self.y)
        self.paint(beard, p.hair * 0.92, "skin", p.is_value("beard", 1))
        self.paint(ellipse(self.x, self.y - p.nose_y, p.nose_w * 0.75, 0.035), p.skin * 0.82, "nose")
        fold = segment(self.s, self.y, (p.nose_w + 0.03, p.nose_y), (p.nose_w + 0.09, p.nose_y + 0.12), 0.012)
        self.paint(fold, p.skin * 0.78, None, p.old)

    def mouth(self) -> None:
        """Lips along a curve whose corners the expression lifts; open or shut."""
        p = self.p
        curve = self.y - p.mouth_y + 1.2 * p.move("corner") * (self.x / p.mouth_w).square().clamp(max=1.5)
        thick = 0.5 * (p.upper_lip + p.lower_lip) + 0.6 * p.mouth_open
        self.paint(ellipse(self.x, curve, p.mouth_w, thick), p.lips, "u_lip")
        inside = ellipse(self.x, curve, p.mouth_w * 0.82, 0.6 * p.mouth_open + 1e-3)
        self.paint(inside, self.flat(_TONGUE), "mouth", (p.mouth_open > 0.01).float())

    def eyes(self) -> None:
        """Whites, irises, brows, glasses."""
        p = self.p
        dx, dy = self.s - p.eye_x, self.y - p.eye_y
        self.paint_pair(ellipse(dx, dy, p.eye_w, 0.5 * (p.eye_up + p.eye_low) + 0.012), self.flat(_WHITE), "eye")
        lids = ellipse(dx, dy, p.eye_w, 0.5 * (p.eye_up + p.eye_low) + 0.012)
        self.paint_pair(torch.maximum(circle(dx, dy, p.iris_r * 1.15), lids), p.iris, "eye")
        self.paint_pair(torch.maximum(circle(dx, dy, p.iris_r * 0.5), lids), self.flat(_DARK), "eye")
        inner = (p.eye_x - 0.8 * p.brow_w, p.brow_y - p.move("brow_inner") + 0.02)
        outer = (p.eye_x + 0.9 * p.brow_w, p.brow_y - p.move("brow_outer") + 0.02)
        self.paint_pair(segment(self.s, self.y, inner, outer, p.brow_t * 1.2), p.hair * 0.65, "brow")
        ring = ellipse(dx, dy, 0.160, 0.125, 2.5).abs() - 0.016
        frame = torch.minimum(ring, box(self.x, dy, (p.eye_x - 0.15).clamp(min=0.01), 0.016))
        self.paint(frame, self.flat(_DARK), "eye_g", p.is_value("glasses", 1))

    def hair(self) -> None:
        """A cap of hair above the hairline, or a hat."""
        p = self.p
        self.paint(
            torch.maximum(self.skull - 0.055, self.y - p.hairline - 0.25 * self.s.square() - 0.03), p.hair, "hair"
        )
        hat, edge = p.is_value("hat", 1), p.hairline + 0.05
        colour = cloth_colour(p.flat("hat_hue"), p.flat("hat_style") * 2.3)
        self.paint(torch.maximum(self.skull - 0.09, self.y - edge), colour, "hat", hat)
        self.paint(box(self.x, self.y - edge, p.cheek_w + 0.17, 0.035, 0.03), colour * 0.8, "hat", hat)
