"""What an ablation measures: for each term of semantic image analogy, the number that it is meant to move.

Two kinds of questions: *targets* are the new layouts that come with a photo, for which no true picture exists;
*held-out analogies* are drawn like those of the training, at full strength and with a generator of their own,
so that the true picture and the true matches are known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.photos import Photo
from lib.data.single_photo import CELL, IGNORE, SinglePhoto, StreamConfig
from lib.games.analogist import Analogist
from lib.labelmaps import LabelMap
from lib.losses.analogy import fixed_point, reconstruction
from lib.metrics.appearance import patch_distances, sharpness_ratio
from lib.metrics.baselines import copy_paste, copy_source
from lib.metrics.layout import Judge, ceiling, layout_scores
from lib.metrics.sifid import sifid
from lib.nn.analogy_generator import Painting
from lib.runtime import seeded

__all__ = [
    "HELD_OUT_SEED",
    "MEASURES",
    "Answer",
    "Measure",
    "answer",
    "appearance",
    "critic_accuracy",
    "held_out",
    "layout_fidelity",
    "match_error",
    "measure_run",
    "rebuild_errors",
    "reference_rows",
    "same_layout_errors",
]

HELD_OUT_SEED = 2**31 - 1  # far from the seeds that people choose

Values = dict[str, float]


@dataclass(frozen=True)
class Measure:
    """How to read a number."""

    best: Literal["low", "high", "one"]
    asks: str  # the question it answers
    terms: tuple[str, ...] = ()  # the terms that are meant to move it


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure("high", "share of pixels that a judge without training reads as ordered", ("semantics",)),
    "miou": Measure("high", "the same as mean intersection over union of the classes", ("semantics",)),
    "coherence": Measure("low", "RMS colour distance of an output patch to the nearest patch of the photo",
                         ("patches",)),
    "completeness": Measure("low", "RMS colour distance of a photo patch to the nearest patch of the output"),
    "sharpness": Measure("one", "mean gradient inside the regions, output over photo", ("gan",)),
    "texture": Measure("low", "single-image Fréchet distance to the photo in fixed random features", ("features",)),
    "critic": Measure("low", "share of small patches that a fresh critic classifies as true or painted; 0.5 is chance",
                      ("gan", "features")),
    "error": Measure("low", "mean absolute error of held-out analogies whose picture is known", ("features",)),
    "colour_error": Measure("low", "the same at 1/4 of the size", ("rebuild",)),
    "match_error": Measure("low", "distance in pixels from the best match to the true one", ("matches",)),
    "fixed_point_gap": Measure("low", "|gamma - 1| + |beta| for equal layouts", ("fixed_point",)),
    "identity_error": Measure("low", "mean absolute error for equal layouts", ("rebuild", "fixed_point")),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Answer:
    """A held-out analogy and what a generator made of it."""

    batch: Mapping[str, Any]  # as drawn by `SinglePhoto`
    painting: Painting


def held_out(image: Tensor, one_hot: Tensor, stream: StreamConfig, draws: int) -> list[dict[str, Any]]:
    """Analogies at full strength that no training draws: warps, moves and one in five with equal layouts.

    Args:
        image: (3, H, W) in [-1, 1].
        one_hot: its layout (1, K, H, W).
        stream: the ranges of the training's transforms.
        draws: how many.
    """
    source = SinglePhoto(image, one_hot, stream, generator=seeded(HELD_OUT_SEED))
    return [source.draw(1.0) for _ in range(draws)]


@torch.no_grad()
def answer(analogist: Analogist, batches: Sequence[Mapping[str, Any]]) -> list[Answer]:
    """The generator's answer to each analogy."""
    with analogist.runtime.autocast():
        return [
            Answer(batch, analogist.generator(batch["image"], batch["layout"], batch["target_layout"]))
            for batch in batches
        ]


def measure_run(
    analogist: Analogist, targets: Mapping[str, LabelMap], judge: Judge, batches: Sequence[Mapping[str, Any]]
) -> Values:
    """Every key of `MEASURES` for one trained generator, on its raw pictures: what training did, without (12.20).

    Args:
        analogist: what was trained.
        targets: new layouts of the photo, all of its size.
        judge: reads layouts; took no part in the training.
        batches: from `held_out`.
    """
    device = analogist.runtime.device
    one_hot = torch.cat([layout.one_hot(device) for layout in targets.values()])
    pictures = torch.cat(
        [analogist.painting(layout, rest=0.0).image.float().clamp(-1, 1) for layout in targets.values()]
    )
    answers = answer(analogist, batches)
    values = layout_fidelity(pictures, one_hot, judge)
    values |= appearance(pictures, one_hot, analogist.image.unsqueeze(0), analogist.layout.one_hot(device))
    values["critic"] = critic_accuracy(answers)
    values |= rebuild_errors(answers)
    values["match_error"] = match_error(answers) if analogist.config.aligned else math.nan
    return values | same_layout_errors(answers)


def layout_fidelity(pictures: Tensor, layouts: Tensor, judge: Judge) -> Values:
    """``accuracy`` and ``miou`` of pictures (B, 3, H, W) against ordered layouts (B, K, H, W), pooled."""
    scores = layout_scores(judge.predict(pictures), layouts)
    return {"accuracy": scores.accuracy, "miou": scores.miou}


