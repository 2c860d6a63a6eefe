"""What the losses did: one column per player and term, kept off the device's critical path."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lib.games.game import Turn


@dataclass(frozen=True)
class NonFinite:
    """The first value that was NaN or infinite: where it came from and when (`round` counts from 0)."""

    player: str
    term: str
    round: int
    value: float


def trailing_mean(values: npt.NDArray[np.float64], window: int | None = None) -> npt.NDArray[np.float64]:
    """The mean of the last `window` values (default: a fortieth of all) at each place, (N,) -> (N,).

    The first places average what there is so far, so the curve has no start-up bias and no delay.
    """
    window = max(1, len(values) // 40) if window is None else window
    total = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(0, stop - window)
    mean: npt.NDArray[np.float64] = (total[stop] - total[start]) / (stop - start)
    return mean


class History:
    """Columns named ``player/term``, each with its own rounds, because not every round plays every term.

    `record` only keeps a reference to the detached loss; `flush` brings all waiting values to the host in
    one transfer. Every reading method flushes first.

    Attributes:
        seconds: training time so far, over all sessions.
        interrupted: True where the last call of `play` was interrupted.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.interrupted = False
        self._columns: dict[str, tuple[array[int], array[float]]] = {}
        self._waiting: list[tuple[int, str, Tensor]] = []
        self._non_finite: NonFinite | None = None

    def record(self, round_index: int, turn: Turn) -> None:
        """Keep the terms of a turn of round `round_index` (counted from 0); no host synchronisation."""
        for name, term in turn.terms.items():
            self._waiting.append((round_index, f"{turn.player}/{name}", term.detach()))

    def flush(self) -> None:
        """Bring the waiting values to the host."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        losses = [term.float() if term.dtype.itemsize < 4 else term for _, _, term in waiting]
        for (round_index, name, _), value in zip(waiting, torch.stack(losses).tolist(), strict=True):
            rounds, column = self._columns.setdefault(name, (array("q"), array("d")))
            rounds.append(round_index)
            column.append(value)
            if self._non_finite is None and not math.isfinite(value):
                player, _, term_name = name.partition("/")
                self._non_finite = NonFinite(player, term_name, round_index, value)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which they first appeared."""
        self.flush()
        return tuple(self._columns)

    def non_finite(self) -> NonFinite | None:
        """The first NaN or infinite value on record, or None."""
        self.flush()
        return self._non_finite

    def rounds(self, name: str) -> npt.NDArray[np.int64]:
        """The rounds (from 0) at which `name` was recorded, int64 (N,)."""
        return np.array(self._column(name)[0], dtype=np.int64)

    def values(self, name: str) -> npt.NDArray[np.float64]:
        """The values of `name`, float64 (N,)."""
        return np.array(self._column(name)[1], dtype=np.float64)

    def smoothed(self, name: str, window: int | None = None) -> npt.NDArray[np.float64]:
        """The `trailing_mean` of `name`, float64 (N,)."""
        return trailing_mean(self.values(name), window)

    def tail(self, last: int = 50) -> dict[str, float]:
        """Name -> mean of the `last` values: one number per term for a table or a test."""
        return {name: float(self.values(name)[-last:].mean()) for name in self.names}

    def __len__(self) -> int:
        """The number of rounds on record."""
        self.flush()
        return max((rounds[-1] + 1 for rounds, _ in self._columns.values() if rounds), default=0)

    def truncate(self, rounds_done: int) -> None:
        """Forget every value of round `rounds_done` and later."""
        self.flush()
        for rounds, column in self._columns.values():
            keep = int(np.searchsorted(np.array(rounds, dtype=np.int64), rounds_done))
            del rounds[keep:], column[keep:]
        self._columns = {name: pair for name, pair in self._columns.items() if pair[0]}
        if self._non_finite is not None and self._non_finite.round >= rounds_done:
            self._non_finite = None

    def to_json(self) -> str:
        """The history as JSON text; a value that is not finite becomes null."""
        columns = {
            name: {
                "rounds": self.rounds(name).tolist(),
                "values": [value if math.isfinite(value) else None for value in self.values(name).tolist()],
            }
            for name in self.names
        }
        facts = {"seconds": self.seconds, "interrupted": self.interrupted, "columns": columns}
        return json.dumps(facts, allow_nan=False)

    def state_dict(self) -> dict[str, Any]:
        """Columns as tensors, for an exact checkpoint."""
        columns = {
            name: {
                "rounds": torch.from_numpy(self.rounds(name)),
                "values": torch.from_numpy(self.values(name)),
            }
            for name in self.names
        }
        return {"seconds": self.seconds, "columns": columns}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace everything on record by `state`."""
        self._waiting, self._non_finite, self.interrupted = [], None, False
        self.seconds = float(state["seconds"])
        self._columns = {
            name: (array("q", column["rounds"].tolist()), array("d", column["values"].tolist()))
            for name, column in state["columns"].items()
        }

    def _column(self, name: str) -> tuple[array[int], array[float]]:
        self.flush()
        if name not in self._columns:
            raise KeyError(f"The history has no column {name!r}; it has {', '.join(self._columns)}.")
        return self._columns[name]

    def __repr__(self) -> str:
        return f"History({len(self)} rounds: {', '.join(self.names)})"
