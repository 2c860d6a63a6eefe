"""What the studies with people share: a session can be left and gone on with, and its interval is over pictures."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor

from lib.images import write_atomically

__all__ = ["Session", "bootstrap_shares", "csv_text"]


Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Session(ABC, Generic[Question, Answer]):
    """Questions in an order that a seed decides, and the answers so far.

    A subclass says what a question and an answer are, and puts the answers into ``as_dict`` and out of ``from_dict``.

    Args:
        items: the questions, in the order in which they are asked.
    """

    rater: str
    kind: ClassVar[str]
    """What the messages call it."""
    error: ClassVar[type[ValueError]]
    """What is raised."""

    def __init__(self, items: Sequence[Question]) -> None:
        self.items = tuple(items)
        self._answers: list[Answer] = []

    @property
    def position(self) -> int:
        """How many items have an answer."""
        return len(self._answers)

    @property
    def current(self) -> Question | None:
        """The item to answer next; None at the end."""
        return self.items[self.position] if self.position < len(self.items) else None

    def undo(self) -> None:
        """Take the last answer back; without effect at the beginning."""
        if self._answers:
            self._answers.pop()

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """What `from_dict` continues from, ready for JSON."""

    @classmethod
    @abstractmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """A session as it was, at the place where it was left."""

    @abstractmethod
    def to_csv(self) -> str:
        """The answers so far as a table, one line for each."""

    @classmethod
    def _again(cls, build: Callable[[], Self], answers: Callable[[], Iterable[Any]]) -> Self:
        """Begin as the stored session began, and give its answers again.

        Args:
            build, answers: read the stored state; what they raise means that it is damaged.
        """
        try:
            session = build()
            for answer in answers():
                session._give(answer)
        except (KeyError, TypeError, ValueError) as error:
            raise cls.error(f"This is no {cls.kind} ({error}); begin a new one.") from error
        return session

    @abstractmethod
    def _give(self, answer: Any) -> None:
        """Take one stored answer to the current question, checked."""

    def save(self, path: str | Path) -> None:
        """Write everything to a JSON file, at once or not at all."""
        write_atomically(path, (json.dumps(self.as_dict(), indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Go on with what `save` wrote.

        Raises:
            ValueError: the file is missing, damaged or holds something else.
        """
        try:
            state = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise cls.error(f"{path} cannot be read as a {cls.kind} ({error}); begin a new one.") from error
        if not isinstance(state, dict):
            raise cls.error(f"{path} holds no {cls.kind}; begin a new one.")
        return cls.from_dict(state)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as comma-separated values, one line a row."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return table.getvalue()


def bootstrap_shares(sums: Tensor, counts: Tensor, *, resamples: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean over all answers and its 95 % interval, by a bootstrap over pictures.

    Two answers about one picture are alike, so a picture and all its answers count as one draw.

    Args:
        sums: (I, K), the sum of K values over the answers about each of I pictures.
        counts: (I,), the number of answers about each.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Mean, lower and upper end, (K,) each; the mean lies in its interval.
    """
    draws = torch.randint(len(counts), (resamples, len(counts)), generator=torch.Generator().manual_seed(seed))
    means = sums[draws].sum(dim=1) / counts[draws].sum(dim=1, keepdim=True)
    low, high = means.quantile(torch.tensor([0.025, 0.975]), dim=0)
    mean = sums.sum(dim=0) / counts.sum()
    return mean, torch.minimum(low, mean), torch.maximum(high, mean)
