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

The pictures are those of the generator alone, not refined: refinement descends the patch coherence once more
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
from pathlib import Path
from typing import Any

from lib.data.photos import Photo, load_photo
from lib.games.ablation_result import AblationError, AblationResult, Run, read_result
from lib.games.analogist import Analogist
from lib.games.analogy import AnalogyConfig
from lib.games.analogy_measures import HELD_OUT_SEED, held_out, measure_run, reference_rows
from lib.metrics.layout import PatchJudge
from lib.runtime import RunCard, Runtime
from lib.training.play import Callback

__all__ = [
    "VARIANTS",
    "AblationConfig",
    "AblationProgress",
    "Variant",
    "load_ablation",
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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AblationConfig:
        """Rebuild a config from ``dataclasses.asdict`` of one.

        Raises:
            KeyError, TypeError: a field is unknown or missing.
        """
        return cls(**{**values, "training": AnalogyConfig.from_dict(values["training"])})


@dataclass(frozen=True)
class AblationProgress:
    """What a callback is told after a run."""

    result: AblationResult  # with all runs so far
    run: Run  # the last one
    done: int
    total: int


def run_ablation(
    photo_name: str,
    *,
    config: AblationConfig | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    variants: Sequence[str] | None = None,
    runtime: Runtime | None = None,
    known: AblationResult | None = None,
    command: str = "",
    on_progress: Callable[[AblationProgress], object] | None = None,
    on_round: Callback | Sequence[Callback] = (),
) -> AblationResult:
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
        AblationError: ``known`` is of another photo or config.
    """
    config, runtime = config or AblationConfig.quick(), runtime or Runtime.detect()
    jobs = _jobs(list(VARIANTS) if variants is None else variants, seeds)
    runs = _reusable(known, photo_name, config)
    open_jobs = [job for job in jobs if job not in {(run.variant, run.seed) for run in runs}]
    photo = load_photo(photo_name, side=config.training.side)
    bench = _Bench(photo, config, runtime)
    result = known or AblationResult(photo_name, asdict(config), bases(), (), bench.references(), {})
    result = replace(result, bases=bases())  # an earlier result may be older than some variants
    for variant, seed in open_jobs:
        with RunCard("ablation", seed=seed, device=runtime.device, dtype=runtime.dtype) as card:
            values = bench.train_and_measure(VARIANTS[variant], seed, on_round)
        if values is None:
            break
        run = Run(variant, seed, round(card.wall_seconds or 0.0, 1), values)
        result = result.with_run(run, {"command": command} | card.as_dict())
        if on_progress is not None:
            on_progress(AblationProgress(result, run, len(result.runs), len(runs) + len(open_jobs)))
    if not result.runs:
        raise KeyboardInterrupt
    return result


def bases() -> dict[str, str]:
    """Variant -> the variant it is compared with."""
    return {name: variant.base for name, variant in VARIANTS.items() if name != variant.base}


def load_ablation(path: str | Path) -> AblationResult:
    """Read what `AblationResult.save` wrote.

    Raises:
        AblationError: the file is missing, damaged or holds something else.
    """
    return read_result(Path(path))


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


def _jobs(variants: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """Seed by seed, so that an interrupted ablation has every variant as often as possible."""
    for name in variants:
        if name not in VARIANTS:
            raise ValueError(f"There is no variant {name!r}; choose from {', '.join(VARIANTS)}.")
    if not variants or not seeds:
        raise ValueError("There is nothing to run; give at least one variant and one seed.")
    if HELD_OUT_SEED in seeds:
        raise ValueError(f"The seed {HELD_OUT_SEED} draws the held-out analogies; train with another one.")
    return [(variant, seed) for seed in dict.fromkeys(seeds) for variant in dict.fromkeys(variants)]


def _reusable(known: AblationResult | None, photo: str, config: AblationConfig) -> tuple[Run, ...]:
    if known is None:
        return ()
    try:
        same = known.photo == photo and AblationConfig.from_dict(known.config) == config
    except (KeyError, TypeError, ValueError):  # written by another version of the book
        same = False
    if not same:
        raise AblationError(
            f"The earlier result is of the photo {known.photo!r} or of another config; continue with the same "
            "photo, side and rounds, or write to a new file."
        )
    return known.runs
