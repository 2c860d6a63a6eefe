"""``python -m lib ablate maskface``: what each part of ours is worth.

``all`` has all the terms of the abstract, without anything of ours, and an S as slow as StarGAN v2's; in ``all, quick
S`` it learns half as fast as G. ``ours`` is the profile as it is; the variants after it lack one part each. Who needs
whom among the abstract's terms, where faces form: `lib.games.maskface_terms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from lib.data.worlds.world import Batch
from lib.games.maskface import MaskFaceConfig, build_maskface
from lib.games.maskface_measures import EDITS, Judges, measure
from lib.games.maskface_train import MASKS, held_out_faces, train_maskface
from lib.games.study import Best, Study, StudyProgress, chosen_variants, continued, run_study
from lib.games.study_command import StudyCommand
from lib.losses.diversity import energy_distance
from lib.metrics.reader import load_reader
from lib.metrics.segmentation_score import load_parser
from lib.nn.maskface import FaceModel
from lib.runtime import Runtime, seeded

__all__ = [
    "BARE",
    "BASES",
    "MEASURES",
    "OURS",
    "PARTS",
    "VARIANTS",
    "MaskFaceStudyCommand",
    "Plan",
    "code_gap",
    "conduct",
    "main",
    "study_maskface",
    "verdicts",
]

OURS = "ours"
BARE: Mapping[str, Any] = {"rebuild": 0.0, "follow": 0.0, "flat": False, "s_lr": 0.01}
"""Nothing of ours in the losses, no flat colours, and S as slow as StarGAN v2's."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "all": BARE,
    "all, quick S": {name: value for name, value in BARE.items() if name != "s_lr"},
    OURS: {},
    "no follow": {"follow": 0.0},
    "no follow, slow S": {"follow": 0.0, "s_lr": 0.01},  # as slow as in StarGAN v2
    "no flat": {"flat": False},
    "no rebuild": {"rebuild": 0.0, "follow": 0.0},  # without true codes there is nothing to follow
}
"""Variant -> changes of the config."""

