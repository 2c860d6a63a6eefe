"""Ablation of semantic image analogy: train one photo again and again, each time without one thing.

A term earns its place if its absence moves the number that the term is meant to move:

    taken away      meant to move
    gan             critic, sharpness
    features        texture
    rebuild         colour_error, identity_error
    patches         coherence
    semantics       accuracy, miou
    matches         match_error
    fixed_point     fixed_point_gap, identity_error

The pictures are those of the generator alone: corrected matches build the picture of patches of the photo
and would hide what the training did.

The variants `paper...` go the paper's way: the features of the unmoved photo are modulated, nothing is copied to
the new layout first, and every pixel is painted. Where the photo is copied, much of the layout is right by
construction; where it is not, the losses have to ask for it. In the variants `unpaired...` none of the terms that
compare with the true picture of a new layout is left: D and S alone ask for it. ``unpaired-neither`` is compared with
``unpaired-no-gan``, so it shows what S is worth as the only teacher. ``features-alone`` is read the other way round: it
has one teacher more than its base, ``unpaired-neither``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from lib.data.photos import Photo, load_photo
from lib.games.analogist import Analogist
from lib.games.analogy import AnalogyConfig
from lib.games.analogy_measures import HELD_OUT_SEED, MEASURES, held_out, measure_run, reference_rows
from lib.games.study import Study, StudyProgress, continued, run_study
from lib.metrics.layout import PatchJudge
from lib.runtime import Runtime
from lib.training.play import Callback

__all__ = [
    "VARIANTS",
    "AblationConfig",
    "Variant",
    "run_ablation",
]


@dataclass(frozen=True)
class Variant:
    """One way to train."""

    off: tuple[str, ...] = ()  # fields of `LossWeights` that are set to 0
    aligned: bool = True  # False: the paper's generator, which does not copy before it paints
    base: str = "full"  # the variant that it is compared with

    def apply(self, config: AnalogyConfig) -> AnalogyConfig:
        """The config of this variant."""
        weights = replace(config.weights, **dict.fromkeys(self.off, 0.0))
        return replace(config, weights=weights, aligned=self.aligned)


def _paper(*off: str, base: str = "paper") -> Variant:
    """The paper has no matches to learn: without alignment nothing would use them."""
    return Variant(("matches", *off), aligned=False, base=base)


def _unpaired(*off: str, base: str = "unpaired") -> Variant:
    """The paper's generator without the answer key of new layouts: what D and S can teach by themselves."""
    return _paper("rebuild", "features", *off, base=base)


VARIANTS: Mapping[str, Variant] = {
    "full": Variant(),
    "no-gan": Variant(("gan",)),
    "no-features": Variant(("features",)),
    "no-rebuild": Variant(("rebuild", "rebuild_same")),
    "no-patches": Variant(("patches",)),
    "no-semantics": Variant(("semantics",)),
    "no-matches": Variant(("matches",)),
    "no-fixed-point": Variant(("fixed_point",)),
    "paper": _paper(base="full"),
    "paper-no-gan": _paper("gan"),
    "paper-no-features": _paper("features"),
    "paper-no-semantics": _paper("semantics"),
    "paper-no-patches": _paper("patches"),
    "paper-no-fixed-point": _paper("fixed_point"),
    "unpaired": _unpaired(base="paper"),
    "unpaired-no-gan": _unpaired("gan"),
    "unpaired-no-semantics": _unpaired("semantics"),
    "unpaired-neither": _unpaired("gan", "semantics", base="unpaired-no-gan"),
    "features-alone": _paper("rebuild", "gan", "semantics", base="unpaired-neither"),
}


@dataclass(frozen=True)
class AblationConfig:
    """How every variant is trained and measured."""

    training: AnalogyConfig = field(default_factory=lambda: replace(AnalogyConfig.quick(), side=64, rounds=150))
    draws: int = 20  # held-out analogies; one in five has equal layouts

    def __post_init__(self) -> None:
        if self.draws < 5:
            raise ValueError(f"draws is {self.draws}; fewer than 5 held-out analogies do not show every mode.")

    @classmethod
    def quick(cls) -> AblationConfig:
        """64 px, 150 rounds: about 20 s for each run on two CPU cores."""
        return cls()

    @classmethod
    def full(cls) -> AblationConfig:
        """A GPU: 128 px, the full networks, 1000 rounds."""
        return cls(replace(AnalogyConfig.full(), side=128, rounds=1000), draws=50)


