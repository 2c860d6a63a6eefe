"""``python -m lib evaluate analogy``: every competitor on the same pictures and layouts, one table.

A comparison is a `Study` whose variants are the competitors and whose "seeds" are the *cases*: photo or scene number 0,
1, 2 … So the spread of a cell is the spread over pictures, and an effect is a paired difference over pictures.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lib.baselines.cases import Case, photo_case, scene_case, scene_names
from lib.baselines.inputs import PaintError
from lib.baselines.painters import PAINTERS
from lib.data.photos import photo_names
from lib.games.partner_measures import partner_features, partner_scores
from lib.games.study import Best, Study, chosen_variants, continued, run_study
from lib.games.study_command import RecordedCommand
from lib.images import contact_sheet, read_image, write_png
from lib.labelmaps import LabelMap
from lib.metrics.layout import Judge, PatchJudge, ceiling, layout_scores
from lib.metrics.segmenter import SegmenterJudge
from lib.metrics.table import evaluate
from lib.runtime import RunCard, Runtime, seeded

__all__ = [
    "CASES", "MEASURES", "TRUE_MEASURES", "ComparisonCommand", "compare", "judges_of", "main", "measure_case",
    "write_sheet",
]  # fmt: skip

MEASURES: Mapping[str, Best] = {
    "accuracy/patches": "high", "accuracy/segmenter": "high", "miou/patches": "high", "miou/segmenter": "high",
    "coherence@1": "low", "coherence@2": "low", "coherence@4": "low",
    "completeness@1": "low", "completeness@2": "low", "completeness@4": "low",
    "sifid/random-conv": "low", "sifid/patch-pca": "low", "colour_frechet": "low",
    "sharpness": "one", "checkerboard": "one", "seconds": "low",
}  # fmt: skip
"""Measure -> its best value; see `lib.metrics.table.evaluate`. ``seconds``: of painting, for each target, and
of training where no shipped model of the picture was loaded."""
TRUE_MEASURES: Mapping[str, Best] = {"psnr": "high", "strangeness": "low", "contours": "high"}
"""Against the true picture, scenes only; see `lib.games.partner_measures.partner_scores`."""

Kind = Literal["photos", "scenes"]
CASES: dict[Kind, tuple[str, ...]] = {"photos": photo_names(), "scenes": scene_names()}
"""Kind -> names of its cases; a case's number in a study is its place here."""


@dataclass(frozen=True, kw_only=True)
class ComparisonCommand(RecordedCommand):
    """Let every competitor paint the same layouts and measure them all."""

    kind: Kind = "photos"
    """photos: the bundled ones with their layouts; scenes: rendered ones whose true answer is known"""
    cases: tuple[str, ...] = ()
    """default: all of the kind"""
    methods: tuple[str, ...] = ()
    """default: all competitors"""
    pictures: Path | None = None
    """also write every picture to this folder, and a sheet for each case"""


def main(config: ComparisonCommand) -> int:
    """Run the command."""
    runtime = Runtime.detect(config.device)
    methods = chosen_variants(config.methods, PAINTERS)
    names = chosen_variants(config.cases, CASES[config.kind])
    numbers = [CASES[config.kind].index(name) for name in names]
    known = config.known()
    study = continued(compare(config.kind, known), known)
    command = f"python -m lib evaluate analogy --kind {config.kind} --out {config.out.name}"
    status = config.conduct(
        lambda report: run_study(
            study, methods, numbers, lambda method, number: _measured(config, method, number, runtime),
            runtime=runtime, command=command, on_progress=report,
        )
    )  # fmt: skip
    if config.pictures is not None:
        for name in names:
            write_sheet(_case(config.kind, name), config.pictures / config.kind / name)
    return status


def compare(kind: Kind, known: Study | None = None) -> Study:
    """An empty comparison: its measures, what is compared with what, and the ceilings of the judges.

    Args:
        kind: of the cases.
        known: an earlier one, whose ceilings need not be measured again.
    """
    measures = {**MEASURES, **(TRUE_MEASURES if kind == "scenes" else {})}
    bases = {name: "ours" for name in PAINTERS if name != "ours"}
    if known is None:
        tops = [_ceiling(_case(kind, name)) for name in CASES[kind]]
        references: Mapping[str, Mapping[str, float]] = {
            "ceiling": {name: math.fsum(row[name] for row in tops) / len(tops) for name in tops[0]}
        }
    else:
        references = known.references
    return Study(f"analogy/{kind}", {"cases": list(CASES[kind])}, measures, bases, references=references)


