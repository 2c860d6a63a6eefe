"""The options that the commands of the games share, and how they record what they measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lib.book.paths import repository_root
from lib.images import write_atomically
from lib.runtime import profile

__all__ = ["ProfiledCommand", "TrainingCommand"]


@dataclass(frozen=True, kw_only=True)
class ProfiledCommand:
    """Where a command computes, and how much."""

    profile: Literal["quick", "full"] | None = None
    """quick: sizes for a CPU; full: a GPU. Default: BOOK_PROFILE, else quick"""
    device: str | None = None
    """cuda, mps or cpu; default: the fastest"""

    @property
    def full(self) -> bool:
        """Whether the full profile was chosen, here or by BOOK_PROFILE."""
        return (self.profile or profile()) == "full"


@dataclass(frozen=True, kw_only=True)
class TrainingCommand(ProfiledCommand):
    """What every command that trains a model of the book takes besides."""

    seed: int = 0
    """seed of weights, data and order"""
    checkpoints: Path = repository_root() / "assets" / "checkpoints"
    """folder for the weights and their card"""
    results: Path = repository_root() / "assets" / "results"
    """folder for the measures as JSON"""
    sheet: Path | None = None
    """also write a contact sheet to this PNG"""

    def record(self, name: str, content: Mapping[str, Any]) -> None:
        """Write NAME.json to the folder of results, at once or not at all.

        Raises:
            ValueError: a number is NaN or infinite, which JSON cannot hold.
        """
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        write_atomically(self.results / f"{name}.json", text.encode())
