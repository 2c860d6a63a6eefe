"""The result of an ablation: its runs, their mean and spread, and what each missing thing changed."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from scipy import stats

from lib.games.analogy_measures import MEASURES
from lib.images import write_atomically

__all__ = ["AblationError", "AblationResult", "Cell", "Effect", "Run", "read_result"]


class AblationError(ValueError):
    """A result cannot be read or continued. The message says why and how to mend it."""


@dataclass(frozen=True)
class Run:
    """One training and its measures."""

    variant: str
    seed: int
    seconds: float
    values: Mapping[str, float]  # keys of `MEASURES`; NaN where a variant has no such number


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
class AblationResult:
    """Everything an ablation found.

    Attributes:
        photo: its name.
        config: ``dataclasses.asdict`` of the `AblationConfig`.
        bases: variant -> the variant it is compared with.
        runs: one entry for each variant and seed.
        references: competitors without training -> measure -> value.
        card: command, device and versions of the last session.
    """

    photo: str
    config: Mapping[str, Any]
    bases: Mapping[str, str]
    runs: tuple[Run, ...]
    references: Mapping[str, Mapping[str, float]]
    card: Mapping[str, Any]

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
            variant: {name: Cell(*_mean_and_spread(list(self._column(variant, name).values()))) for name in MEASURES}
            for variant in self.variants
        }

    def effect(self, variant: str, measure: str) -> Effect | None:
        """What taking something away did to one measure; None without a base or without common numbers.

        Raises:
            ValueError: there is no such variant or measure.
        """
        if variant not in self.variants or measure not in MEASURES:
            raise ValueError(f"There is no row {variant!r} with a measure {measure!r} in this ablation.")
        mine, other = self._column(variant, measure), self._column(self.bases.get(variant, ""), measure)
        seeds = [seed for seed in mine if not math.isnan(mine[seed] - other.get(seed, math.nan))]
        if not seeds:
            return None
        mean, spread = _mean_and_spread([mine[seed] - other[seed] for seed in seeds])
        far, near = (_mean_and_spread([column[seed] for seed in seeds])[0] for column in (mine, other))
        return Effect(mean, spread, len(seeds), _distance(measure, far) > _distance(measure, near))

    def with_run(self, run: Run, card: Mapping[str, Any]) -> AblationResult:
        """This result with one more run, and the card of the present session."""
        return replace(self, runs=(*self.runs, run), card=dict(card))

    def markdown_table(self, measures: Sequence[str] | None = None, *, digits: int = 3) -> str:
        """Variants x measures as mean ± spread. Bold: clearly worse than its base; italic: clearly better."""
        names = list(measures or MEASURES)
        arrows = {"low": "↓", "high": "↑", "one": "→ 1"}
        lines = [
            "| variant | " + " | ".join(f"{name} {arrows[MEASURES[name].best]}" for name in names) + " |",
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
            "photo": self.photo,
            "card": {**self.card, "runs": len(self.runs), "seconds_of_all_runs": round(self.seconds, 1)},
            "rows": {v: {m: asdict(cell) for m, cell in row.items()} for v, row in self.rows.items()},
            "references": self.references,
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


def read_result(path: Path) -> AblationResult:
    """Read a JSON file of `AblationResult.to_json`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        runs = tuple(Run(r["variant"], int(r["seed"]), float(r["seconds"]), _numbers(r["values"]))
                     for r in content["runs"])  # fmt: skip
        references = {name: _numbers(values) for name, values in content["references"].items()}
        return AblationResult(
            str(content["photo"]), content["config"], content["bases"], runs, references, content["card"]
        )
    except FileNotFoundError as error:
        raise AblationError(f"There is no ablation at {path}; make one with `python -m lib ablate`.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AblationError(f"{path} is no ablation ({error}); make it again with `python -m lib ablate`.") from error


def _mean_and_spread(values: list[float]) -> tuple[float, float]:
    known = [value for value in values if not math.isnan(value)]
    mean = statistics.fmean(known) if known else math.nan
    return mean, statistics.stdev(known) if len(known) > 1 else math.nan


def _distance(measure: str, value: float) -> float:
    """How far a value is from the best one, in a scale in which more is worse."""
    best = MEASURES[measure].best
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