BASES = {name: OURS for name in VARIANTS if name != OURS} | {"all, quick S": "all"}
MEASURES: Mapping[str, Best] = {
    "fid": "low", "variety": "one", "miou": "high", "style": "low", "spoiled": "low", "codes": "low", "hit": "high",
    "leak": "low", "swap": "high",
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What a study of this game trains.

    Attributes:
        name: of the study.
        variants: name -> changes of the config.
        bases: name -> the variant that it is compared with.
    """

    name: str
    variants: Mapping[str, Mapping[str, Any]]
    bases: Mapping[str, str]


PARTS = Plan("maskface", VARIANTS, BASES)

Look = Callable[[str, int, FaceModel, Batch], object]
"""Called with variant, seed, the trained model and the test faces."""


@dataclass(frozen=True, kw_only=True)
class MaskFaceStudyCommand(StudyCommand):
    """Train the four networks with the abstract's terms alone, as we do, and without each part of ours; measure."""

    seeds: tuple[int, ...] = (0, 1)
    """one training of each variant for each seed"""
    rounds: int | None = None
    """rounds of each training; default: the profile's"""
    faces: int = 128
    """test faces for the measures"""

    def settings(self) -> MaskFaceConfig:
        """What every variant changes."""
        chosen = MaskFaceConfig.full() if self.full else MaskFaceConfig.quick()
        return replace(chosen, rounds=self.rounds or chosen.rounds)


def main(config: MaskFaceStudyCommand) -> int:
    """Run the command."""
    return conduct(config, PARTS, "maskface")


def conduct(config: MaskFaceStudyCommand, plan: Plan, word: str, *, look: Look | None = None) -> int:
    """Run ``python -m lib ablate WORD``."""
    chosen, runtime, known = config.settings(), Runtime.detect(config.device), config.known()
    judges = Judges(load_parser("faces"), load_reader("faces"))
    command = config.shell(word, "--rounds", str(chosen.rounds), "--faces", str(config.faces))

    def run(report: Callable[[StudyProgress], object]) -> Study:
        return study_maskface(
            chosen, judges, plan=plan, seeds=config.seeds, variants=config.variants, faces=config.faces, known=known,
            command=command, runtime=runtime, on_progress=report, look=look,
        )  # fmt: skip

    return config.conduct(run)


def study_maskface(
    config: MaskFaceConfig, judges: Judges, *, plan: Plan = PARTS, seeds: Sequence[int] = (0, 1),
    variants: Sequence[str] = (), faces: int = 128, known: Study | None = None, command: str = "",
    runtime: Runtime | None = None, on_progress: Callable[[StudyProgress], object] | None = None,
    look: Look | None = None,
) -> Study:  # fmt: skip
    """Train and measure every variant with every seed, always on `faces` test faces.

    Raises:
        StudyError: there is no such variant, or ``known`` is of another config.
    """
    chosen = chosen_variants(variants, plan.variants)
    runtime = runtime or Runtime.detect()
    asked, others = (held_out_faces(config, faces, seed=seed) for seed in (0, 1))

    def judged(model: FaceModel) -> tuple[dict[str, float], dict[str, float]]:
        return verdicts(model.cpu().eval(), asked, others, judges, always=config.always)

    def train_and_measure(variant: str, seed: int) -> dict[str, float] | None:
        model, history = train_maskface(replace(config, **plan.variants[variant]), seed=seed, runtime=runtime)
        if history.interrupted:
            return None
        if look is not None:
            look(variant, seed, model.cpu(), asked)
        return judged(model)[0]

    untrained, truth = judged(build_maskface(MASKS.channels, config).model)
    study = Study(
        plan.name, asdict(config) | {"faces": faces}, MEASURES, plan.bases,
        references={"truth": truth, "untrained": untrained},
    )  # fmt: skip
    return run_study(
        continued(study, known), chosen, seeds, train_and_measure, runtime=runtime,
        command=command, on_progress=on_progress,
    )  # fmt: skip


def verdicts(
    model: FaceModel, faces: Batch, others: Batch, judges: Judges, *, always: Mapping[str, str] | None = None
) -> tuple[dict[str, float], dict[str, float]]:
    """The measures of the table, and their values for true pictures.

    ``variety`` is the diversity over ten styles of a mask, over the world's own. ``style`` is the error of R over that
    of the best constant answer, ``spoiled`` the same after faint noise. ``codes`` is the energy distance between S's
    codes and those of true faces, over the mean distance between two true ones. ``hit`` and ``leak`` are means over
    the edits.

    Args:
        model, faces, others, judges, always: see `lib.games.maskface_measures.measure`.
    """
    scores = measure(model, faces, others, judges, always=always)
    fid = min(key for key in scores if key.startswith("fid/random"))
    floor = fid.replace("fid/", "floor/")

    def misread(key: str) -> float:
        return scores[f"style/{key}"] / scores["style/guess"]

    def edits(key: str) -> float:
        return fmean(scores[f"edit/{name}/{key}"] for name in EDITS)

    row = {
        "fid": scores[fid], "variety": scores["diversity"] / scores["diversity/truth"], "miou": scores["mask/miou"],
        "style": misread("error"), "spoiled": misread("noisy"), "codes": code_gap(model, faces["image"]),
        "hit": edits("hit"), "leak": edits("leak"), "swap": scores["swap/hair"],
    }  # fmt: skip
    truth = {
        "fid": scores[floor], "variety": 1.0, "miou": scores["mask/truth/miou"], "hit": edits("hit/truth"),
        "leak": edits("leak/truth"), "swap": scores["swap/hair/truth"],
    }  # fmt: skip
    return row, truth


@torch.no_grad()
def code_gap(model: FaceModel, image: Tensor, *, seed: int = 0) -> float:
    """Energy distance between S's codes and R's of true faces, over the mean distance between two true ones.

    0: random styles lie where true faces do. The ratio does not change with the scale of the codes.
    """
    found = model.R(image)
    drawn = model.S(model.draw(len(image), seeded(seed), image.device))
    between = torch.nn.functional.pdist(found).mean().clamp(min=1e-9)
    return float(energy_distance(drawn, found) / between)