def measure_case(case: Case, pictures: Mapping[str, Tensor], seconds: float) -> dict[str, float]:
    """Means over the targets of one case of everything in `MEASURES`, and in `TRUE_MEASURES` where truths are known.

    Args:
        case: what was asked for.
        pictures: target -> (3, H, W) in [-1, 1].
        seconds: what all of them took together.

    Raises:
        PaintError: a picture is missing, or has another size than its layout.
    """
    for name, target in case.targets.items():
        shape = tuple(pictures[name].shape) if name in pictures else None
        if shape != (3, target.height, target.width):
            raise PaintError(
                f"{case.name!r}, {name!r}: the picture is {shape}, not (3, {target.height}, {target.width})."
            )
    judges = judges_of(case)
    cpu = {name: picture.float().clamp(-1, 1).cpu() for name, picture in pictures.items()}
    rows = [evaluate(cpu[name], target, case.image, case.layout, judges) for name, target in case.targets.items()]
    values = {name: _mean_of_known([row[name] for row in rows]) for name in MEASURES if name != "seconds"}
    values["seconds"] = seconds / len(rows)
    if case.truths:
        made, true = (torch.stack([side[name] for name in case.truths]) for side in (cpu, case.truths))
        values |= partner_scores(made, true, partner_features())
    return values


@functools.lru_cache(maxsize=16)  # one case after the other asks for them, method by method
def judges_of(case: Case) -> dict[str, Judge]:
    """Two judges of layouts that took no part in any painting: one without weights, one network."""
    photo, layout = case.image[None], case.layout.one_hot()
    return {"patches": PatchJudge(photo, layout), "segmenter": SegmenterJudge.fit(photo, layout, generator=seeded(0))}


def write_sheet(case: Case, folder: Path) -> None:
    """One row of layouts, one of true pictures if they are known, one for each competitor whose pictures are there."""
    rows: dict[str, list[Tensor | LabelMap]] = {"layouts": [case.layout, *case.targets.values()]}
    if case.truths:
        rows["truth"] = [case.image, *case.truths.values()]
    for method in PAINTERS:
        files = [folder / method / f"{name}.png" for name in case.targets]
        if all(file.is_file() for file in files):
            rows[method] = [case.image, *(read_image(file) for file in files)]
    titles = [[name, *(case.targets if name == "layouts" else [""] * len(case.targets))] for name in rows]
    contact_sheet(list(rows.values()), titles=titles, scale=2).save(folder / "sheet.png")


def _mean_of_known(values: list[float]) -> float:
    """Without the NaN of a target whose classes are too small for a measure."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _measured(config: ComparisonCommand, method: str, number: int, runtime: Runtime) -> dict[str, float]:
    case = _case(config.kind, CASES[config.kind][number])
    with RunCard(f"{method} on {case.name}", seed=0, device=runtime.device, dtype=runtime.dtype) as card:
        pictures = PAINTERS[method](case, runtime)
    if config.pictures is not None:
        for name, picture in pictures.items():
            write_png(picture, config.pictures / config.kind / case.name / method / f"{name}.png")
    return measure_case(case, pictures, card.wall_seconds or 0.0)


@functools.lru_cache(maxsize=16)
def _case(kind: Kind, name: str) -> Case:
    return photo_case(name) if kind == "photos" else scene_case(name)


def _ceiling(case: Case) -> dict[str, float]:
    """What the judges reach on real pixels: warped views of a photo, the true pictures of a scene."""
    row: dict[str, float] = {}
    for name, judge in judges_of(case).items():
        if case.truths:
            asked = torch.cat([target.one_hot() for target in case.targets.values()])
            scores = layout_scores(judge.predict(torch.stack(list(case.truths.values()))), asked)
        else:
            scores = ceiling(judge, case.image[None], case.layout.one_hot(), generator=seeded(0))
        row |= {f"accuracy/{name}": scores.accuracy, f"miou/{name}": scores.miou}
    return row
