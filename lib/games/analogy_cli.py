"""``python -m lib analogy``: a photo, its label map, new label maps -> the new photos."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from torch import Tensor

from lib.games.analogist import LEAST_SIDE, Analogist, check_photo
from lib.games.analogy import AnalogyConfig
from lib.images import contact_sheet, fit_size, open_image, read_image, write_atomically, write_png
from lib.labelmaps import LabelError, LabelMap, read_label_map
from lib.metrics.baselines import copy_paste, copy_source
from lib.metrics.layout import Judge, PatchJudge, ceiling
from lib.metrics.segmenter import SegmenterJudge
from lib.metrics.table import evaluate
from lib.runtime import Runtime, profile, seeded
from lib.training.live import ProgressPrinter

ASPECT_SLACK = 0.02  # a label map may differ from its photo by this much in aspect ratio: rounding, not cropping
SHEET = "contact_sheet"
OTHER_PHOTO = 0.05  # mean difference of two pictures in [-1, 1] above which they are not the same photo, saved twice


@dataclass(frozen=True)
class AnalogyCommand:
    """Train on one photo and paint it in new layouts.

    Writes one PNG per target, contact_sheet.png, metrics.json and the trained model to the folder --out.
    """

    image: Path
    """the photo"""
    label: Path
    """its label map: one colour per class"""
    target: tuple[Path, ...]
    """one or more new label maps, in the same colours"""
    out: Path
    """folder for the results"""
    profile: Literal["quick", "full"] | None = None
    """quick: minutes on two CPU cores; full: a GPU. Default: BOOK_PROFILE, else quick"""
    side: int | None = None
    """long side of the pictures in pixels; default 128 (quick) or 256 (full)"""
    minutes: float | None = None
    """stop the training after so many minutes; default: the rounds of the profile"""
    seed: int = 0
    """seed of the training"""
    device: str | None = None
    """cuda, mps or cpu; default: the fastest"""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """continue an interrupted training in --out"""
    model: Path | None = None
    """a model.safetensors of an earlier run on this photo: paint with it, do not train"""


def main(config: AnalogyCommand) -> int:
    """Run the command; errors are one-sentence exceptions."""
    _check(config)
    reused = None if config.model is None else Analogist.load(config.model, runtime=Runtime.detect(config.device))
    image, layout, targets = _read(config, _side(config, reused))
    config.out.mkdir(parents=True, exist_ok=True)
    analogist = _learned(config, image, layout) if reused is None else _fitting(config, reused, image, layout)
    pictures = {name: analogist.paint(target) for name, target in targets.items()}
    for name, picture in pictures.items():
        write_png(picture, config.out / f"{name}.png")
        print(f"wrote {config.out / f'{name}.png'}")
    _write_sheet(config.out / f"{SHEET}.png", image, layout, targets, pictures)
    print(f"wrote {config.out / f'{SHEET}.png'}")
    rows = measure(image, layout, targets, pictures, seed=config.seed)
    write_atomically(config.out / "metrics.json", (json.dumps(rows, indent=2) + "\n").encode())
    print(f"wrote {config.out / 'metrics.json'}")
    _print_summary(rows)
    return 0


def measure(
    image: Tensor, layout: LabelMap, targets: dict[str, LabelMap], pictures: dict[str, Tensor], *, seed: int = 0
) -> dict[str, dict[str, dict[str, float]]]:
    """Scores of the pictures and of their trivial competitors: target -> method -> measure -> value.

    Both judges are independent of the training: one is a network of its own, one has no weights at all. The
    row ``ceiling`` is what the judges reach on real pixels, the photo itself under a warp.
    """
    photo, one_hot = image.unsqueeze(0).cpu(), layout.one_hot()
    judges: dict[str, Judge] = {
        "patches": PatchJudge(photo, one_hot),
        "segmenter": SegmenterJudge.fit(photo, one_hot, generator=seeded(seed)),
    }
    tops = {name: ceiling(judge, photo, one_hot, generator=seeded(seed)) for name, judge in judges.items()}
    top = {f"accuracy/{n}": s.accuracy for n, s in tops.items()} | {f"miou/{n}": s.miou for n, s in tops.items()}
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name, target in targets.items():
        methods = {
            "copy": copy_source(photo, target.one_hot()),
            "copy-paste": copy_paste(photo, one_hot, target.one_hot()),
            "ours": pictures[name].cpu(),
        }
        rows[name] = {m: evaluate(p, target, photo, layout, judges) for m, p in methods.items()} | {"ceiling": top}
    return rows


def _profile(config: AnalogyCommand) -> AnalogyConfig:
    chosen = config.profile or profile()
    return AnalogyConfig.full() if chosen == "full" else AnalogyConfig.quick()


def _check(config: AnalogyCommand) -> None:
    if config.side is not None and config.side < 32:
        raise ValueError(f"--side is {config.side}; pictures need at least 32 px.")
    if config.minutes is not None and config.minutes <= 0:
        raise ValueError(f"--minutes is {config.minutes}; give a positive number.")
    if config.out.exists() and not config.out.is_dir():
        raise ValueError(f"--out {config.out} is a file; give a folder for the results.")
    stems = [path.stem for path in config.target]
    repeated = sorted({stem for stem in stems if stems.count(stem) > 1})
    if repeated:
        raise ValueError(f"Two targets are called {repeated[0]!r}; results are named after them, so rename one.")
    if SHEET in stems:
        raise ValueError(f"A target is called {SHEET!r}, as is the overview of the results; rename it.")
    inputs = {path.resolve() for path in (config.image, config.label, *config.target)}
    lost = [path for stem in [*stems, SHEET] if (path := config.out / f"{stem}.png").resolve() in inputs]
    if lost:
        raise ValueError(f"A result would overwrite {lost[0]}, which is read here; choose another folder for --out.")


def _side(config: AnalogyCommand, reused: Analogist | None) -> int:
    """Long side of the photo in pixels; a trained model has its own."""
    if reused is None:
        return config.side or _profile(config).side
    own = max(reused.layout.height, reused.layout.width)
    if config.side not in (None, own):
        raise ValueError(f"--side is {config.side}, but {config.model} was trained at {own} px; leave --side out.")
    return own


def _read(config: AnalogyCommand, side: int) -> tuple[Tensor, LabelMap, dict[str, LabelMap]]:
    """Photo and layouts at the training size; a target keeps its own size relative to the photo."""
    image = read_image(config.image, side=side, multiple=8)
    photo = open_image(config.image)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layout = read_label_map(config.label)
        targets = {path.stem: read_label_map(path, palette=layout.palette) for path in config.target}
    for warning in caught:
        print(f"note: {warning.message}")
    ratio = layout.width / layout.height * photo.height / photo.width
    if abs(ratio - 1) > ASPECT_SLACK:
        raise LabelError(
            f"The photo is {photo.width} x {photo.height} px and its label map {layout.width} x {layout.height}; "
            "they must show the same picture: crop or resize one to the aspect ratio of the other."
        )
    scale = max(image.shape[-2:]) / max(layout.width, layout.height)
    fitted = {
        name: target.resized(*fit_size(target.height, target.width, round(scale * max(target.height, target.width))))
        for name, target in targets.items()
    }
    sizes = {"photo": (image.shape[-2], image.shape[-1])} | {n: (t.height, t.width) for n, t in fitted.items()}
    for name, (height, width) in sizes.items():
        if min(height, width) < LEAST_SIDE:  # now, and not when the training is over
            raise ValueError(
                f"With a long side of {side} px for the photo, {name!r} becomes {width} x {height} px, and each side "
                f"needs at least {LEAST_SIDE}; give a larger --side, or draw the target at the scale of the label map."
            )
    print(f"classes: {', '.join(layout.palette.names)}")
    return image, layout.resized(*image.shape[-2:]), fitted


def _learned(config: AnalogyCommand, image: Tensor, layout: LabelMap) -> Analogist:
    chosen = _profile(config)
    chosen = replace(chosen, side=config.side or chosen.side)
    check_photo(image, layout)
    checkpoint = config.out / "training.safetensors"
    if config.resume and not checkpoint.exists():
        print(f"note: there is no {checkpoint}; training starts from the beginning.")
    analogist = Analogist.train(
        image, layout, chosen, seed=config.seed, runtime=Runtime.detect(config.device),
        budget_s=None if config.minutes is None else 60 * config.minutes,
        checkpoint=checkpoint, resume=config.resume, on_round=ProgressPrinter(title=config.image.stem),
    )  # fmt: skip
    analogist.save(config.out / "model.safetensors", data=config.image.name)
    print(f"wrote {config.out / 'model.safetensors'}")
    return analogist


def _fitting(config: AnalogyCommand, reused: Analogist, image: Tensor, layout: LabelMap) -> Analogist:
    """The model, if it was trained on this photo and these classes."""
    known = reused.image.cpu()
    if known.shape != image.shape or float((known - image).abs().mean()) > OTHER_PHOTO:
        raise ValueError(f"{config.model} was trained on another photo than {config.image}; give that photo, or train.")
    if reused.layout.palette != layout.palette:
        raise LabelError(
            f"{config.model} was trained on the classes {', '.join(reused.layout.palette.names)}, but the label map "
            f"has {', '.join(layout.palette.names)}; give the label map that it was trained on."
        )
    return reused


def _write_sheet(
    path: Path, image: Tensor, layout: LabelMap, targets: dict[str, LabelMap], pictures: dict[str, Tensor]
) -> None:
    """Layouts above, pictures below; the source pair comes first."""
    rows: list[list[Tensor | LabelMap]] = [[layout, *targets.values()], [image, *pictures.values()]]
    sheet = contact_sheet(rows, titles=["source", *targets], scale=2)
    sheet.save(path)


def summary(rows: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over the targets: method -> measure -> value, of what `measure` gave."""
    by_method: dict[str, dict[str, list[float]]] = {}
    for row in rows.values():
        for method, values in row.items():
            for name, value in values.items():
                by_method.setdefault(method, {}).setdefault(name, []).append(value)
    return {
        method: {name: round(sum(values) / len(values), 4) for name, values in columns.items()}
        for method, columns in by_method.items()
    }


def _print_summary(rows: dict[str, dict[str, dict[str, float]]]) -> None:
    means = summary(rows)
    shown = ("accuracy/patches", "accuracy/segmenter", "miou/segmenter", "coherence@1", "completeness@1", "sharpness")
    print("\nmean over targets   " + "".join(f"{method:>14}" for method in means))
    for name in shown:
        cells = [f"{row[name]:14.3f}" if name in row else " " * 14 for row in means.values()]
        print(f"{name:<20}" + "".join(cells))


__all__ = ["AnalogyCommand", "main", "measure", "summary"]
