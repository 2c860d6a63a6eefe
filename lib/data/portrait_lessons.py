"""What DTN's f for faces learns from: portraits, their answers, and the same portraits with less style.

f will look at emoji, which it has never seen. What it can learn on portraits alone is what not to look at: brush,
grain and shading within a part, and what stands behind the head. The label maps of the world say where the parts are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.worlds.faces import Faces
from lib.data.worlds.faces_anatomy import Person
from lib.data.worlds.faces_hair import cloth_colour
from lib.data.worlds.world import Batch, Parameters, Split, split_generator

__all__ = ["COLOURS", "colours_of", "portrait_lessons", "within_parts"]

COLOURS: tuple[str, ...] = ("skin", "hair_colour", "cloth", "hat_colour", "lips")
"""What f answers beside the attributes of `Faces`, each a colour (B, 3) in [0, 1]."""

_NO_HAT = 0.4  # the grey that stands for the hat of those who wear none
_RENDER_BATCH = 64  # pictures rendered at a time: what fits a processor's cache


def colours_of(people: Parameters) -> Batch:
    """The flat colours of a person's parts, before any light: `COLOURS`, each (B, 3) in [0, 1]."""
    p = Person(people)
    hat = cloth_colour(p.flat("hat_hue"), p.flat("hat_style") * 2.3)
    return {
        "skin": p.skin,
        "hair_colour": p.hair,
        "cloth": cloth_colour(p.flat("cloth_hue"), p.flat("cloth_light")),
        "hat_colour": torch.where((people["hat"] == 1)[:, None], hat, _NO_HAT),
        "lips": p.lips,
    }


def within_parts(image: Tensor, labels: Tensor, window: int = 9) -> Tensor:
    """Each pixel (B, C, H, W) as the mean of those around it that have its label (B, H, W).

    Grain and shading go, and no colour runs over the edge of a part.

    Args:
        window: side of the neighbourhood in px, odd.
    """
    flat = torch.zeros_like(image)
    for label in labels.unique().tolist():
        inside = (labels == label)[:, None]
        parts = torch.cat([image * inside, inside.to(image)], dim=1)
        for side in ((window, 1), (1, window)):
            parts = F.avg_pool2d(parts, side, 1, (side[0] // 2, side[1] // 2))
        flat = torch.where(inside, parts[:, :-1] / parts[:, -1:].clamp(min=1e-6), flat)
    return flat


@torch.no_grad()
def portrait_lessons(count: int, size: int = 64, *, split: Split = "train", seed: int = 0) -> Batch:
    """`count` portraits with all that f is asked about.

    Returns:
        ``image`` and ``flat``, which `within_parts` made of it, (count, 3, size, size) uint8; ``ground``
        (count, 1, size, size) bool, what is neither person nor clothes; the attributes and the colours of each.
    """
    world = Faces()
    people = world.sample(count, generator=split_generator(split, seed))
    parts: dict[str, list[Tensor]] = {"image": [], "flat": [], "ground": []}
    for start in range(0, count, _RENDER_BATCH):
        drawn = world.render({name: value[start : start + _RENDER_BATCH] for name, value in people.items()}, size)
        parts["image"].append(_bytes(drawn["image"]))
        parts["flat"].append(_bytes(within_parts(drawn["image"], drawn["labels"])))
        parts["ground"].append((drawn["labels"] == world.palette.names.index("background"))[:, None])
    pictures = {name: torch.cat(part) for name, part in parts.items()}
    return {**pictures, **{name: people[name] for name in world.attributes}, **colours_of(people)}


def _bytes(image: Tensor) -> Tensor:
    return ((image + 1) * 127.5).round().to(torch.uint8)
