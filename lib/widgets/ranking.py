"""A ranking study: people put the versions of a picture in order and do not know who painted which.

    session = RankingSession(["flower", "china"], ["SinGAN", "SPADE", "ours"], question=APPEARANCE, seed=3)
    while session.current is not None:
        session.rank("BCA")                      # best first, by the letters of this sheet
    shares([session])["ours"].share              # how often it came first, second, third

The letters are dealt anew for each picture, so that no method is always A and no place on the sheet is favoured.
Nothing here draws; `lib.widgets.ranking_view` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Self

import torch

from lib.book.equations import equation
from lib.widgets.sessions import Session, bootstrap_shares, csv_text

__all__ = ["APPEARANCE", "LAYOUT", "RankShares", "RankingError", "RankingSession", "Sheet", "shares"]

APPEARANCE = "Rank {letters} by appearance similarity with the left image."
LAYOUT = "Rank {letters} by how well they fit the layout on the left."


class RankingError(ValueError):
    """A session cannot be begun, continued or read. The message says why."""


@dataclass(frozen=True)
class Sheet:
    """One thing to rank.

    Attributes:
        image: name of the picture.
        methods: who painted A, B, C, ..., in this order.
    """

    image: str
    methods: tuple[str, ...]

    @property
    def letters(self) -> str:
        """The letters of this sheet, as in "ABC"."""
        return ascii_uppercase[: len(self.methods)]


@dataclass(frozen=True)
class RankShares:
    """How often a method took each place, with 95 % intervals by a bootstrap over pictures.

    Attributes:
        share: part of the rankings in which it was first, second, ...; adds up to 1.
        low, high: ends of the intervals.
        mean: its mean place, 1 is best.
        rankings: how many there are.
    """

    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: float
    rankings: int


class RankingSession(Session[Sheet, str]):
    """What one rater sees, in which order and with which letters, and how they ranked it.

    Args:
        images: names of the pictures.
        methods: each painted every picture; 2 to 26.
        question: shown above each sheet; ``{letters}`` becomes "A, B and C".
        seed: of the order and the letters; a rater of one's own needs a seed of their own.
        rater: a name for the tables.

    Raises:
        RankingError: nothing to rank, or a name that is given twice.
    """

    kind, error = "ranking session", RankingError

    def __init__(
        self, images: Sequence[str], methods: Sequence[str], *, question: str = APPEARANCE, seed: int = 0,
        rater: str = "reader",
    ) -> None:  # fmt: skip
        repeated = len(set(images)) < len(images) or len(set(methods)) < len(methods)
        if not images or not 2 <= len(methods) <= len(ascii_uppercase) or repeated:
            raise RankingError("A session needs pictures and 2 to 26 methods, each named once.")
        self.images, self.methods = tuple(images), tuple(methods)
        self.question, self.seed, self.rater = question, seed, rater
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(images), generator=generator).tolist()
        super().__init__([
            Sheet(images[k], tuple(methods[m] for m in torch.randperm(len(methods), generator=generator).tolist()))
            for k in order
        ])  # fmt: skip

    @property
    def sheets(self) -> tuple[Sheet, ...]:
        """What is ranked, in the order of this rater."""
        return self.items

    def rank(self, order: str) -> None:
        """Rank the current sheet: its letters, best first.

        Raises:
            RankingError: not each letter once, or nothing is left.
        """
        if self.current is None:
            raise RankingError("Everything is ranked; see shares([session]), or take the last one back with undo().")
        letters = self.current.letters
        if not isinstance(order, str) or sorted(order.upper()) != sorted(letters):
            raise RankingError(f"A ranking holds each of {', '.join(letters)} once, best first, not {order!r}.")
        self._answers.append(order.upper())

    @property
    def rankings(self) -> list[tuple[str, tuple[str, ...]]]:
        """The answers so far: image and methods, best first."""
        answered = zip(self.items, self._answers, strict=False)
        return [(s.image, tuple(s.methods[s.letters.index(letter)] for letter in order)) for s, order in answered]

    def as_dict(self) -> dict[str, Any]:
        """What `from_dict` continues from."""
        return {"images": list(self.images), "methods": list(self.methods), "question": self.question,
                "seed": self.seed, "rater": self.rater, "answers": list(self._answers)}  # fmt: skip

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """A session as it was, at the place where it was left.

        Raises:
            RankingError: this is no session.
        """
        return cls._again(
            lambda: cls(state["images"], state["methods"], question=str(state["question"]),
                        seed=int(state["seed"]), rater=str(state["rater"])),
            lambda: state["answers"],
        )  # fmt: skip

    def _give(self, answer: Any) -> None:
        self.rank(answer)

    def to_csv(self) -> str:
        """One line for each place: rater, image, method, rank (1 is best), letter on the sheet."""
        rows = [
            (self.rater, image, method, place, sheet.letters[sheet.methods.index(method)])
            for sheet, (image, methods) in zip(self.items, self.rankings, strict=False)
            for place, method in enumerate(methods, start=1)
        ]
        return csv_text(["rater", "image", "method", "rank", "letter"], rows)


@equation("13.4", tests="tests/widgets/test_ranking.py::test_raters_of_one_picture_do_not_count_as_pictures")
def shares(sessions: Sequence[RankingSession], *, resamples: int = 2000, seed: int = 0) -> dict[str, RankShares]:
    """How often each method took each place, over all raters, best mean place first.

    Args:
        sessions: of as many raters as there are, all with the same methods.
        resamples, seed: of the bootstrap.

    Raises:
        RankingError: nobody has ranked anything, or the sessions compare different methods.
    """
    given = [entry for session in sessions for entry in session.rankings]
    if not given:
        raise RankingError("Nothing is ranked yet; use rank() first.")
    if len({frozenset(session.methods) for session in sessions}) > 1:
        raise RankingError("The sessions compare different methods; put each study into a table of its own.")
    methods, images = sessions[0].methods, list(dict.fromkeys(image for image, _ in given))
    counts = torch.zeros(len(methods), len(images), len(methods))  # method, image, place
    for image, order in given:
        for place, method in enumerate(order):
            counts[methods.index(method), images.index(image), place] += 1
    places = torch.arange(1.0, len(methods) + 1)
    found = {}
    for method, table in zip(methods, counts, strict=True):
        share, low, high = bootstrap_shares(table, table.sum(dim=1), resamples=resamples, seed=seed)
        mean = float((share * places).sum())
        found[method] = RankShares(
            tuple(share.tolist()), tuple(low.tolist()), tuple(high.tolist()), mean, len(given)
        )  # fmt: skip
    return dict(sorted(found.items(), key=lambda entry: entry[1].mean))
