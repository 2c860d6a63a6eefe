"""``python -m lib ablate dtn``: the rows of the paper's tables 1 and 3, and two of its table 2, at the chapter's size.

table 1    which part of DTN does the work: translations are read by a classifier of the target
table 2    domain adaptation: a classifier learns from translations, and is tested on real handwriting
table 3    one digit is left out: of the source, of the target, of f's training

All variants of a seed share the street numbers and, unless it shall be another one, f. Table 1 is there twice: with
the chapter's f, which gathers its codes, and with one that names digits and nothing else, as the paper's does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
from torch import Tensor

from lib.data.conditions import Condition
from lib.data.domain_transfer import street_digits
from lib.data.worlds.digits import handwritten_digits
from lib.games.dtn import ABLATION, DTN, OURS, PLAIN, UNSEEN, DTNConfig
from lib.games.dtn_train import adaptation, concept_accuracy, train_concepts, train_dtn, training_stream
from lib.games.study import Best, Study, StudyProgress, continued, run_study
from lib.games.study_command import StudyCommand
from lib.games.translator import Translator
from lib.metrics.features import ReaderFeatures
from lib.metrics.fidelity import kid
from lib.metrics.reader import AttributeReader, load_reader
from lib.nn.dtn import ConceptEncoder
from lib.runtime import Runtime
from lib.training.play import Report

__all__ = ["BASES", "MARKS", "MEASURES", "VARIANTS", "DTNStudyCommand", "main", "read_scores", "study_dtn"]

DTN_ROW = "DTN"
VARIANTS: tuple[str, ...] = (*ABLATION, *OURS, *PLAIN, *(name for name in UNSEEN if UNSEEN[name]))
"""All rows; "all seen" of table 3 is DTN itself."""

BASES = {name: DTN_ROW for name in VARIANTS if name != DTN_ROW}
THREE = 3
MARKS = {"at 1/10": 0.1, "at 1/4": 0.25, "at 1/2": 0.5, "at 3/4": 0.75}
"""Measure -> the share of the rounds after which the accuracy is taken under way."""
MEASURES: dict[str, Best] = {
    "accuracy": "high", **dict.fromkeys(MARKS, "high"), "threes": "high", "f agrees": "high", "kid": "low",
    "adaptation": "high",
}  # fmt: skip
"""``accuracy`` and ``threes``: read by the judge of handwriting; ``f agrees``: named rightly by f itself; ``kid``: to
held-out handwriting, in the judge's features; ``adaptation``: table 2, of those in `ADAPTED` alone."""
ADAPTED = (DTN_ROW, "DTN; plain f")


@dataclass(frozen=True, kw_only=True)
class DTNStudyCommand(StudyCommand):
    """Train DTN on digits without one part after the other, and without one digit; read what it paints."""

    seeds: tuple[int, ...] = (0, 1)
    """one training of each variant for each seed"""
    rounds: int | None = None
    """rounds of each transfer; default: the profile's"""
    pictures: int = 500
    """held-out street numbers for the measures"""

    def settings(self) -> DTNConfig:
        """The base of all variants."""
        chosen = DTNConfig.full() if self.full else DTNConfig.quick()
        return replace(chosen, rounds=self.rounds or chosen.rounds)


def main(config: DTNStudyCommand) -> int:
    """Run the command."""
    settings, known, runtime = config.settings(), config.known(), Runtime.detect(config.device)
    command = config.shell("dtn", "--rounds", str(settings.rounds), "--pictures", str(config.pictures))
    return config.conduct(
        lambda report: study_dtn(
            settings, config.variants or VARIANTS, config.seeds, load_reader("digits"), pictures=config.pictures,
            runtime=runtime, known=known, command=command, on_progress=report,
        )
    )  # fmt: skip


def study_dtn(
    config: DTNConfig, variants: Sequence[str], seeds: Sequence[int], reader: AttributeReader, *,
    runtime: Runtime, pictures: int = 500, known: Study | None = None, command: str = "",
    on_progress: Callable[[StudyProgress], object] | None = None,
) -> Study:  # fmt: skip
    """Train and measure every variant with every seed.

    Args:
        reader: the judge, of handwritten digits; it takes part in no training.
        pictures: held-out street numbers for the measures.

    Raises:
        GameError: there is no such variant.
    """
    for name in variants:
        config.variant(name).check()
    lab = _Lab(config, reader, runtime, pictures)
    chosen = asdict(config) | {"pictures": pictures}
    study = Study("dtn digits", chosen, MEASURES, BASES, references=lab.references())
    return run_study(
        continued(study, known), variants, seeds, lab, runtime=runtime, command=command, on_progress=on_progress
    )


