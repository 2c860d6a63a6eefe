"""Where batches come from: the `Stream` protocol and two simple streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol


class Stream(Protocol):
    """A source of batches whose place and randomness can be saved and restored."""

    def draw(self, progress: float) -> dict[str, Any]:
        """The next batch; `progress` in [0, 1] lets a stream change with training (augmentation strength)."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything the next draws depend on: tensors, numbers, strings, lists and dicts of them."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        ...


class Repeat:
    """The same batch in every round: one image is the data set."""

    def __init__(self, batch: Mapping[str, Any]) -> None:
        self.batch = dict(batch)

    def draw(self, progress: float) -> dict[str, Any]:
        """The batch; a shallow copy, so a game may add keys."""
        return dict(self.batch)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the stream never moves."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""


class Cycle:
    """Pass over an iterable of batches (a list, a DataLoader) again and again.

    The state is the place within the pass. Restoring it draws and drops the batches before it, so resuming
    is exact where the iterable gives the same batches in every pass or shuffles with torch's own generator.
    """

    def __init__(self, batches: Iterable[Mapping[str, Any]]) -> None:
        self.batches = batches
        self.place = 0
        self._pass: Iterator[Mapping[str, Any]] = iter(batches)

    def draw(self, progress: float) -> dict[str, Any]:
        """The next batch; after the last one a new pass begins."""
        batch = next(self._pass, None)
        if batch is None:
            self._pass, self.place = iter(self.batches), 0
            batch = next(self._pass, None)
        if batch is None:
            raise ValueError("Cycle has no batch to draw; give it a list or a DataLoader, not a generator.")
        self.place += 1
        return dict(batch)

    def state_dict(self) -> dict[str, Any]:
        """The number of batches drawn in this pass."""
        return {"place": self.place}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Begin a pass and skip to the saved place."""
        self._pass, self.place = iter(self.batches), int(state["place"])
        for _ in range(self.place):
            next(self._pass, None)
