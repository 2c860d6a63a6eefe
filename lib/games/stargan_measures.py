"""What chapter 6 measures: was the wish fulfilled, and is it still the same person? The world knows both answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lib.data.label_space import LabelSpace
from lib.data.worlds.faces import Faces
from lib.data.worlds.world import Batch, Parameters, split_generator
from lib.metrics.reader import AttributeReader
from lib.metrics.reconstruction import psnr

__all__ = ["Change", "always", "changes", "measure", "references", "unlike", "worn"]

CEILING = 60.0  # dB; what an exact copy counts

always: Mapping[str, str] = {"hat": "none", "beard": "none"}
"""Nobody wears a hat, which hides the hair, or a beard, which only men have."""


@dataclass(frozen=True)
class Change:
    """One attribute of held-out people turned to another value.

    Attributes:
        attribute: which one.
        before: the people as they are: parameters and ``image``.
        after: the same people, truly drawn with the other value.
        labels: the unified labels (N, n) that ask for it: only the wish, all else left open.
        full: the same with the true labels of everything else that this data set knows.
    """

    attribute: str
    before: Batch
    after: Batch
    labels: Tensor
    full: Tensor


def changes(space: LabelSpace, count: int, size: int, *, seed: int = 0) -> dict[str, Change]:
    """One change for every attribute of the space, each on the same `count` held-out people.

    The new value is the next of the list for the first person, the one after that for the second, and so on. Of an
    attribute that begins with "neutral" all people start there, as in the paper's experiment with expressions.
    """
    world = Faces()
    people = world.changed(world.sample(count, generator=split_generator("test", seed)), **always)
    found = {}
    for index, groups in enumerate(space.sets):
        for group in groups:
            names = world.attributes[group.attribute]
            start = {group.attribute: "neutral"} if names[0] == "neutral" else {}
            before = world.changed(people, **start)
            step = 1 + torch.arange(count) % (len(names) - 1)
            after = {**before, group.attribute: (before[group.attribute] + step) % len(names)}
            wanted = space.encode(world, after, index)
            others = torch.tensor([other is not group for other in groups]).expand(count, -1)
            found[group.attribute] = Change(
                group.attribute, drawn(world, before, size), drawn(world, after, size),
                space.unified(space.opened(wanted, others, index), index), space.unified(wanted, index),
            )  # fmt: skip
    return found


def drawn(world: Faces, people: Parameters, size: int) -> Batch:
    """The people with their pictures, drawn 32 at a time."""
    count = len(people["identity"])
    parts = [world.render({k: v[at : at + 32] for k, v in people.items()}, size) for at in range(0, count, 32)]
    return {**people, **{name: torch.cat([part[name] for part in parts]) for name in parts[0]}}


@torch.no_grad()
def measure(
    paint: Callable[[Tensor, Tensor], Tensor], reader: AttributeReader, tasks: Mapping[str, Change], *,
    full: bool = False,
) -> dict[str, float]:  # fmt: skip
    """A translator on every change.

    Args:
        paint: pictures (N, 3, H, W) and unified labels (N, n) -> pictures.
        reader: took no part in the training.
        full: tell the labels of everything else, too; for a G that never met an open group.

    Returns:
        By attribute: ``wrong/…``, the share in which the reader does not see the wish; ``psnr/…`` in dB to the true
        partner; ``kept/…``, the share of all *other* attributes that the reader reads as in the original;
        ``stranger/…``, the distance of features to the true partner, 0 for the same picture, 1 for another person.
    """
    scores: dict[str, float] = {}
    for name, change in tasks.items():
        picture = paint(change.before["image"], change.full if full else change.labels)
        scores |= {f"{key}/{name}": value for key, value in _scores(picture.clamp(-1, 1), change, reader).items()}
    return scores


def references(reader: AttributeReader, tasks: Mapping[str, Change]) -> dict[str, dict[str, float]]:
    """Competitors that do nothing, and the truth: ``copy``, ``mean picture`` and ``true partner``."""
    rows: dict[str, dict[str, float]] = {"copy": {}, "mean picture": {}, "true partner": {}}
    for name, change in tasks.items():
        image = change.before["image"]
        pictures = (image, image.mean(dim=0, keepdim=True).expand_as(image), change.after["image"])
        for row, picture in zip(rows, pictures, strict=True):
            rows[row] |= {f"{key}/{name}": value for key, value in _scores(picture, change, reader).items()}
    return rows


def worn(reader: AttributeReader, picture: Tensor, attribute: str) -> Tensor:
    """The values (N,) that the reader sees."""
    return reader.read(picture).values()[attribute]


@torch.no_grad()
def unlike(reader: AttributeReader, picture: Tensor, truth: Tensor) -> float:
    """Mean distance of the reader's features, over that of the true pictures of two different people."""
    found, right = reader.features(picture), reader.features(truth)
    return float((found - right).norm(dim=1).mean() / (right - right.roll(1, dims=0)).norm(dim=1).mean())


def _scores(picture: Tensor, change: Change, reader: AttributeReader) -> dict[str, float]:
    truth, name = change.after["image"], change.attribute
    read, before = reader.read(picture).values(), reader.read(change.before["image"]).values()
    others = [other for other in reader.config.attributes if other != name]
    return {
        "wrong": float((read[name] != change.after[name]).float().mean()),
        "psnr": float(psnr(picture, truth, data_range=(-1.0, 1.0)).clamp(max=CEILING).mean()),
        "kept": float(torch.stack([read[other] == before[other] for other in others]).float().mean()),
        "stranger": unlike(reader, picture, truth),
    }
