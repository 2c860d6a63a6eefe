"""``python -m lib ablate stargan``: what each part of StarGAN moves, on hair colours whose true partners are known.

Every variant sees the same number of hair pictures, with networks of one size. ``CycleGAN per pair`` trains a pair of
generators, of StarGAN's make, for each of the six pairs of colours, and all of them together get StarGAN's time;
``one CycleGAN`` spends all of it on black and blond.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from lib.data.label_space import EXPRESSIONS, LOOKS, LabelSpace
from lib.data.unpaired_worlds import ParameterDomains, UnpairedPool
from lib.data.worlds.faces import Faces
from lib.games.cyclegan import CycleGAN, CycleGANConfig
from lib.games.stargan import StarGANConfig, label_sensitivity
from lib.games.stargan_measures import Change, always, changes, measure, references, worn
from lib.games.stargan_train import face_stream, train_stargan
from lib.games.study import Best, Study, StudyProgress, continued, run_study
from lib.games.study_command import StudyCommand
from lib.metrics.reader import AttributeReader, load_reader
from lib.nn.image_buffer import ImageBuffer
from lib.nn.stargan import LabelDiscriminator, LabelGenerator
from lib.runtime import Runtime, seeded
from lib.training.optim import OptimConfig
from lib.training.play import play

__all__ = ["BASES", "MEASURES", "VARIANTS", "StarGANStudyCommand", "main", "study_config", "study_stargan"]

HAIR = LOOKS[0]
BLACK_BLOND = (0, 1)
PAIRS = tuple(combinations(range(len(HAIR.values)), 2))
STARGAN = "StarGAN"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    STARGAN: {},
    "with expressions, too": {"sets": ((HAIR,), EXPRESSIONS)},
    "label as channels, zeros": {"conditioning": "concat"},
    "label as channels, reflected": {"conditioning": "concat", "padding": "reflect"},
    "no class loss": {"classes": 0.0},
    "no cycle": {"cycle": 0.0},
    "D is told the label": {"told": True},
    "CycleGAN per pair": {"pairs": PAIRS},
    "one CycleGAN": {"pairs": (BLACK_BLOND,)},
}  # fmt: skip
"""Variant -> changes of the config; other data sets; or the pairs of colours that get a CycleGAN each."""

BASES = {name: STARGAN for name in VARIANTS if name != STARGAN}
MEASURES: dict[str, Best] = {
    "wrong/hair": "low", "wrong/black-blond": "low", "psnr/hair": "high", "kept/hair": "high", "stranger/hair": "low",
    "sensitivity": "high",
}  # fmt: skip
POOL, TEST = 2000, 192  # people to learn from in each data set, and held-out people


@dataclass(frozen=True, kw_only=True)
class StarGANStudyCommand(StudyCommand):
    """Train StarGAN without one part after the other, and one CycleGAN for each pair; measure with true partners."""

    seeds: tuple[int, ...] = (0, 1)
    """one training of each variant for each seed"""
    rounds: int | None = None
    """rounds of each training; default: the profile's"""


def study_config(full: bool = False) -> StarGANConfig:
    """What the study trains: what the chapter trains live, in the quick profile."""
    return StarGANConfig.full() if full else StarGANConfig.quick()


def main(config: StarGANStudyCommand) -> int:
    """Run the command."""
    chosen = study_config(config.full)
    chosen = replace(chosen, rounds=config.rounds or chosen.rounds)
    runtime, known, reader = Runtime.detect(config.device), config.known(), load_reader("faces")
    command = config.shell("stargan", "--rounds", str(chosen.rounds))

    def run(report: Callable[[StudyProgress], object]) -> Study:
        return study_stargan(
            chosen, config.variants or tuple(VARIANTS), config.seeds, reader, runtime=runtime, known=known,
            command=command, on_progress=report,
        )  # fmt: skip

    return config.conduct(run)


def study_stargan(
    config: StarGANConfig, variants: Sequence[str], seeds: Sequence[int], reader: AttributeReader, *,
    runtime: Runtime, known: Study | None = None, command: str = "", pool: int = POOL, test: int = TEST,
    on_progress: Callable[[StudyProgress], object] | None = None,
) -> Study:  # fmt: skip
    """Train every variant with every seed.

    Raises:
        KeyError: there is no such variant.
    """
    task = changes(LabelSpace((HAIR,)), test, config.size)["hair"]
    rows = references(reader, {"hair": task})
    x, truth = task.before["image"], task.after["image"]
    pictures = (x, x.mean(dim=0, keepdim=True).expand_as(x), truth)
    for row, picture in zip(rows.values(), pictures, strict=True):
        row["wrong/black-blond"] = _wrong_pair(picture, task, reader)
    study = Study("stargan", {**asdict(config), "pool": pool, "test": test}, MEASURES, BASES, references=rows)
    school = _School(config, reader, runtime, pool, test)

    def train_and_measure(variant: str, seed: int) -> dict[str, float]:
        settings = dict(VARIANTS[variant])
        if "pairs" in settings:
            return school.cyclegans(settings["pairs"], seed)
        return school.stargan(settings.pop("sets", ((HAIR,),)), settings, seed)

    return run_study(
        continued(study, known), variants, seeds, train_and_measure, runtime=runtime, command=command,
        on_progress=on_progress,
    )  # fmt: skip


