"""A mean opinion score: people rate pictures from 1 to 5 and do not know who painted them (Ledig et al. 2017).

    session = RatingSession(["cat", "face"], ["bicubic", "SRGAN", "truth"], calibration=["roof"], seed=3)
    while session.current is not None:
        session.rate(5)
    session.summary()

The paper's protocol: 26 raters, whole scores from 1 (bad) to 5 (excellent), all versions of all pictures in random
order, after a calibration in which the nearest-neighbour version stands for 1 and the original for 5.
Nothing here draws; `lib.widgets.mos_view` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lib.widgets.sessions import Session, bootstrap_shares, csv_text

__all__ = ["SCALE", "Item", "Opinion", "RatingError", "RatingSession", "summarise"]

SCALE: Mapping[int, str] = {1: "bad", 2: "poor", 3: "fair", 4: "good", 5: "excellent"}
"""Score -> what it means."""

ANCHORS: Mapping[str, int] = {"nearest": 1, "truth": 5}
"""Method -> the score that the calibration teaches."""


class RatingError(ValueError):
    """A session cannot be begun, continued or read. The message says why."""


@dataclass(frozen=True)
class Item:
    """One thing to look at.

    Attributes:
        image: name of the picture.
        method: who painted this version.
        told: the score that the rater is told, in the calibration; None where it is asked for.
    """

    image: str
    method: str
    told: int | None = None


@dataclass(frozen=True)
class Opinion:
    """The mean score of one method with a bootstrap interval over pictures."""

    mean: float
    low: float
    high: float
    ratings: int


class RatingSession(Session[Item, int]):
    """What one rater sees, in which order, and what they answered.

    Args:
        images: names of the pictures to rate.
        methods: each paints every picture.
        calibration: names of other pictures, shown first in the two versions of `ANCHORS`, with their scores.
        seed: of the order; a rater of one's own needs a seed of their own.
        rater: a name for the tables.

    Raises:
        RatingError: nothing to rate, a name that is given twice, a picture that is both rated and calibrated with.
    """

    kind, error = "rating session", RatingError

    def __init__(
        self, images: Sequence[str], methods: Sequence[str], *, calibration: Sequence[str] = (), seed: int = 0,
        rater: str = "reader",
    ) -> None:  # fmt: skip
        names = [*images, *calibration]
        if not images or not methods or len(set(names)) < len(names) or len(set(methods)) < len(methods):
            raise RatingError(
                "A session needs pictures and methods, each named once; pictures of the calibration are not rated."
            )
        self.images, self.methods, self.calibration = tuple(images), tuple(methods), tuple(calibration)
        self.seed, self.rater = seed, rater
        taught = [Item(image, method, score) for image in calibration for method, score in ANCHORS.items()]
        asked = [Item(image, method) for image in images for method in methods]
        order = torch.randperm(len(asked), generator=torch.Generator().manual_seed(seed)).tolist()
        super().__init__((*taught, *(asked[place] for place in order)))

    def rate(self, score: int) -> None:
        """Answer the current item. In the calibration any score goes on; the told one is kept.

        Raises:
            RatingError: no whole score from 1 to 5, or nothing is left.
        """
        if isinstance(score, bool) or score not in SCALE:
            raise RatingError(f"Scores are whole numbers from 1 ({SCALE[1]}) to 5 ({SCALE[5]}), not {score!r}.")
        if self.current is None:
            raise RatingError("Everything is rated; see summary(), or take the last score back with undo().")
        self._answers.append(self.current.told or score)

    @property
    def ratings(self) -> list[tuple[Item, int]]:
        """The answers so far, in their order, without the calibration."""
        answered = zip(self.items, self._answers, strict=False)
        return [(item, score) for item, score in answered if item.told is None]

    def summary(self, *, resamples: int = 2000) -> dict[str, Opinion]:
        """`summarise` of this session alone."""
        return summarise([self], resamples=resamples)

    def as_dict(self) -> dict[str, Any]:
        """What `from_dict` continues from."""
        facts = {"images": self.images, "methods": self.methods, "calibration": self.calibration}
        return {**{k: list(v) for k, v in facts.items()}, "seed": self.seed, "rater": self.rater,
                "scores": list(self._answers)}  # fmt: skip

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> RatingSession:
        """A session as it was, at the place where it was left.

        Raises:
            RatingError: this is no session.
        """
        return cls._again(
            lambda: cls(state["images"], state["methods"], calibration=state["calibration"],
                        seed=int(state["seed"]), rater=str(state["rater"])),
            lambda: state["scores"],
        )  # fmt: skip

    def _give(self, answer: Any) -> None:
        self.rate(answer)

    def to_csv(self) -> str:
        """One line for each rating: rater, image, method, score, in the order in which they were given."""
        rows = [(self.rater, item.image, item.method, score) for item, score in self.ratings]
        return csv_text(["rater", "image", "method", "score"], rows)


def summarise(sessions: Sequence[RatingSession], *, resamples: int = 2000, seed: int = 0) -> dict[str, Opinion]:
    """The mean opinion score of each method, over all raters, best first.

    The 95 % interval is a bootstrap over *pictures*: two ratings of one picture are alike, so they count as one draw.

    Args:
        sessions: of as many raters as there are.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        RatingError: nobody has rated anything.
    """
    given = [entry for session in sessions for entry in session.ratings]
    if not given:
        raise RatingError("Nothing is rated yet; give a score with rate() first.")
    found = {}
    for number, method in enumerate(dict.fromkeys(item.method for item, _ in given)):
        by_image: dict[str, list[int]] = {}
        for item, score in given:
            if item.method == method:
                by_image.setdefault(item.image, []).append(score)
        sums = torch.tensor([[float(sum(scores))] for scores in by_image.values()])
        counts = torch.tensor([float(len(scores)) for scores in by_image.values()])
        mean, low, high = bootstrap_shares(sums, counts, resamples=resamples, seed=seed + number)
        found[method] = Opinion(float(mean), float(low), float(high), int(counts.sum()))
    return dict(sorted(found.items(), key=lambda entry: -entry[1].mean))
