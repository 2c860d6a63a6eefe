"""What every competitor is given: a photo, its layout, layouts to paint, and where a world drew them, the answers.

A photo has no true answer for a layout that nobody photographed. A world has: it draws the edited scene. One rendered
picture then plays the photo, and every competitor is scored against the picture it should have painted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lib.baselines.inputs import PaintError
from lib.data.photos import load_photo
from lib.data.worlds.facades import Facades
from lib.data.worlds.faces import Faces
from lib.data.worlds.world import Parameters, World, split_generator
from lib.labelmaps import LabelMap, Palette

__all__ = ["Case", "photo_case", "scene_case", "scene_names"]

PHOTO_SIDE, SCENE_SIDE = 128, 96  # px, long side of the pictures that are compared
_TRIES = 400  # scenes that are looked at before giving up


@dataclass(frozen=True, eq=False)
class Case:
    """One picture to learn from, and what to paint.

    Attributes:
        name: of the photo or scene.
        image: (3, H, W) in [-1, 1].
        layout: of the picture, every class with some pixels.
        targets: new layouts by name, all of the picture's size, with classes that the picture has.
        truths: by target, the true picture (3, H, W); empty for photos.
    """

    name: str
    image: Tensor
    layout: LabelMap
    targets: Mapping[str, LabelMap]
    truths: Mapping[str, Tensor] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------ photos


def photo_case(name: str, side: int = PHOTO_SIDE) -> Case:
    """A bundled photo with its layouts.

    Raises:
        PhotoError: there is no such photo.
    """
    photo = load_photo(name, side=side)
    return Case(name, photo.image, photo.layout, photo.targets)


# ------------------------------------------------------------------------------------------------ scenes


@dataclass(frozen=True)
class _Scene:
    """How a scene is drawn: what its source looks like, and by what each target differs from it."""

    world: World
    start: Mapping[str, object]
    edits: Mapping[str, Mapping[str, object]]
    seed: int


_STRAIGHT: Mapping[str, object] = {"hat": "none", "expression": "smile", "pose": (0.0, 0.0), "roll": 0.0}
_PORTRAIT: Mapping[str, Mapping[str, object]] = {
    "turned": {"pose": (0.9, 0.1)},
    "tilted": {"roll": 0.9},
    "serious": {"expression": "neutral"},
    "moved": {"placement": (0.16, 0.06, 0.92)},
}
_BY_DAY: Mapping[str, object] = {"time": "day", "weather": "clear", "ivy": 0, "tree": 0}
_FRONT: Mapping[str, Mapping[str, object]] = {
    "leaning": {"camera": (0.08, 0.10)},
    "smaller": {"frame": (-0.62, 0.62, -0.55, 0.78)},
    "floor_more": {"floors": 5},
    "bay_less": {"bays": 3},
}
_SCENES: Mapping[str, _Scene] = {
    "portrait-1": _Scene(Faces(), _STRAIGHT, _PORTRAIT, 1),
    "portrait-2": _Scene(Faces(), {**_STRAIGHT, "glasses": "glasses"}, _PORTRAIT, 2),
    "portrait-3": _Scene(Faces(), {**_STRAIGHT, "gender": "male", "beard": "beard"}, _PORTRAIT, 3),
    "front-1": _Scene(Facades(), {**_BY_DAY, "floors": 4, "bays": 4}, _FRONT, 4),
    "front-2": _Scene(Facades(), {**_BY_DAY, "floors": 4, "bays": 4, "material": "brick"}, _FRONT, 5),
    "front-3": _Scene(Facades(), {**_BY_DAY, "floors": 4, "bays": 4, "material": "stone"}, _FRONT, 6),
}


def scene_names() -> tuple[str, ...]:
    """Names that `scene_case` takes."""
    return tuple(_SCENES)


def scene_case(name: str, side: int = SCENE_SIDE) -> Case:
    """A scene of a procedural world, its edits, and the true picture of each.

    Everything but the edit stays: the person or the house, colours, light, the seeds of the textures. The first scene
    is taken whose edits show no class that it lacks itself.

    Args:
        name: one of `scene_names`.
        side: of the pictures, px.

    Raises:
        PaintError: there is no such scene.
    """
    if name not in _SCENES:
        raise PaintError(f"There is no scene {name!r}; choose one of {', '.join(_SCENES)}.")
    scene = _SCENES[name]
    generator = split_generator("test", scene.seed)
    for _ in range(_TRIES):
        source = scene.world.changed(scene.world.sample(1, generator=generator), **_values(scene.start))
        drawn = scene.world.render(_together(scene, source), side)
        labels = drawn["labels"].long()
        present = labels[0].unique()
        if bool(torch.isin(labels[1:], present).all()) and float((labels[0] == present[:, None, None]).float().mean(
            dim=(1, 2)
        ).min()) > 0.001:  # fmt: skip
            return _case(name, scene, drawn["image"], labels, present)
    raise PaintError(f"No scene {name!r} in {_TRIES} shows every class of its edits; choose other edits.")


def _values(changes: Mapping[str, object]) -> dict[str, str | int | Tensor]:
    """Numbers and tuples as tensors, as `World.changed` takes them."""
    return {
        key: value if isinstance(value, str | int) else torch.tensor(value)  # floats, and tuples of them
        for key, value in changes.items()
    }


def _together(scene: _Scene, source: Parameters) -> Parameters:
    """The source and its edits in one batch: they are rendered together."""
    rows = [source, *(scene.world.changed(source, **_values(edit)) for edit in scene.edits.values())]
    return {key: torch.cat([row[key] for row in rows]) for key in source}


def _case(name: str, scene: _Scene, images: Tensor, labels: Tensor, present: Tensor) -> Case:
    """With the palette of the classes that are present."""
    known = scene.world.palette
    palette = Palette(
        tuple(known.names[i] for i in present.tolist()), tuple(known.colours[i] for i in present.tolist())
    )
    index = torch.searchsorted(present, labels)
    layouts = [LabelMap(one.numpy(), palette) for one in index]
    return Case(
        name,
        images[0],
        layouts[0],
        dict(zip(scene.edits, layouts[1:], strict=True)),
        dict(zip(scene.edits, images[1:], strict=True)),
    )
