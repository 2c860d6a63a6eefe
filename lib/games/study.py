"""A recorded study: several variants of one training, several seeds, some measures, and what each variant changed.

An ablation is such a study: every variant lacks one thing, and is compared with the one that has it.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from scipy import stats

from lib.images import write_atomically
from lib.runtime import RunCard, Runtime

__all__ = [
    "Best", "Cell", "Effect", "Run", "Study", "StudyError", "StudyProgress", "chosen_variants", "continued",
    "load_study", "run_study",
]  # fmt: skip

Best = Literal["low", "high", "one"]
"""Which value of a measure is best: the lowest, the highest, or 1."""


class StudyError(ValueError):
    """A study cannot be read or continued. The message says why and how to mend it."""


@dataclass(frozen=True)
class Run:
    """One training and its measures."""

    variant: str
    seed: int
    seconds: float
    values: Mapping[str, float]  # by measure; NaN where a variant has no such number


@dataclass(frozen=True)
class Cell:
    """One number of the table."""

    mean: float
    spread: float  # standard deviation over the seeds; NaN for one seed


@dataclass(frozen=True)
class Effect:
    """What a variant changed against its base: differences between runs with the same seed."""

    mean: float  # variant minus base
    spread: float  # standard deviation of the differences; NaN for one seed
    seeds: int  # number of pairs
    worse: bool  # the variant is further from the best value

    @property
    def clear(self) -> bool:
        """True where Student's 95 % interval of the mean difference does not hold 0.

        That takes a difference of 9 spreads with two seeds, 2.5 with three and 1.2 with five. One in twenty
        differences without a cause is "clear" all the same: a table has more than a hundred.
        """
        return self.seeds > 1 and abs(self.mean) > stats.t.ppf(0.975, self.seeds - 1) * self.spread / self.seeds**0.5


@dataclass(frozen=True)
class Study:
    """Everything a study found.

    Attributes:
        name: what was trained: a photo, a world, a game.
        config: everything that was chosen for the trainings, as JSON can hold it.
        measures: measure -> which value is best.
        bases: variant -> the variant it is compared with.
        runs: one entry for each variant and seed.
        references: competitors without training, ceilings -> measure -> value.
        card: command, device and versions of the last session.
    """

    name: str
    config: Mapping[str, Any]
    measures: Mapping[str, Best]
    bases: Mapping[str, str]
    runs: tuple[Run, ...] = ()
    references: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that were run, in the order of their first run."""
        return tuple(dict.fromkeys(run.variant for run in self.runs))

    @property
    def seconds(self) -> float:
        """Wall time of all runs."""
        return math.fsum(run.seconds for run in self.runs)

    @property
    def rows(self) -> dict[str, dict[str, Cell]]:
        """Variant -> measure -> mean and spread over the seeds."""
        return {
            variant: {
                name: Cell(*_mean_and_spread(list(self._column(variant, name).values()))) for name in self.measures
            }
            for variant in self.variants
        }

    def effect(self, variant: str, measure: str) -> Effect | None:
        """What taking something away did to one measure; None without a base or without common numbers.

        Raises:
            ValueError: there is no such variant or measure.
        """
        if variant not in self.variants or measure not in self.measures:
            raise ValueError(f"There is no row {variant!r} with a measure {measure!r} in this study.")
        mine, other = self._column(variant, measure), self._column(self.bases.get(variant, ""), measure)
        seeds = [seed for seed in mine if not math.isnan(mine[seed] - other.get(seed, math.nan))]
        if not seeds:
            return None
        mean, spread = _mean_and_spread([mine[seed] - other[seed] for seed in seeds])
        far, near = (_mean_and_spread([column[seed] for seed in seeds])[0] for column in (mine, other))
        best = self.measures[measure]
        return Effect(mean, spread, len(seeds), _distance(best, far) > _distance(best, near))

    def with_run(self, run: Run, card: Mapping[str, Any]) -> Study:
        """This study with one more run, and the card of the present session."""
        return replace(self, runs=(*self.runs, run), card=dict(card))

    def markdown_table(self, measures: Sequence[str] | None = None, *, digits: int = 3) -> str:
        """Variants x measures as mean ± spread. Bold: clearly worse than its base; italic: clearly better."""
        names = list(measures or self.measures)
        arrows = {"low": "↓", "high": "↑", "one": "→ 1"}
        lines = [
            "| variant | " + " | ".join(f"{name} {arrows[self.measures[name]]}" for name in names) + " |",
            "| --- |" + " ---: |" * len(names),
        ]
        for name, values in self.references.items():
            cells = [_number(values.get(measure, math.nan), digits) for measure in names]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        rows = self.rows
        for variant in self.variants:
            cells = [self._cell(variant, measure, rows[variant][measure], digits) for measure in names]
            lines.append(f"| {variant} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def to_json(self) -> str:
        """The runs, the table, the references and the run card; NaN is written as null."""
        content = {
            "name": self.name,
            "card": {**self.card, "runs": len(self.runs), "seconds_of_all_runs": round(self.seconds, 1)},
            "rows": {v: {m: asdict(cell) for m, cell in row.items()} for v, row in self.rows.items()},
            "references": self.references,
            "measures": self.measures,
            "bases": self.bases,
            "config": self.config,
            "runs": [asdict(run) for run in self.runs],
        }
        return json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file, at once or not at all."""
        write_atomically(path, self.to_json().encode())

    def _column(self, variant: str, measure: str) -> dict[int, float]:
        return {run.seed: run.values.get(measure, math.nan) for run in self.runs if run.variant == variant}

    def _cell(self, variant: str, measure: str, cell: Cell, digits: int) -> str:
        if math.isnan(cell.mean):
            return ""
        text = _number(cell.mean, digits) + ("" if math.isnan(cell.spread) else f" ± {_number(cell.spread, digits)}")
        effect = self.effect(variant, measure)
        if effect is None or not effect.clear:
            return text
        return f"**{text}**" if effect.worse else f"*{text}*"


@dataclass(frozen=True)
class StudyProgress:
    """What a callback is told after a run."""

    study: Study  # with all runs so far
    run: Run  # the last one
    done: int
    total: int


def run_study(
    study: Study, variants: Sequence[str], seeds: Sequence[int],
    train_and_measure: Callable[[str, int], Mapping[str, float] | None], *, runtime: Runtime, command: str = "",
    on_progress: Callable[[StudyProgress], object] | None = None,
) -> Study:  # fmt: skip
    """Make every run that the study does not have yet.

    Seed by seed, so that an interrupted study has every variant as often as possible.

    Args:
        study: empty, or an earlier one that goes on.
        train_and_measure: (variant, seed) -> all measures, or None where the training was interrupted: then the study
            ends with the finished runs. The same seed should mean the same weights and data in each variant, for
            variants are compared in pairs.
        runtime: device and dtype of the runs, for the card.
        command: how to repeat this from a shell, for the card.
        on_progress: called after each run.

    Raises:
        ValueError: there is nothing to run.
        KeyboardInterrupt: interrupted before the first run was finished.
    """
    if not variants or not seeds:
        raise ValueError("There is nothing to run; give at least one variant and one seed.")
    known = {(run.variant, run.seed) for run in study.runs}
    jobs = [(variant, seed) for seed in dict.fromkeys(seeds) for variant in dict.fromkeys(variants)]
    jobs = [job for job in jobs if job not in known]
    for variant, seed in jobs:
        with RunCard(f"study of {study.name}", seed=seed, device=runtime.device, dtype=runtime.dtype) as card:
            values = train_and_measure(variant, seed)
        if values is None:
            break
        run = Run(variant, seed, round(card.wall_seconds or 0.0, 1), values)
        study = study.with_run(run, {"command": command} | card.as_dict())
        if on_progress is not None:
            on_progress(StudyProgress(study, run, len(study.runs), len(known) + len(jobs)))
    if not study.runs:
        raise KeyboardInterrupt
    return study


def load_study(path: str | Path) -> Study:
    """Read what `Study.save` wrote.

    Raises:
        StudyError: the file is missing, damaged or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        runs = tuple(Run(r["variant"], int(r["seed"]), float(r["seconds"]), _numbers(r["values"]))
                     for r in content["runs"])  # fmt: skip
        references = {name: _numbers(values) for name, values in content["references"].items()}
        return Study(
            str(content["name"]), content["config"], content["measures"], content["bases"], runs, references,
            content["card"],
        )  # fmt: skip
    except FileNotFoundError as error:
        raise StudyError(f"There is no study at {path}; make one with `python -m lib ablate`.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path} is no study ({error}); make it again with `python -m lib ablate`.") from error


def chosen_variants(asked: Sequence[str], offered: Collection[str]) -> list[str]:
    """The variants that were asked for, or all of them where none was.

    Raises:
        StudyError: one of them does not exist.
    """
    unknown = [name for name in asked if name not in offered]
    if unknown:
        raise StudyError(f"There is no variant {unknown[0]!r}; choose among {', '.join(offered)}.")
    return list(asked) or list(offered)


def continued(study: Study, known: Study | None) -> Study:
    """`study` with the runs of an earlier one.

    Raises:
        StudyError: the earlier one is of something else, or of another config.
    """
    if known is None:
        return study
    if known.name != study.name or _plain(known.config) != _plain(study.config):
        raise StudyError(
            f"The earlier result is of {known.name!r} or of another config; continue with the same options, or write "
            "to a new file."
        )
    return replace(study, runs=known.runs, card=known.card)


def _mean_and_spread(values: list[float]) -> tuple[float, float]:
    known = [value for value in values if not math.isnan(value)]
    mean = statistics.fmean(known) if known else math.nan
    return mean, statistics.stdev(known) if len(known) > 1 else math.nan


def _distance(best: Best, value: float) -> float:
    """How far a value is from the best one, in a scale in which more is worse."""
    if best == "one":
        return abs(math.log(max(value, 1e-9)))
    return value if best == "low" else -value


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else float(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """The same with null for NaN and infinity, and lists and dicts for every sequence and mapping."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
