"""``python -m lib ablate``: which term of semantic image analogy moves which number."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lib.games.analogy_ablation import AblationConfig, AblationProgress, load_ablation, run_ablation
from lib.runtime import Runtime, profile
from lib.training.live import ProgressPrinter

__all__ = ["AblationCommand", "main"]


@dataclass(frozen=True)
class AblationCommand:
    """Train one photo in several variants, each without one thing, and measure what is lost.

    The file --out is written after each run. If it exists, its runs are kept and only the others are made.
    """

    photo: str
    """a photo of the book: astronaut, chelsea, china, coffee, flower or rocket"""
    out: Path
    """JSON file for the result"""
    side: int | None = None
    """long side of the pictures in pixels; default 64 (quick) or 128 (full)"""
    rounds: int | None = None
    """rounds of each training; default 150 (quick) or 1000 (full)"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """one training of each variant for each seed"""
    variants: tuple[str, ...] = ()
    """default: all; see VARIANTS in lib.games.analogy_ablation"""
    profile: Literal["quick", "full"] | None = None
    """quick: small networks for a CPU; full: a GPU. Default: BOOK_PROFILE, else quick"""
    device: str | None = None
    """cuda, mps or cpu; default: the fastest"""


def main(config: AblationCommand) -> int:
    """Run the command; errors are one-sentence exceptions."""
    settings = _settings(config)
    known = load_ablation(config.out) if config.out.exists() else None
    if known is not None:
        print(f"note: {config.out} exists; its {len(known.runs)} runs are kept.")

    def report(progress: AblationProgress) -> None:
        progress.result.save(config.out)
        run = progress.run
        what = f"{run.variant}, seed {run.seed}, {run.seconds:.0f} s"
        print(f"run {progress.done} of {progress.total}: {what}", flush=True)

    result = run_ablation(
        config.photo, config=settings, seeds=config.seeds, variants=config.variants or None,
        runtime=Runtime.detect(config.device), known=known, command=_command(config, settings),
        on_progress=report, on_round=ProgressPrinter(title="  training", every=30.0),
    )  # fmt: skip
    print(f"wrote {config.out}\n\n{result.markdown_table()}")
    return 0


def _settings(config: AblationCommand) -> AblationConfig:
    if config.side is not None and config.side < 32:
        raise ValueError(f"--side is {config.side}; pictures need at least 32 px.")
    if config.rounds is not None and config.rounds < 1:
        raise ValueError(f"--rounds is {config.rounds}; give a positive number.")
    chosen = AblationConfig.full() if (config.profile or profile()) == "full" else AblationConfig.quick()
    training = chosen.training
    training = replace(training, side=config.side or training.side, rounds=config.rounds or training.rounds)
    return replace(chosen, training=training)


def _command(config: AblationCommand, settings: AblationConfig) -> str:
    """How to repeat this: defaults are written out, folders are not."""
    words = ["python", "-m", "lib", "ablate", "--photo", config.photo, "--out", config.out.name]
    words += ["--side", str(settings.training.side), "--rounds", str(settings.training.rounds)]
    words += ["--profile", config.profile or profile(), "--seeds", *map(str, config.seeds)]
    if config.variants:
        words += ["--variants", *config.variants]
    return shlex.join(words)
