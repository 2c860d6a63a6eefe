"""``python -m lib ablate cyclegan``: which term of CycleGAN moves which number, beside pairs and trivial competitors.

Every variant trains the same networks from the same weights on the same number of pictures. The world's true pairs
are used by ``pairs`` alone, and to measure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from lib.data.unpaired_worlds import PairedPool, UnpairedPool, facade_domains, true_pairs
from lib.games.cyclegan import CycleGAN, CycleGANConfig, PairedCycleGAN
from lib.games.cyclegan_measures import measure, references
from lib.games.cyclegan_train import train_cyclegan
from lib.games.study import Best, Study, StudyProgress, chosen_variants, continued, run_study
from lib.games.study_command import StudyCommand
from lib.metrics.segmentation_score import SceneParser, load_parser
from lib.runtime import Runtime
from lib.training.streams import Stream

__all__ = ["BASES", "MEASURES", "PAIRS", "VARIANTS", "CycleGANStudyCommand", "main", "study_cyclegan"]

PAIRS = "with pairs"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "CycleGAN": {},
    "GAN alone": {"forward_cycle": 0.0, "backward_cycle": 0.0},
    "GAN + forward": {"backward_cycle": 0.0},
    "GAN + backward": {"forward_cycle": 0.0},
    "cycle alone": {"gan": 0.0},
    "with identity": {"identity": 5.0},
    "no buffer": {"buffer": 0},
    PAIRS: {},
}
"""Variant -> changes of the config. The last is the upper bound: distance to the partner in place of the cycles."""

BASES = {name: "CycleGAN" for name in VARIANTS if name != "CycleGAN"}
MEASURES: dict[str, Best] = {
    "psnr/there": "high", "psnr/back": "high", "miou/there": "high", "miou/back": "high", "lit/there": "high",
    "lit/back": "low", "kid/there": "low", "kid/back": "low", "cycle/there": "low", "cycle/back": "low",
    "lamps/rebuilt": "high", "lamps/honest": "high",
}  # fmt: skip
POOL, TEST = 400, 64  # pictures to learn from, and true pairs to measure on


@dataclass(frozen=True, kw_only=True)
class CycleGANStudyCommand(StudyCommand):
    """Train CycleGAN without one term after the other, by day and by night; measure with the true partners."""

    rounds: int | None = None
    """rounds of each training; default: the profile's"""


def main(config: CycleGANStudyCommand) -> int:
    """Run the command."""
    chosen = CycleGANConfig.full() if config.full else CycleGANConfig.quick()
    chosen = replace(chosen, rounds=config.rounds or chosen.rounds)
    runtime, known, parser = Runtime.detect(config.device), config.known(), load_parser("facades")
    command = config.shell("cyclegan", "--rounds", str(chosen.rounds))

    def run(report: Callable[[StudyProgress], object]) -> Study:
        return study_cyclegan(
            chosen, config.variants or tuple(VARIANTS), config.seeds, parser, runtime=runtime, known=known,
            command=command, on_progress=report,
        )  # fmt: skip

    return config.conduct(run)


def study_cyclegan(
    config: CycleGANConfig, variants: Sequence[str], seeds: Sequence[int], parser: SceneParser, *, runtime: Runtime,
    known: Study | None = None, command: str = "", pool: int = POOL, test: int = TEST,
    on_progress: Callable[[StudyProgress], object] | None = None,
) -> Study:  # fmt: skip
    """Train and measure every variant with every seed; the seed is of the weights, the layouts and the order.

    Args:
        pool: pictures to learn from, half of them in each domain.
        test: true pairs to measure on.

    Raises:
        StudyError: an unknown variant.
    """
    chosen = chosen_variants(variants, VARIANTS)
    lab = _Lab(config, parser, runtime, pool, test)
    facts = asdict(config) | {"pool": pool, "test": test}
    study = Study("cyclegan night", facts, MEASURES, BASES, references=lab.references())
    return run_study(
        continued(study, known), chosen, seeds, lab.train_and_measure, runtime=runtime, command=command,
        on_progress=on_progress,
    )  # fmt: skip


class _Lab:
    """The pictures of a study, and one training with its measures."""

    def __init__(self, config: CycleGANConfig, parser: SceneParser, runtime: Runtime, pool: int, test: int) -> None:
        self.config, self.parser, self.runtime, self.pool = config, parser, runtime, pool
        self.domains = facade_domains("night")
        self.held_out = true_pairs(self.domains, test, config.size)
        self._drawn: tuple[int, bool, Stream] | None = None

    def references(self) -> dict[str, dict[str, float]]:
        """The trivial competitors know the colours of unpaired pictures of the training."""
        count = len(self.held_out["A"])
        unpaired = UnpairedPool(self.domains, count=2 * count, size=self.config.size, batch=count)
        return references(self.held_out, unpaired.draw(), self.parser)

    def train_and_measure(self, variant: str, seed: int) -> dict[str, float] | None:
        rules = replace(self.config, **VARIANTS[variant])
        kind = PairedCycleGAN if variant == PAIRS else CycleGAN
        stream = self._stream(seed, paired=variant == PAIRS)
        trained = train_cyclegan(rules, stream, seed=seed, runtime=self.runtime, kind=kind)
        if trained.history.interrupted:
            return None
        scores = measure(trained.there.paint, trained.back.paint, self.held_out, self.parser)
        return {name: scores[name] for name in MEASURES}

    def _stream(self, seed: int, *, paired: bool) -> Stream:
        """Always from its beginning; drawn once for all variants of a seed, for that takes as long as many rounds."""
        if self._drawn is None or self._drawn[:2] != (seed, paired):
            kind = PairedPool if paired else UnpairedPool
            drawn = kind(
                self.domains, count=self.pool, size=self.config.size, batch=self.config.batch, seed=seed,
                device=self.runtime.device,
            )  # fmt: skip
            self._drawn = (seed, paired, drawn)
        stream = self._drawn[2]
        stream.load_state_dict({"generator": torch.Generator().manual_seed(seed).get_state()})
        return stream
