"""``python -m lib ablate diat``: how far, and where to? What lambda, phi, l_smooth and E each move, with known answers.

Every variant trains the chapter's live game with one thing changed. A witness who took no part in any training says
who it is, a reader what it shows, and the world what it should look like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lib.data.face_sets import FaceSets, before_and_after
from lib.data.worlds.world import Batch
from lib.games import diat
from lib.games.diat import DIATConfig
from lib.games.diat_train import load_denoiser, phi_maps, scored, train_enhancement, train_transform
from lib.games.study import Best, Study, StudyProgress, chosen_variants, continued, run_study
from lib.games.study_command import StudyCommand
from lib.metrics.identity import FaceIdentifier, load_identifier
from lib.metrics.reader import AttributeReader, load_reader
from lib.nn.denoiser import Denoiser
from lib.nn.diat import TransformNetwork
from lib.runtime import Runtime

__all__ = [
    "BASES",
    "MEASURES",
    "SWEEP",
    "SWEEP_A",
    "VARIANTS",
    "DIATStudyCommand",
    "School",
    "main",
    "reference_rows",
    "study_diat",
]

BASE = "DIAT"
SWEEP: Mapping[str, float] = {"lambda x 1/4": 0.25, "lambda x 4": 4.0, "lambda x 16": 16.0}
"""Variant -> factor on the base's lambda."""
SWEEP_A: Mapping[str, float] = {f"DIAT-A, {name}": factor for name, factor in SWEEP.items()}
"""The same for DIAT-A."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    BASE: {},
    "no identity": diat.VARIANTS["no identity"],
    **{name: {} for name in SWEEP},
    **{name: diat.VARIANTS[name] for name in ("DIAT-A", "DIAT-A, as printed")},
    **{name: diat.VARIANTS["DIAT-A"] for name in SWEEP_A},
    "a price of changes": {"spare": 5.0},
    "x among D's fakes": {"own": 0.5},
    "plain doublings, no smoothing": {"smooth_up": False, "gamma": 0.0},
    "plain doublings, denoiser": {"smooth_up": False},
    "plain doublings, total variation": {"smooth_up": False, "smooth": "tv", "gamma": 3.0},
    "paints anew": {"output": "picture"},
    "paints anew, no identity": {"output": "picture", "features": "none"},
    "paints anew, longer E": {"output": "picture", "e_rounds": 600},
}
"""Variant -> what it changes in the config."""

BASES = {name: BASE for name in VARIANTS if name != BASE} | {
    **{name: "DIAT-A" for name in ("DIAT-A, as printed", *SWEEP_A)},
    "plain doublings, denoiser": "plain doublings, no smoothing",
    "plain doublings, total variation": "plain doublings, no smoothing",
    **{name: "paints anew" for name in ("paints anew, no identity", "paints anew, longer E")},
}
MEASURES: Mapping[str, Best] = {
    "attribute": "high", "identity": "high", "rank1": "high", "psnr": "high", "artefacts": "low", "sharpness": "one",
    "psnr, enhanced": "high", "sharpness, enhanced": "one",
}  # fmt: skip
"""``identity`` is the witness's cosine to the original, ``sharpness`` that of the person, beside the true answer."""

TEST = 128  # held-out people


@dataclass(frozen=True, kw_only=True)
class DIATStudyCommand(StudyCommand):
    """Train DIAT with each lambda, feature and smoothing in turn; measure attribute, identity and picture."""

    seeds: tuple[int, ...] = (0, 1)
    """one training of each variant for each seed"""
    rounds: int | None = None
    """rounds of each training; default: the profile's"""


def main(config: DIATStudyCommand) -> int:
    """Run the command."""
    chosen = DIATConfig.full() if config.full else DIATConfig.quick()
    chosen = replace(chosen, rounds=config.rounds or chosen.rounds)
    runtime, known = Runtime.detect(config.device), config.known()
    command = config.shell("diat", "--rounds", str(chosen.rounds))
    phi, witness = (load_identifier(name) for name in ("faces", "faces_witness"))
    school = School(chosen, phi, witness, load_reader("faces"), load_denoiser(), runtime, TEST)

    def run(report: Callable[[StudyProgress], object]) -> Study:
        return study_diat(
            school, config.variants or tuple(VARIANTS), config.seeds, known=known, command=command, on_progress=report
        )

    return config.conduct(run)