def read_scores(painted: Tensor, digits: Tensor, reader: AttributeReader, real: Tensor) -> dict[str, float]:
    """``accuracy``, ``threes`` and ``kid`` of pictures (N, C, H, W) that should show `digits` (N,).

    Args:
        real: held-out pictures of the target.
    """
    said = reader.read(painted).values()["digit"]
    right = (said == digits).double()
    return {
        "accuracy": float(right.mean()),
        "threes": float(right[digits == THREE].mean()),
        "kid": kid(real, painted, ReaderFeatures(reader)),
    }


class _Lab:
    """What the runs of a study share, and one training with its measures."""

    def __init__(self, config: DTNConfig, reader: AttributeReader, runtime: Runtime, pictures: int) -> None:
        self.config, self.reader, self.runtime = config, reader, runtime
        test = street_digits(pictures, config.size, split="test")
        self.source, self.digits = test["image"].float() / 127.5 - 1, test["digit"]
        self.target, self.named = (torch.cat(part) for part in zip(*map(self._written, ("val", "test")), strict=True))
        self._street: tuple[int, Mapping[str, Tensor]] = (-1, {})
        self._f: dict[tuple[tuple[int, ...], float], ConceptEncoder] = {}

    def references(self) -> dict[str, dict[str, float]]:
        """Untranslated street numbers, and real handwriting: below and above every translation."""
        street = street_digits(self.config.pool, self.config.size)
        return {
            "original": read_scores(self.source, self.digits, self.reader, self.target)
            | {"adaptation": adaptation(street)},
            "handwriting": read_scores(self.target, self.named, self.reader, self.target),
        }

    def __call__(self, variant: str, seed: int) -> dict[str, float] | None:
        rules = self.config.variant(variant)
        if self._street[0] != seed:
            self._street, self._f = (seed, street_digits(rules.pool, rules.size, seed=seed)), {}
        street = self._street[1]
        f = self._concepts(rules, seed)
        if f is None:
            return None
        under_way: dict[str, float] = {}
        _, translator, history = train_dtn(
            rules, f, seed=seed, runtime=self.runtime, on_round=partial(self._mark, under_way),
            stream=training_stream(rules, seed=seed, pictures=street, device=self.runtime.device),
        )  # fmt: skip
        if history.interrupted:
            return None
        painted = self._painted(translator)
        scores = read_scores(painted, self.digits, self.reader, self.target) | under_way
        scores["f agrees"] = concept_accuracy(f.cpu(), painted, self.digits)
        self.runtime.place(f)
        return scores | ({"adaptation": adaptation(street, translator)} if variant in ADAPTED else {})

    def _mark(self, marks: dict[str, float], report: Report) -> None:
        """Write down the accuracy where a mark is passed."""
        assert isinstance(report.game, DTN)
        for name, share in MARKS.items():
            if report.rounds_done == max(1, round(share * self.config.rounds)):
                G = copy.deepcopy(report.game.G if report.ema is None else report.ema.module)
                painted = self._painted(Translator(G, Condition("picture"), runtime=self.runtime))
                said = self.reader.read(painted).values()["digit"]
                marks[name] = float((said == self.digits).double().mean())

    def _painted(self, translator: Translator) -> Tensor:
        return torch.cat([translator.paint(part).cpu() for part in self.source.split(128)])

    def _concepts(self, rules: DTNConfig, seed: int) -> ConceptEncoder | None:
        """f of this seed, trained once for all variants that want the same one; None where interrupted."""
        wanted = rules.unseen_f, rules.f_centre
        if wanted not in self._f:
            street = self._street[1]
            kept = ~torch.isin(street["digit"], torch.tensor(rules.unseen_f, dtype=torch.long))
            shown = {name: value[kept] for name, value in street.items()}
            f, history = train_concepts(rules, shown, seed=seed, runtime=self.runtime)
            if history.interrupted:
                return None
            self._f[wanted] = f
        return self._f[wanted]

    def _written(self, split: str) -> tuple[Tensor, Tensor]:
        return handwritten_digits(split, size=self.config.size)  # type: ignore[arg-type]
