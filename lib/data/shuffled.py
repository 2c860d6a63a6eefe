"""A finite data set as an endless stream: shuffled passes over rows that lie in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Shuffled:
    """Batches of random rows, every row once in each pass; a `lib.training.streams.Stream`.

    The rows left over at the end of a pass, too few for a batch, are dropped, so all batches have one size.

    Args:
        data: name -> tensor (N, …), all of the same N, as `lib.data.worlds.world.collect` returns.
        batch: rows in a batch, at most N.
        generator: shuffles; the only source of randomness.

    Raises:
        ValueError: the tensors differ in length, or are shorter than a batch.
    """

    def __init__(self, data: Mapping[str, Tensor], *, batch: int, generator: torch.Generator) -> None:
        lengths = {len(value) for value in data.values()}
        if len(lengths) != 1 or not 1 <= batch <= min(lengths):
            raise ValueError(
                f"A shuffled stream needs tensors of one length, at least a batch of {batch}; got {sorted(lengths)}."
            )
        self.data, self.batch, self.generator = dict(data), batch, generator
        self.length = lengths.pop()
        self.order = self._shuffle()
        self.place = 0

    def draw(self, progress: float = 0.0) -> dict[str, Tensor]:
        """The next batch."""
        if self.place + self.batch > self.length:
            self.order, self.place = self._shuffle(), 0
        rows = self.order[self.place : self.place + self.batch]
        self.place += self.batch
        return {name: value[rows.to(value.device)] for name, value in self.data.items()}

    def state_dict(self) -> dict[str, Any]:
        """The order of this pass, the place in it and the state of the generator; not the data."""
        return {"order": self.order, "place": self.place, "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.order, self.place = state["order"].clone(), int(state["place"])
        self.generator.set_state(state["generator"])

    def _shuffle(self) -> Tensor:
        return torch.randperm(self.length, generator=self.generator, device=self.generator.device)
