"""``python -m lib ablate analogy``: which term of semantic image analogy moves which number."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lib.games.analogy_ablation import AblationConfig, run_ablation
from lib.games.study_command import StudyCommand
from lib.runtime import Runtime
from lib.training.live import ProgressPrinter

__all__ = ["AblationCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class AblationCommand(StudyCommand):
    """Train one photo in several variants, each without one thing, and measure what is lost.

    The file --out is written after each run. If it exists, its runs are kept and only the others are made.
    """

    photo: str
    """a photo of the book: astronaut, chelsea, china, coffee, flower or rocket"""
    side: int | None = None
    """long side of the pictures in pixels; default 64 (quick) or 128 (full)"""
    rounds: int | None = None
    """rounds of each training; default 150 (quick) or 1000 (full)"""


def main(config: AblationCommand) -> int:
    """Run the command; errors are one-sentence exceptions."""
    settings, known = _settings(config), config.known()
    training = settings.training
    command = config.shell(
        "analogy", "--photo", config.photo, "--side", str(training.side), "--rounds", str(training.rounds)
    )
    return config.conduct(
        lambda report: run_ablation(
            config.photo, config=settings, seeds=config.seeds, variants=config.variants or None,
            runtime=Runtime.detect(config.device), known=known, command=command, on_progress=report,
            on_round=ProgressPrinter(title="  training", every=30.0),
        )
    )  # fmt: skip


def _settings(config: AblationCommand) -> AblationConfig:
    if config.side is not None and config.side < 32:
        raise ValueError(f"--side is {config.side}; pictures need at least 32 px.")
    if config.rounds is not None and config.rounds < 1:
        raise ValueError(f"--rounds is {config.rounds}; give a positive number.")
    chosen = AblationConfig.full() if config.full else AblationConfig.quick()
    training = chosen.training
    training = replace(training, side=config.side or training.side, rounds=config.rounds or training.rounds)
    return replace(chosen, training=training)
