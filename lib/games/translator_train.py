"""What the commands that train a translator share: their options, and what they write in the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lib.games.command import TrainingCommand
from lib.games.translator import Translator
from lib.images import contact_sheet
from lib.runtime import RunCard
from lib.training.history import History

__all__ = ["TranslatorCommand", "write_sheet"]


@dataclass(frozen=True, kw_only=True)
class TranslatorCommand(TrainingCommand):
    """The options that all of them have; quick is 64 px, about a minute on two CPU cores."""

    rounds: int | None = None
    """rounds of training; default: the profile's"""
    minutes: float | None = None
    """end the training after so many minutes"""
    pairs: int = 256
    """held-out pairs for the measures"""
    work: Path | None = None
    """file of a checkpoint from which an interrupted training goes on"""

    def play_options(self) -> dict[str, Any]:
        """For `lib.training.play.play`: when to end, and where to save and go on."""
        budget_s = None if self.minutes is None else 60 * self.minutes
        return {"budget_s": budget_s, "checkpoint": self.work, "resume": self.work is not None}

    def publish(
        self, name: str, translator: Translator, config: Any, *, data: str, scores: Mapping[str, float],
        history: History, card: RunCard, pairs: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        """Write NAME.safetensors with its card and NAME.json with the run and its measures, and show these.

        Args:
            config: dataclass with everything that was chosen for the training.
            data: one sentence on what was learned from and measured on.
            scores: the measures.
            pairs: what `write_sheet` shows, where --sheet asks for one.
        """
        translator.save(
            self.checkpoints / f"{name}.safetensors", config=config, seed=self.seed, data=data, metrics=scores,
            seconds=history.seconds,
        )  # fmt: skip
        record = {"run": card.as_dict(), "config": asdict(config), "rounds": len(history), "measures": dict(scores)}
        self.record(name, record)
        print(json.dumps(dict(scores), indent=1))
        if self.sheet is not None and pairs is not None:
            write_sheet(self.sheet, translator, pairs)


def write_sheet(path: Path, translator: Translator, pairs: Mapping[str, Tensor], *, count: int = 8) -> None:
    """Conditions, translations and, where ``image`` is known, true pictures in rows, as a PNG."""
    x = pairs["condition"][:count]
    rows = [[translator.condition.show(one.cpu()) for one in x], list(translator.paint(x).cpu())]
    rows += [list(pairs["image"][:count].cpu())] if "image" in pairs else []
    contact_sheet(rows, scale=2 if x.shape[-1] <= 64 else 1).save(path)
