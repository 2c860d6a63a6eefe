"""``python -m lib ablate srgan``: the rows of the paper's table 1, and what keeps a short adversarial training sound.

Every run begins with a SRResNet and goes on for the same number of rounds with another loss; SRResNet-MSE goes on with
its own. The rows have the paper's losses; the weight of l_Gen and what steadies a short training (R1, a D that begins
earlier, the average of G's weights) are the same in all of them. ``ours`` is the profile's second stage; the rows below
it change one thing. "cold start" begins from random weights and gets the rounds of both stages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lib.data.super_resolution import PhotoSet
from lib.games.photo_features_train import content_features, load_photo_features
from lib.games.srgan import TABLE_1, SRGANConfig
from lib.games.srgan_measures import enlarged, sr_scores, sr_table
from lib.games.srgan_train import held_out_photos, train_srgan, train_srresnet
from lib.games.study import Best, Study, StudyProgress, chosen_variants, continued, run_study
from lib.games.study_command import StudyCommand
from lib.nn.photo_features import PhotoFeatures
from lib.nn.srresnet import SRResNet
from lib.runtime import Runtime

__all__ = ["BASES", "MEASURES", "OURS", "VARIANTS", "SRGANStudyCommand", "main", "study_srgan"]

OURS = "ours"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    **{row: {"row": row} for row in TABLE_1},
    OURS: {},
    "cold start": {"start": False},
    "shuffle": {"upsampling": "shuffle"},
    "icnr": {"upsampling": "icnr"},
}
"""Variant -> changes of the config; ``row``: the losses of a row of table 1; ``start``: whether there is a warm one."""

BASES = {name: OURS for name in VARIANTS if name not in (OURS, *TABLE_1)} | {
    row: "SRResNet-MSE" for row in TABLE_1 if row != "SRResNet-MSE"
}
MEASURES: Mapping[str, Best] = {
    "psnr/y": "high", "ssim/y": "high", "distance": "low", "patch_fid": "low", "sharpness": "one", "agreement": "high",
    "grid": "low",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SRGANStudyCommand(StudyCommand):
    """Train the second stage with each loss of the paper's table 1 and without each part of ours; measure."""

    seeds: tuple[int, ...] = (0, 1)
    """one training of each variant for each seed"""
    rounds: int | None = None
    """rounds of the first stage; default: the profile's"""
    gan_rounds: int | None = None
    """rounds of the second stage; default: the profile's"""

    def settings(self) -> SRGANConfig:
        """What every variant changes."""
        chosen = SRGANConfig.full() if self.full else SRGANConfig.quick()
        return replace(
            chosen, rounds=self.rounds or chosen.rounds, gan_rounds=self.gan_rounds or chosen.gan_rounds
        )  # fmt: skip


def main(config: SRGANStudyCommand) -> int:
    """Run the command."""
    chosen, runtime, known = config.settings(), Runtime.detect(config.device), config.known()
    phi = load_photo_features() if chosen.features == "photos" else None
    command = config.shell("srgan", "--rounds", str(chosen.rounds), "--gan-rounds", str(chosen.gan_rounds))

    def run(report: Callable[[StudyProgress], object]) -> Study:
        return study_srgan(
            chosen, phi, seeds=config.seeds, variants=config.variants, known=known, command=command, runtime=runtime,
            on_progress=report,
        )  # fmt: skip

    return config.conduct(run)


def study_srgan(
    config: SRGANConfig, phi: PhotoFeatures | None, *, seeds: Sequence[int] = (0, 1), variants: Sequence[str] = (),
    known: Study | None = None, command: str = "", runtime: Runtime | None = None,
    on_progress: Callable[[StudyProgress], object] | None = None,
) -> Study:  # fmt: skip
    """Train and measure every variant with every seed.

    Args:
        phi: the book's features; None takes VGG-19's, which must be on disk.

    Raises:
        StudyError: there is no such variant.
    """
    chosen = chosen_variants(variants, VARIANTS)
    runtime, samples = runtime or Runtime.detect(), held_out_photos(config)
    references = {
        name: {measure: row[measure] for measure in MEASURES if measure in row}
        for name, row in sr_table({}, samples, factor=config.factor).items()
    }
    study = Study("srgan", asdict(config), MEASURES, BASES, references=references)
    return run_study(
        continued(study, known), chosen, seeds, _School(config, phi, samples, runtime),
        runtime=runtime, command=command, on_progress=on_progress,
    )  # fmt: skip


class _School:
    """Trains and measures one variant; a SRResNet is trained once for each seed and upsampling."""

    def __init__(
        self, config: SRGANConfig, phi: PhotoFeatures | None, samples: PhotoSet, runtime: Runtime
    ) -> None:  # fmt: skip
        self.config, self.phi, self.samples, self.runtime = config, phi, samples, runtime
        self.begun: dict[tuple[int, str], SRResNet] = {}

    def __call__(self, variant: str, seed: int) -> dict[str, float]:
        changes = dict(VARIANTS[variant])
        config, warm = self.config, changes.pop("start", True)
        if "row" in changes:  # no loss beside those of the paper
            config = replace(config, pixel=0.0, tv=0.0).row(changes.pop("row"))
        config = replace(config, **changes)
        if not warm:
            config = replace(config, gan_rounds=config.rounds + config.gan_rounds)
        phi = None if config.content == "mse" else content_features(config.content, self.phi)
        if phi is not None:
            self.runtime.place(phi)
        start = self.start(config, seed) if warm else None
        G, _ = train_srgan(config, start, phi, seed=seed, runtime=self.runtime)
        scores = sr_scores(enlarged(G, self.samples), self.samples, factor=config.factor)
        return {name: scores[name] for name in MEASURES}

    def start(self, config: SRGANConfig, seed: int) -> SRResNet:
        """The SRResNet of this seed and upsampling."""
        key = seed, config.upsampling
        if key not in self.begun:
            self.begun[key] = train_srresnet(config, seed=seed, runtime=self.runtime)[0]
        return self.begun[key]
