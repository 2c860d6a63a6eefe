"""Overhear D: which of its outputs an adversarial loss takes for real data and which for fakes.

Only the loss knows. It is told by every game in the same way, whatever D looks like: one logit or a map of them,
several scales, a head for classes beside it (which no adversarial loss judges). Nothing is kept unless somebody
listens, as the live board does:

    with overhear() as verdicts:
        lsgan_real(D(x))
    (side, logits), = verdicts
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Literal

from torch import Tensor

__all__ = ["Side", "Verdict", "overhear", "says", "verdict"]

Side = Literal["real", "fake"]
Verdict = tuple[Side, Tensor]

_listener: ContextVar[list[Verdict] | None] = ContextVar("listener", default=None)


@contextmanager
def overhear() -> Iterator[list[Verdict]]:
    """Collect every verdict of this thread: pairs of a side and detached logits, in the order of the calls."""
    verdicts: list[Verdict] = []
    token = _listener.set(verdicts)
    try:
        yield verdicts
    finally:
        _listener.reset(token)


def verdict(side: Side, logits: Callable[[], Tensor]) -> None:
    """Tell the listener, if there is one, that `side` is what D shall say here; `logits` is called only then."""
    verdicts = _listener.get()
    if verdicts is not None:
        verdicts.append((side, logits().detach()))


def says(side: Side) -> Callable[[Callable[[Tensor], Tensor]], Callable[[Tensor], Tensor]]:
    """Mark a loss of logits by the side on which it puts them."""

    def mark(loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        @wraps(loss)
        def told(logits: Tensor) -> Tensor:
            verdict(side, lambda: logits)
            return loss(logits)

        return told

    return mark