@dataclass(frozen=True)
class School:
    """What all trainings share."""

    config: DIATConfig
    identifier: FaceIdentifier  # phi
    witness: FaceIdentifier
    reader: AttributeReader
    f: Denoiser
    runtime: Runtime
    test: int  # held-out people
    pools: dict[int, tuple[FaceSets, dict[str, Any]]] = field(default_factory=dict)  # by seed, with their first state
    answers: dict[str, Batch] = field(default_factory=dict)  # the held-out people, before and after

    def train_and_measure(self, variant: str, seed: int) -> dict[str, float]:
        """Both stages of one variant, on the pictures of this seed."""
        config = replace(self.config, **VARIANTS[variant])
        config = replace(config, identity={**SWEEP, **SWEEP_A}.get(variant, 1.0) * config.identity)
        stream = self.stream(seed)
        phi = phi_maps(config, self.identifier, stage="transform")
        game, _ = train_transform(config, stream, phi, self.f, seed=seed, runtime=self.runtime)
        early = phi_maps(config, self.identifier, stage="enhancement")
        assert isinstance(game.T, TransformNetwork)
        E, _ = train_enhancement(config, stream, game.T, early, seed=seed, runtime=self.runtime)
        before, _ = self.people()
        with torch.no_grad():
            soft = game.T.eval()(self.runtime.place(before["image"]))
            sharp = E.eval()(soft)
        rows = [self.row(picture.float().cpu().clamp(-1, 1)) for picture in (soft, sharp)]
        return rows[0] | {f"{name}, enhanced": rows[1][name] for name in ("psnr", "sharpness")}

    def stream(self, seed: int) -> FaceSets:
        """The pictures of this seed in their first order; they are rendered once."""
        if seed not in self.pools:
            c = self.config
            made = FaceSets(
                c.attribute, count=c.pool, size=c.size, batch=c.batch, seed=seed, device=self.runtime.device
            )  # fmt: skip
            self.pools[seed] = made, made.state_dict()
        stream, start = self.pools[seed]
        stream.load_state_dict(start)
        return stream

    def people(self) -> tuple[Batch, Batch]:
        """The held-out people, without and with the attribute; rendered once."""
        if not self.answers:
            pair = before_and_after(self.config.attribute, self.test, self.config.size)
            self.answers.update(zip(("before", "after"), pair, strict=True))
        return self.answers["before"], self.answers["after"]

    def row(self, picture: Tensor) -> dict[str, float]:
        """The measures of finished pictures of the held-out people."""
        before, after = self.people()
        scores = scored(
            picture, before, after, self.config.attribute.attribute, self.reader, self.witness, self.f.cpu()
        )
        chosen = {"identity": "identity/same", "rank1": "identity/rank1", "sharpness": "sharpness/person"}
        return {name: scores[chosen.get(name, name)] for name in MEASURES if "enhanced" not in name}


def reference_rows(school: School) -> dict[str, dict[str, float]]:
    """What needs no training: the originals, the true answers, and the true answer of somebody else."""
    before, after = school.people()
    pictures = {"copy": before["image"], "true answer": after["image"], "somebody else": after["image"].roll(1, 0)}
    return {name: school.row(picture) for name, picture in pictures.items()}


def study_diat(
    school: School, variants: Sequence[str], seeds: Sequence[int], *, known: Study | None = None, command: str = "",
    on_progress: Callable[[StudyProgress], object] | None = None,
) -> Study:  # fmt: skip
    """Train every variant with every seed.

    Raises:
        StudyError: there is no such variant.
    """
    chosen = chosen_variants(variants, VARIANTS)
    facts = asdict(school.config) | {"test": school.test}
    study = Study("diat", facts, MEASURES, BASES, references=reference_rows(school))
    return run_study(
        continued(study, known), chosen, seeds, school.train_and_measure, runtime=school.runtime, command=command,
        on_progress=on_progress,
    )  # fmt: skip
