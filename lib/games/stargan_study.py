"""``python -m lib ablate stargan``: what each part of StarGAN moves, on pictures whose true partners are known.

Every variant sees the same number of pictures, with networks of one size. ``CycleGAN per pair`` trains one pair of
generators, of StarGAN's make, for each expression other than neutral, and all of them together get StarGAN's time;
``one CycleGAN`` spends all of it on neutral and smile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from lib.data.label_space import EXPRESSIONS, LabelSpace
from lib.data.unpaired_worlds import ParameterDomains, UnpairedPool
from lib.data.worlds.faces import Faces
from lib.games.cyclegan import CycleGAN, CycleGANConfig
from lib.games.stargan import StarGANConfig, label_sensitivity
from lib.games.stargan_measures import Change, always, changes, measure, references, worn
from lib.games.stargan_train import SETS, face_stream, train_stargan
from lib.games.study import Best, Study, StudyProgress, continued, run_study
from lib.games.study_command import StudyCommand
from lib.metrics.reader import AttributeReader, load_reader
from lib.nn.image_buffer import ImageBuffer
from lib.nn.stargan import LabelDiscriminator, LabelGenerator
from lib.runtime import Runtime, seeded
from lib.training.optim import OptimConfig
from lib.training.play import play

__all__ = ["BASES", "MEASURES", "VARIANTS", "StarGANStudyCommand", "main", "study_config", "study_stargan"]

JOINT = "joint"
PAIRS, ONE_PAIR = "CycleGAN per pair", "one CycleGAN"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    JOINT: {},
    "expressions only": {"sets": "expressions"},
    "attributes only": {"sets": "attributes"},
    "label as channels, zeros": {"conditioning": "concat"},
    "label as channels, reflected": {"conditioning": "concat", "padding": "reflect"},
    "no class loss": {"classes": 0.0},
    "no cycle": {"cycle": 0.0},
    PAIRS: {"pairs": (1, 2, 3, 4)},
    ONE_PAIR: {"pairs": (1,)},
}  # fmt: skip
"""Variant -> the data sets, and changes of the config; or the expressions that get a CycleGAN with neutral."""

BASES = {name: "expressions only" if name in (PAIRS, ONE_PAIR) else JOINT for name in VARIANTS if name != JOINT}
MEASURES: dict[str, Best] = {
    "wrong/expression": "low", "wrong/smile": "low", "wrong/hair": "low", "wrong/gender": "low", "wrong/glasses": "low",
    "psnr/expression": "high", "psnr/hair": "high", "kept": "high", "stranger": "low", "sensitivity": "high",
}  # fmt: skip
POOL, TEST = 1000, 96  # people in each data set, and held-out people


@dataclass(frozen=True, kw_only=True)
class StarGANStudyCommand(StudyCommand):
    """Train StarGAN without one part after the other, and one CycleGAN for each pair; measure with true partners."""

    seeds: tuple[int, ...] = (0, 1)
    """one training of each variant for each seed"""
    rounds: int | None = None
    """rounds of each training; default: the profile's"""


def study_config(full: bool = False) -> StarGANConfig:
    """What the study trains: 32 px in the quick profile, for it trains many times."""
    if full:
        return StarGANConfig.full()
    return StarGANConfig.quick(rounds=500)


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
    tasks = changes(LabelSpace(*SETS["both"]), test, config.size)
    rows = {name: _summary(scores, None) for name, scores in references(reader, tasks).items()}
    for name, change in (("copy", "before"), ("true partner", "after")):
        task = tasks["expression"]
        rows[name]["wrong/smile"] = _wrong_smile(getattr(task, change)["image"], task, reader)
    study = Study(
        "stargan", {**asdict(config), "pool": pool, "test": test}, MEASURES, BASES, references=rows
    )  # fmt: skip

    def train_and_measure(variant: str, seed: int) -> dict[str, float]:
        settings = VARIANTS[variant]
        if "pairs" in settings:
            return _cyclegans(settings["pairs"], config, seed, reader, runtime, pool, test)
        return _stargan(dict(settings), config, seed, reader, runtime, pool, test)

    return run_study(
        continued(study, known), variants, seeds, train_and_measure, runtime=runtime, command=command,
        on_progress=on_progress,
    )  # fmt: skip


