"""Pairs to learn a translation from: what is known of a picture, ``condition``, and the picture, ``image``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from lib.data.conditions import Condition
from lib.data.photos import load_photo, photo_names
from lib.training.streams import Stream

__all__ = ["Crops", "PairError", "Paired", "photo_pairs"]

TEST_SHARE = 0.25  # of the long side of a photo


class PairError(ValueError):
    """Pairs cannot be made of these pictures. The message says why."""


class Paired:
    """A stream that tells each picture's condition as well; a `lib.training.streams.Stream`.

    Args:
        stream: gives ``image`` (B, 3, H, W) and, for conditions of labels, ``labels`` (B, H, W).
        condition: what is told.
    """

    def __init__(self, stream: Stream, condition: Condition) -> None:
        self.stream, self.condition = stream, condition

    def draw(self, progress: float = 0.0) -> dict[str, Any]:
        """The stream's next batch with ``condition`` (B, C, H, W)."""
        batch = self.stream.draw(progress)
        return {**batch, "condition": self.condition.of(batch)}

    def state_dict(self) -> dict[str, Any]:
        """The stream's."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the stream."""
        self.stream.load_state_dict(state)


class Crops:
    """Random crops of a few large pictures, mirrored half of the time; a `lib.training.streams.Stream`.

    Every place in every picture is equally likely. All tensors of a picture are cut at the same place.

    Args:
        pictures: for each, name -> (C, H, W); the same names and C in all, H and W may differ.
        size: side of the crops in px.
        batch: crops in a batch.
        generator: draws the places; the only source of randomness.
        mirror: False for pictures with a left and a right.

    Raises:
        PairError: no picture, tensors that do not belong together, or a picture smaller than a crop.
    """

    def __init__(
        self, pictures: Sequence[Mapping[str, Tensor]], *, size: int, batch: int, generator: torch.Generator,
        mirror: bool = True,
    ) -> None:  # fmt: skip
        shapes = [{tuple(tensor.shape[-2:]) for tensor in picture.values()} for picture in pictures]
        if not pictures or any(len(found) != 1 for found in shapes) or len({tuple(p) for p in pictures}) != 1:
            raise PairError("Crops need pictures, each a dict of the same names with tensors (C, H, W) of one size.")
        sides = torch.tensor([found.pop() for found in shapes])
        if int(sides.min()) < size:
            raise PairError(f"A picture of {tuple(sides[sides.min(dim=1).values.argmin()].tolist())} px is smaller "
                            f"than the crops of {size} px; read it larger.")  # fmt: skip
        # All pixels lie in one row, so that a batch is a single look-up, whatever the sizes of the pictures.
        self.pixels = {name: torch.cat([p[name].flatten(1) for p in pictures], dim=1) for name in pictures[0]}
        self.size, self.batch, self.generator, self.mirror = size, batch, generator, mirror
        self._widths = sides[:, 1]
        self._starts = sides.prod(dim=1).cumsum(0) - sides.prod(dim=1)
        self._across = self._widths - size + 1
        self._places = ((sides[:, 0] - size + 1) * self._across).cumsum(0)

    def draw(self, progress: float = 0.0) -> dict[str, Tensor]:
        """Name -> (B, C, size, size)."""
        place = torch.randint(int(self._places[-1]), (self.batch,), generator=self.generator)
        picture = torch.bucketize(place, self._places, right=True)
        place = place - torch.where(picture > 0, self._places[picture - 1], 0)
        top, left = place // self._across[picture], place % self._across[picture]
        steps = torch.arange(self.size)
        columns = steps.expand(self.batch, -1)
        if self.mirror:
            turned = torch.rand(self.batch, 1, generator=self.generator) < 0.5
            columns = torch.where(turned, columns.flip(1), columns)
        rows = (top[:, None] + steps) * self._widths[picture, None]
        index = (self._starts[picture] + left)[:, None, None] + rows[:, :, None] + columns[:, None, :]
        return {name: flat[:, index.to(flat.device)].transpose(0, 1) for name, flat in self.pixels.items()}

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.generator.set_state(state["generator"])


def photo_pairs(
    condition: Condition, split: Literal["train", "test"], *, side: int, names: Sequence[str] = (),
    device: torch.device | str = "cpu",
) -> list[dict[str, Tensor]]:  # fmt: skip
    """``image`` and ``condition`` of the bundled photos, for `Crops`.

    A photo is divided by place, as the paper's maps are: the middle quarter of its long side is for testing, what is
    left and right of it (or above and below) for training. So both parts know every photo, and the condition is made
    after the cut: no training pixel is seen in a test.

    Args:
        condition: edges, grey or picture.
        split: which part.
        side: long side of the whole photo in px, at least four times that of a crop.
        names: of photos; default all.
    """
    pairs = []
    for name in names or photo_names():
        image = load_photo(name, side=side).image.to(device)
        axis = 2 if image.shape[2] >= image.shape[1] else 1
        length = image.shape[axis]
        start, stop = int(length * (1 - TEST_SHARE) / 2), int(length * (1 + TEST_SHARE) / 2)
        places = [(start, stop)] if split == "test" else [(0, start), (stop, length)]
        for first, last in places:
            part = image.narrow(axis, first, last - first)
            pairs.append({"image": part, "condition": condition.of({"image": part[None]})[0]})
    return pairs