def run_ablation(
    photo_name: str,
    *,
    config: AblationConfig | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    variants: Sequence[str] | None = None,
    runtime: Runtime | None = None,
    known: Study | None = None,
    command: str = "",
    on_progress: Callable[[StudyProgress], object] | None = None,
    on_round: Callback | Sequence[Callback] = (),
) -> Study:
    """Train each variant with each seed and measure it.

    Variants of one seed start from the same weights and see the same analogies, so they may be compared in
    pairs. An interrupt (Ctrl-C) drops the training that it hits and returns the finished runs.

    Args:
        photo_name: one of `lib.data.photos.photo_names`.
        config: default `AblationConfig.quick()`.
        seeds: of the trainings; one seed gives no spread.
        variants: keys of `VARIANTS`; default all.
        runtime: device and dtype; default the fastest.
        known: an earlier result with the same photo and config; its runs are not repeated.
        command: how to repeat this from a shell, for the run card.
        on_progress: called after each run.
        on_round: callbacks of each training.

    Raises:
        ValueError: a variant is unknown, or there is nothing to run.
        StudyError: ``known`` is of another photo or config.
    """
    config, runtime = config or AblationConfig.quick(), runtime or Runtime.detect()
    variants = list(VARIANTS) if variants is None else variants
    _check_jobs(variants, seeds)
    best = {name: measure.best for name, measure in MEASURES.items()}
    study = continued(Study(photo_name, asdict(config), best, bases()), known)
    bench = _Bench(load_photo(photo_name, side=config.training.side), config, runtime)
    study = replace(study, references=known.references if known else bench.references())

    def train_and_measure(variant: str, seed: int) -> dict[str, float] | None:
        return bench.train_and_measure(VARIANTS[variant], seed, on_round)

    return run_study(
        study, variants, seeds, train_and_measure, runtime=runtime, command=command, on_progress=on_progress
    )


def bases() -> dict[str, str]:
    """Variant -> the variant it is compared with."""
    return {name: variant.base for name, variant in VARIANTS.items() if name != variant.base}


class _Bench:
    """One photo with its judge, its targets and its held-out analogies: the same for every run."""

    def __init__(self, photo: Photo, config: AblationConfig, runtime: Runtime) -> None:
        self.photo, self.config, self.runtime = photo, config, runtime
        self.image = photo.image.to(runtime.device)
        self.one_hot = photo.layout.one_hot(runtime.device)
        self.judge = PatchJudge(self.image.unsqueeze(0), self.one_hot)
        self.batches = held_out(self.image, self.one_hot, config.training.stream, config.draws)

    def references(self) -> dict[str, dict[str, float]]:
        """Competitors that learn nothing, on the same targets."""
        return reference_rows(self.photo, self.judge, self.runtime.device)

    def train_and_measure(
        self, variant: Variant, seed: int, on_round: Callback | Sequence[Callback]
    ) -> dict[str, float] | None:
        """All measures of one run; None if the training was interrupted."""
        analogist = Analogist.train(
            self.photo.image, self.photo.layout, variant.apply(self.config.training), seed=seed,
            runtime=self.runtime, on_round=on_round,
        )  # fmt: skip
        if analogist.history.interrupted:
            return None
        return measure_run(analogist, self.photo.targets, self.judge, self.batches)


def _check_jobs(variants: Sequence[str], seeds: Sequence[int]) -> None:
    for name in variants:
        if name not in VARIANTS:
            raise ValueError(f"There is no variant {name!r}; choose from {', '.join(VARIANTS)}.")
    if HELD_OUT_SEED in seeds:
        raise ValueError(f"The seed {HELD_OUT_SEED} draws the held-out analogies; train with another one.")