def _stargan(
    settings: dict[str, Any], config: StarGANConfig, seed: int, reader: AttributeReader, runtime: Runtime, pool: int,
    test: int,
) -> dict[str, float]:  # fmt: skip
    sets: Literal["both", "attributes", "expressions"] = settings.pop("sets", "both")
    space, config = LabelSpace(*SETS[sets]), replace(config, **settings)
    stream = face_stream(space, config, pool=pool, seed=seed, device=runtime.device)
    translator = train_stargan(space, config, stream, seed=seed, runtime=runtime).translator
    tasks = changes(space, test, config.size)

    def paint(x: Tensor, label: Tensor) -> Tensor:
        return translator.paint(x, label=label).cpu()

    scores = measure(paint, reader, tasks, full=not config.leave)
    change = next(iter(tasks.values()))
    x, labels = change.before["image"], change.labels
    scores["sensitivity"] = label_sensitivity(paint, x, labels, labels.roll(1, dims=0))
    smile = None
    if "expression" in tasks:
        change = tasks["expression"]
        smile = _wrong_smile(paint(change.before["image"], change.labels), change, reader)
    return _summary(scores, smile)


def _cyclegans(
    values: Sequence[int], config: StarGANConfig, seed: int, reader: AttributeReader, runtime: Runtime, pool: int,
    test: int,
) -> dict[str, float]:  # fmt: skip
    """One CycleGAN neutral <-> value for each; together they see as many pictures as one StarGAN."""
    change = changes(LabelSpace(EXPRESSIONS), test, config.size)["expression"]
    picture = change.before["image"].clone()
    for value in values:
        paint = _one_pair(value, config, config.rounds // len(values), 10 * seed + value, runtime, pool)
        chosen = change.after["expression"] == value
        picture[chosen] = paint(change.before["image"][chosen])
    scores = measure(lambda x, label: picture, reader, {"expression": change})
    smile = _wrong_smile(picture, change, reader)
    if len(values) == 1:  # the other wishes were never its task
        scores = {}
    return _summary(scores, smile)


def _one_pair(
    value: int, config: StarGANConfig, rounds: int, seed: int, runtime: Runtime, pool: int
) -> Callable[[Tensor], Tensor]:
    """Train neutral <-> value; the translator from neutral."""
    names = EXPRESSIONS[0].values
    domains = ParameterDomains(Faces(), {n: {"expression": n} for n in (names[0], names[value])}, always)
    stream = UnpairedPool(domains, count=pool, size=config.size, batch=config.batch // 2, seed=seed,
                          device=runtime.device)  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G, F = (_Told(config) for _ in range(2))
        D_X, D_Y = (
            LabelDiscriminator(1, size=config.size, width=config.d_width, layers=config.d_layers) for _ in range(2)
        )
    shape = (3, config.size, config.size)
    buffers = ImageBuffer(50, shape, generator=seeded(seed)), ImageBuffer(50, shape, generator=seeded(seed + 1))
    game = CycleGAN(G, F, D_X, D_Y, CycleGANConfig(forward_cycle=config.cycle, backward_cycle=config.cycle),
                    buffers=buffers)  # fmt: skip
    runtime.place(game)
    play(game, stream, rounds, optimisers=OptimConfig(lr=config.lr, betas=(0.5, config.beta2)),
         schedule=config.learning_rate, runtime=runtime)  # fmt: skip
    return torch.no_grad()(lambda x: game.G(runtime.place(x)).float().cpu().clamp(-1, 1))


class _Told(LabelGenerator):
    """StarGAN's generator with one domain to paint: it is told 1, always."""

    def __init__(self, config: StarGANConfig) -> None:
        super().__init__(config.generator(1))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        return super().forward(x, x.new_ones(len(x), 1))


def _wrong_smile(picture: Tensor, change: Change, reader: AttributeReader) -> float:
    smile = change.after["expression"] == EXPRESSIONS[0].values.index("smile")
    return float((worn(reader, picture[smile], "expression") != change.after["expression"][smile]).float().mean())


def _summary(scores: Mapping[str, float], smile: float | None) -> dict[str, float]:
    """The measures of the study; NaN for those that the variant has not."""

    def mean(key: str) -> float:
        values = [value for name, value in scores.items() if name.startswith(f"{key}/")]
        return sum(values) / len(values) if values else math.nan

    found = {name: scores.get(name, math.nan) for name in MEASURES}
    found |= {name: mean(name) for name in ("kept", "stranger")}
    return found | {"wrong/smile": math.nan if smile is None else smile}
