"""Pictures of the same people in other circumstances: what a network needs to learn who somebody is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lib.data.worlds.faces import Faces
from lib.data.worlds.world import Split, WorldError, split_generator

__all__ = ["PersonPairs", "people_pictures"]

_RENDER_BATCH = 32  # pictures rendered at a time: what fits a processor's cache


@torch.no_grad()
def people_pictures(
    people: int, each: int, size: int, *, split: Split = "train", seed: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:  # fmt: skip
    """`each` pictures of `people` persons of the face world: uint8 (people, each, 3, size, size).

    Only the identity vector stays. Hair, age, gender presentation, expression, glasses, beard, hat, pose, gaze, light,
    place and background are drawn anew for each picture, so none of them can serve to recognise anybody.

    Raises:
        WorldError: fewer than two pictures of each, or no person.
    """
    if people < 1 or each < 2:
        raise WorldError(f"Each person is shown at least twice, and there is at least one: not {people} x {each}.")
    world, generator = Faces(), split_generator(split, seed)
    identity = world.sample(people, generator=generator)["identity"].repeat_interleave(each, dim=0)
    parameters = world.changed(world.sample(people * each, generator=generator), identity=identity)
    parts = []
    for start in range(0, people * each, _RENDER_BATCH):
        rows = {name: value[start : start + _RENDER_BATCH].to(device) for name, value in parameters.items()}
        parts.append(((world.render(rows, size)["image"] + 1) * 127.5).round().to(torch.uint8))
    pictures: Tensor = torch.cat(parts).unflatten(0, (people, each))
    return pictures


class PersonPairs:
    """Two pictures of each of some people; a `lib.training.streams.Stream`.

    Args:
        pictures: what `people_pictures` gives.
        batch: people in a batch.
        seed: of the choice.

    Raises:
        WorldError: there are fewer people than a batch holds.
    """

    def __init__(self, pictures: Tensor, *, batch: int, seed: int = 0) -> None:
        if not 2 <= batch <= len(pictures):
            raise WorldError(f"A batch of {batch} needs 2 to {len(pictures)} people, who are all that there are.")
        self.pictures, self.batch = pictures, batch
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, progress: float = 0.0) -> dict[str, Tensor]:
        """``image`` and ``again``, both (B, 3, H, W) in [-1, 1]: row by row the same person in two pictures."""
        people, each = self.pictures.shape[:2]
        who = torch.randperm(people, generator=self.generator)[: self.batch]
        first = torch.randint(each, (self.batch,), generator=self.generator)
        second = (first + torch.randint(1, each, (self.batch,), generator=self.generator)) % each  # another one
        pair = [
            self.pictures[who.to(self.pictures.device), place.to(self.pictures.device)] for place in (first, second)
        ]
        return {name: one.float() / 127.5 - 1 for name, one in zip(("image", "again"), pair, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.generator.set_state(state["generator"])
