"""What ``python -m lib ablate …`` and ``evaluate …`` share: their options, and a file that grows with every run."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lib.games.command import ProfiledCommand
from lib.games.study import Study, StudyProgress, load_study
from lib.runtime import profile

__all__ = ["RecordedCommand", "StudyCommand"]


@dataclass(frozen=True, kw_only=True)
class RecordedCommand(ProfiledCommand):
    """A study and its file.

    The file --out is written after each run. If it exists, its runs are kept and only the others are made.
    """

    out: Path
    """JSON file for the result"""

    def known(self) -> Study | None:
        """The earlier result in the file, if there is one.

        Raises:
            StudyError: the file holds something else.
        """
        if not self.out.exists():
            return None
        study = load_study(self.out)
        print(f"note: {self.out} exists; its {len(study.runs)} runs are kept.")
        return study

    def conduct(self, run: Callable[[Callable[[StudyProgress], object]], Study]) -> int:
        """Run a study that reports to the given callback, save it after each run, and show its table."""

        def report(progress: StudyProgress) -> None:
            progress.study.save(self.out)
            what = f"{progress.run.variant}, seed {progress.run.seed}, {progress.run.seconds:.0f} s"
            print(f"run {progress.done} of {progress.total}: {what}", flush=True)

        study = run(report)
        print(f"wrote {self.out}\n\n{study.markdown_table()}")
        return 0


@dataclass(frozen=True, kw_only=True)
class StudyCommand(RecordedCommand):
    """The options of every study of trainings."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """one training of each variant for each seed"""
    variants: tuple[str, ...] = ()
    """default: all of them"""

    def shell(self, *words: str) -> str:
        """How to repeat this from a shell, with the words that are the study's own; folders are left out."""
        line = ["python", "-m", "lib", "ablate", *words, "--out", self.out.name]
        line += ["--profile", self.profile or profile(), "--seeds", *map(str, self.seeds)]
        return shlex.join(line + (["--variants", *self.variants] if self.variants else []))