@dataclass(frozen=True)
class _School:
    """What all trainings share."""

    config: StarGANConfig
    reader: AttributeReader
    runtime: Runtime
    pool: int
    test: int

    def stargan(self, sets: Sequence[Any], settings: Mapping[str, Any], seed: int) -> dict[str, float]:
        """One StarGAN; with two data sets twice the rounds, so that hair comes as often."""
        space = LabelSpace(*sets)
        config = replace(
            self.config, rounds=len(sets) * self.config.rounds, warm=len(sets) * self.config.warm, **settings
        )
        stream = face_stream(space, config, pool=self.pool, seed=seed, device=self.runtime.device)
        translator = train_stargan(space, config, stream, seed=seed, runtime=self.runtime).translator
        task = changes(space, self.test, config.size)["hair"]

        def paint(x: Tensor, label: Tensor) -> Tensor:
            return translator.paint(x, label=label).cpu()

        labels = task.labels if config.leave else task.full
        picture = paint(task.before["image"], labels)
        heard = label_sensitivity(paint, task.before["image"], labels, labels.roll(1, dims=0))
        return self._scores(picture, task) | {"sensitivity": heard}

    def cyclegans(self, pairs: Sequence[tuple[int, int]], seed: int) -> dict[str, float]:
        """One CycleGAN for each pair; together they see as many pictures as one StarGAN."""
        task = changes(LabelSpace((HAIR,)), self.test, self.config.size)["hair"]
        picture, before, after = task.before["image"].clone(), task.before["hair"], task.after["hair"]
        for number, pair in enumerate(pairs):
            there, back = self._pair(pair, self.config.rounds // len(pairs), 10 * seed + number)
            for translate, (start, end) in ((there, pair), (back, pair[::-1])):
                chosen = (before == start) & (after == end)
                picture[chosen] = translate(task.before["image"][chosen])
        scores = self._scores(picture, task) | {"sensitivity": math.nan}
        if len(pairs) < len(PAIRS):  # the other wishes were never its task
            scores = {name: value if name == "wrong/black-blond" else math.nan for name, value in scores.items()}
        return scores

    def _scores(self, picture: Tensor, task: Change) -> dict[str, float]:
        scores = measure(lambda x, label: picture, self.reader, {"hair": task})
        return scores | {"wrong/black-blond": _wrong_pair(picture, task, self.reader)}

    def _pair(
        self, pair: tuple[int, int], rounds: int, seed: int
    ) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """Train a CycleGAN between two colours."""
        c, names = self.config, [HAIR.values[value] for value in pair]
        domains = ParameterDomains(Faces(), {name: {"hair": name} for name in names}, always)
        stream = UnpairedPool(domains, count=self.pool // 2, size=c.size, batch=c.batch // 2, seed=seed,
                              device=self.runtime.device)  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            G, F = (_Told(c) for _ in range(2))
            D_X, D_Y = (LabelDiscriminator(1, size=c.size, width=c.d_width, layers=c.d_layers) for _ in range(2))
        shape = (3, c.size, c.size)
        buffers = ImageBuffer(50, shape, generator=seeded(seed)), ImageBuffer(50, shape, generator=seeded(seed + 1))
        rules = CycleGANConfig(forward_cycle=c.cycle, backward_cycle=c.cycle)
        game = CycleGAN(G, F, D_X, D_Y, rules, buffers=buffers)
        self.runtime.place(game)
        play(game, stream, rounds, optimisers=OptimConfig(lr=c.lr, betas=(0.5, c.beta2)), schedule=c.learning_rate,
             runtime=self.runtime)  # fmt: skip

        def translator(network: torch.nn.Module) -> Callable[[Tensor], Tensor]:
            return torch.no_grad()(lambda x: network(self.runtime.place(x)).float().cpu().clamp(-1, 1))

        return translator(G), translator(F)


class _Told(LabelGenerator):
    """StarGAN's generator with one domain to paint: it is told 1, always."""

    def __init__(self, config: StarGANConfig) -> None:
        super().__init__(config.generator(1))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        return super().forward(x, x.new_ones(len(x), 1))


def _wrong_pair(picture: Tensor, task: Change, reader: AttributeReader) -> float:
    """Among people who go from black to blond or back; NaN where there are none."""
    before, after = task.before["hair"], task.after["hair"]
    chosen = (before <= max(BLACK_BLOND)) & (after <= max(BLACK_BLOND))
    return float((worn(reader, picture[chosen], "hair") != after[chosen]).float().mean()) if chosen.any() else math.nan
