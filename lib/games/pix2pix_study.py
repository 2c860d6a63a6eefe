"""``python -m lib ablate pix2pix``: the paper's tables on our façades. Which loss, which patch, which generator?

table 1    L1, GAN, cGAN, L1+GAN, L1+cGAN; and L2, for the difference between a median and a mean
table 2    L1+cGAN with a D that sees 1, 16, 34 or 70 px of the picture's 64. The paper's 1, 16, 70 and 286 px of 256
           are a pixel, 1/16, 1/4 and all of the side; ours are a pixel, 1/4, 1/2 and all of it
table 3    U-Net or encoder-decoder, and no noise
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lib.data.conditions import Condition
from lib.games.pix2pix import LOSS_ABLATION, Pix2PixConfig
from lib.games.pix2pix_measures import blurred, competitors, d_accuracy, picture_scores
from lib.games.pix2pix_train import condition_of, held_out_pairs, play_pix2pix, pool_stream, training_pool, untrained
from lib.games.study import Best, Study, StudyProgress, chosen_variants, continued, run_study
from lib.games.study_command import StudyCommand
from lib.games.translator import Translator
from lib.metrics.features import RandomConvFeatures
from lib.metrics.segmentation_score import SceneParser, load_parser
from lib.runtime import Runtime

__all__ = ["MEASURES", "VARIANTS", "Pix2PixStudyCommand", "main", "reference_scores", "run_pix2pix_study"]

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    **LOSS_ABLATION,
    "L2": {"gan": 0.0, "distance": "l2"},
    "patch 1": {"patch": 1},
    "patch 16": {"patch": 16},
    "patch 70": {"patch": 70},
    "no skips, L1": {"skips": False, "gan": 0.0},
    "no skips, L1+cGAN": {"skips": False},
    "no noise": {"noise": False},
}
"""Row -> what it changes in the base, L1+cGAN with a D of 34 px."""

BASES = {name: "no skips, L1+cGAN" if name == "no skips, L1" else "L1+cGAN" for name in VARIANTS if name != "L1+cGAN"}

MEASURES: Mapping[str, Best] = {
    "fcn/pixel": "high", "fcn/class": "high", "fcn/miou": "high", "l1": "low", "psnr": "high", "sharpness": "one",
    "kid": "low", "d_accuracy": "low",
}  # fmt: skip
"""``kid`` is measured in random-conv-0; ``d_accuracy`` is the share of held-out patches that D calls rightly."""

BLURS = (1.0, 2.0)  # px, of true pictures, to see what the measures make of blur


@dataclass(frozen=True, kw_only=True)
class Pix2PixStudyCommand(StudyCommand):
    """Train pix2pix on façades in every variant of the paper's tables, and measure.

    The file --out is written after each run. If it exists, its runs are kept and only the others are made.
    """

    rounds: int | None = None
    """rounds of each training; default: that of the profile"""
    pairs: int = 128
    """held-out pairs for the measures"""

    def settings(self) -> Pix2PixConfig:
        """The base of all variants."""
        chosen = Pix2PixConfig.full(pool=400) if self.full else Pix2PixConfig.quick(rounds=350)
        return replace(chosen, rounds=self.rounds or chosen.rounds)


def main(config: Pix2PixStudyCommand) -> int:
    """Run the command."""
    settings = config.settings()
    command = config.shell("pix2pix", "--rounds", str(settings.rounds), "--pairs", str(config.pairs))
    known, runtime = config.known(), Runtime.detect(config.device)
    return config.conduct(
        lambda report: run_pix2pix_study(
            settings, seeds=config.seeds, variants=config.variants, pairs=config.pairs, known=known, command=command,
            runtime=runtime, on_progress=report,
        )
    )  # fmt: skip


def run_pix2pix_study(
    config: Pix2PixConfig, *, seeds: Sequence[int] = (0, 1, 2), variants: Sequence[str] = (), pairs: int = 128,
    known: Study | None = None, command: str = "", runtime: Runtime | None = None,
    on_progress: Callable[[StudyProgress], object] | None = None,
) -> Study:  # fmt: skip
    """Train and measure each variant with each seed; variants of one seed learn from the same pictures.

    Raises:
        StudyError: there is no such variant, or ``known`` is of another config.
    """
    chosen = chosen_variants(variants, VARIANTS)
    runtime = runtime or Runtime.detect()
    bench = _Bench(config, runtime, load_parser(config.data), held_out_pairs(config, pairs))
    study = continued(
        Study(f"pix2pix on {config.data}", asdict(config) | {"pairs": pairs}, MEASURES, BASES,
              references=reference_scores(config, bench.pairs, bench.parser)),
        known,
    )  # fmt: skip
    return run_study(study, chosen, seeds, bench, runtime=runtime, command=command, on_progress=on_progress)


def reference_scores(
    config: Pix2PixConfig, pairs: Mapping[str, Tensor], parser: SceneParser
) -> dict[str, dict[str, float]]:
    """The scores of the truth, of the blurred truth, and of what needs no network."""
    truth, features = pairs["image"], RandomConvFeatures()
    rows = {"truth": truth} | {f"truth, blurred {sigma:g} px": blurred(truth, sigma) for sigma in BLURS}
    rows |= competitors(training_pool(config), pairs, condition_of(config).channels)
    return {name: picture_scores(pictures, pairs, parser, features) for name, pictures in rows.items()}


class _Bench:
    """Trains and measures one variant with one seed; the pictures of a seed are drawn once."""

    def __init__(
        self, config: Pix2PixConfig, runtime: Runtime, parser: SceneParser, pairs: Mapping[str, Tensor]
    ) -> None:
        self.config, self.runtime, self.parser, self.pairs = config, runtime, parser, dict(pairs)
        self.condition: Condition = condition_of(config)
        self.features = RandomConvFeatures()
        self.pool: tuple[int, dict[str, Tensor]] = (-1, {})

    def __call__(self, variant: str, seed: int) -> dict[str, float] | None:
        if self.pool[0] != seed:
            self.pool = seed, training_pool(self.config, seed=seed, device=self.runtime.device)
        config = replace(self.config, **VARIANTS[variant])
        game = untrained(config, seed=seed, runtime=self.runtime)
        history = play_pix2pix(game, pool_stream(config, self.pool[1], seed=seed), runtime=self.runtime)
        if history.interrupted:
            return None
        held_out = {name: tensor.to(self.runtime.device) for name, tensor in self.pairs.items()}
        accuracy = {"d_accuracy": d_accuracy(game, held_out)} if config.gan else {}
        translator = Translator(game.G, self.condition, noisy=config.noise, runtime=self.runtime)
        fake = [translator.paint(x) for x in held_out["condition"].split(32)]
        return picture_scores(torch.cat(fake), held_out, self.parser, self.features) | accuracy
