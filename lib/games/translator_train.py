"""What the commands that train a translator share: their options, and what they write in the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from lib.book.paths import repository_root
from lib.games.translator import Translator
from lib.images import contact_sheet, write_atomically
from lib.runtime import RunCard, profile
from lib.training.history import History

__all__ = ["TranslatorCommand", "write_sheet"]


@dataclass(frozen=True, kw_only=True)
class TranslatorCommand:
    """The options that all of them have."""

    profile: Literal["quick", "full"] | None = None
    """quick: 64 px, about a minute on two CPU cores; full: a GPU. Default: BOOK_PROFILE, else quick"""
    rounds: int | None = None
    """rounds of training; default: the profile's"""
    minutes: float | None = None
    """end the training after so many minutes"""
    seed: int = 0
    """seed of the training"""
    device: str | None = None
    """cuda, mps or cpu; default: the fastest"""
    pairs: int = 256
    """held-out pairs for the measures"""
    work: Path | None = None
    """file of a checkpoint from which an interrupted training goes on"""
    checkpoints: Path = repository_root() / "assets" / "checkpoints"
    """folder for the weights and their card"""
    results: Path = repository_root() / "assets" / "results"
    """folder for the measures as JSON"""
    sheet: Path | None = None
    """also write a contact sheet to this PNG"""

    @property
    def full(self) -> bool:
        """Whether the full profile was chosen, here or by BOOK_PROFILE."""
        return (self.profile or profile()) == "full"

    def play_options(self) -> dict[str, Any]:
        """For `lib.training.play.play`: when to end, and where to save and go on."""
        budget_s = None if self.minutes is None else 60 * self.minutes
        return {"budget_s": budget_s, "checkpoint": self.work, "resume": self.work is not None}

    def publish(
        self, name: str, translator: Translator, config: Any, *, data: str, scores: Mapping[str, float],
        history: History, card: RunCard,
    ) -> None:  # fmt: skip
        """Write NAME.safetensors with its card and NAME.json with the run and its measures, and show these.

        Args:
            config: dataclass with everything that was chosen for the training.
            data: one sentence on what was learned from and measured on.
            scores: the measures.
        """
        translator.save(
            self.checkpoints / f"{name}.safetensors", config=config, seed=self.seed, data=data, metrics=scores,
            seconds=history.seconds,
        )  # fmt: skip
        record = {"run": card.as_dict(), "config": asdict(config), "rounds": len(history), "measures": dict(scores)}
        text = json.dumps(record, indent=1) + "\n"
        write_atomically(self.results / f"{name}.json", text.encode())
        print(json.dumps(dict(scores), indent=1))


def write_sheet(path: Path, translator: Translator, pairs: Mapping[str, Tensor], *, count: int = 8) -> None:
    """Conditions, translations and, where ``image`` is known, true pictures in rows, as a PNG."""
    x = pairs["condition"][:count]
    rows = [[translator.condition.show(one.cpu()) for one in x], list(translator.paint(x).cpu())]
    rows += [list(pairs["image"][:count].cpu())] if "image" in pairs else []
    contact_sheet(rows, scale=2 if x.shape[-1] <= 64 else 1).save(path)