def appearance(pictures: Tensor, layouts: Tensor, photo: Tensor, photo_layout: Tensor) -> Values:
    """``coherence``, ``completeness``, ``sharpness`` and ``texture``, each the mean over the pictures.

    Args:
        pictures, layouts: (B, 3, H, W) in [-1, 1] and their ordered one-hot layouts.
        photo, photo_layout: (1, 3, h, w) and (1, K, h, w).
    """
    rows = []
    for picture, layout in zip(pictures.split(1), layouts.split(1), strict=True):
        row = {name.partition("@")[0]: v for name, v in patch_distances(picture, photo, levels=(1,)).items()}
        row["sharpness"] = sharpness_ratio(picture, layout, photo, photo_layout)
        row["texture"] = sifid(picture, photo, "random-conv")
        rows.append(row)
    return {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}


def rebuild_errors(answers: Sequence[Answer]) -> Values:
    """``error`` and ``colour_error`` of the warps and moves, over the pixels whose true value is known."""
    chosen = [a for a in answers if a.batch["mode"] != "reconstruct"]

    def mean(scale: int) -> float:
        errors = [
            reconstruction(a.painting.image.float(), a.batch["target_image"], a.batch["valid"], scale=scale)
            for a in chosen
        ]
        return float(torch.stack(errors).mean())

    return {"error": mean(1), "colour_error": mean(4)}


def same_layout_errors(answers: Sequence[Answer]) -> Values:
    """``fixed_point_gap`` and ``identity_error``: what becomes of a photo whose layout stays the same."""
    chosen = [a for a in answers if a.batch["mode"] == "reconstruct"]
    gaps = [fixed_point(a.painting.modulation) for a in chosen]
    errors = [reconstruction(a.painting.image.float(), a.batch["target_image"]) for a in chosen]
    return {"fixed_point_gap": float(torch.stack(gaps).mean()), "identity_error": float(torch.stack(errors).mean())}


def match_error(answers: Sequence[Answer]) -> float:
    """Mean distance in pixels from the best source cell of each target cell to the true one, without consensus.

    Target cells whose origin is unknown do not count. A step to the next cell counts 4 px.
    """
    distances = []
    for a in answers:
        if a.batch["mode"] == "reconstruct":
            continue
        known = a.batch["matches"] != IGNORE
        columns = a.batch["layout"].shape[-1] // CELL
        best, true = a.painting.logits.argmax(dim=2)[known], a.batch["matches"][known]
        rows, columns_off = best // columns - true // columns, best % columns - true % columns
        distances.append(CELL * torch.hypot(rows.float(), columns_off.float()))
    return float(torch.cat(distances).mean())


def critic_accuracy(answers: Sequence[Answer], *, steps: int = 80, width: int = 16, rate: float = 5e-3) -> float:
    """Can a critic that took no part in the training tell the outputs from true pairs, patch by patch?

    It learns on one half of the warps and moves and is asked about the other half: a classifier two-sample
    test (Lopez-Paz and Oquab 2017) on 10-pixel patches with their labels. 0.5: they cannot be told apart.

    Args:
        answers: from `answer`; uncovered pixels have no true picture and are shown as painted on both sides.
        steps, width, rate: of the critic's training with Adam.
    """
    chosen = [a for a in answers if a.batch["mode"] != "reconstruct"]
    layouts = torch.cat([a.batch["target_layout"] for a in chosen])
    fakes = torch.cat([a.painting.image.float() for a in chosen])
    valid = torch.cat([a.batch["valid"] for a in chosen])
    trues = torch.lerp(fakes, torch.cat([a.batch["target_image"] for a in chosen]), valid)
    pairs = [torch.cat([images, layouts], dim=1) for images in (trues, fakes)]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        critic = _critic(pairs[0].shape[1], width).to(fakes.device)
        adam = torch.optim.Adam(critic.parameters(), lr=rate)
        for _ in range(steps):
            true, fake = (critic(pair[::2]) for pair in pairs)
            loss = F.softplus(-true).mean() + F.softplus(fake).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
    with torch.no_grad():
        true, fake = (critic(pair[1::2]) for pair in pairs)
    known = F.avg_pool2d(valid[1::2], 2) > 0.5
    right = torch.stack([(true > 0)[known], (fake <= 0)[known]])
    return float(right.float().mean())


def _critic(channels: int, width: int) -> nn.Sequential:
    """Plain convolutions: the spectral norm that tames D in a game would only slow a critic on its own."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 1),
    )  # fmt: skip


def reference_rows(photo: Photo, judge: Judge, device: torch.device) -> dict[str, Values]:
    """The photo itself (``copy``), cut and paste (``copy-paste``), and the judge on real pixels (``ceiling``)."""
    image, layout = photo.image.unsqueeze(0).to(device), photo.layout.one_hot(device)
    one_hot = [target.one_hot(device) for target in photo.targets.values()]
    pictures = {
        "copy": torch.cat([copy_source(image, target) for target in one_hot]),
        "copy-paste": torch.cat([copy_paste(image, layout, target) for target in one_hot]),
    }
    targets = torch.cat(one_hot)
    rows = {
        name: layout_fidelity(made, targets, judge) | appearance(made, targets, image, layout)
        for name, made in pictures.items()
    }
    top = ceiling(judge, image, layout, generator=seeded(HELD_OUT_SEED))
    return rows | {"ceiling": {"accuracy": top.accuracy, "miou": top.miou}}
