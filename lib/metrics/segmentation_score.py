"""FCN-score: does a segmenter that knows the real world find in a picture the label map that was ordered?

The route of pix2pix (Isola et al. 2017, section 4): train a segmenter on real pictures, let it parse the generated
ones, and compare with the labels they were made from. The segmenter errs on real pictures too, so every score
belongs beside its *ceiling*, the score of real test pictures. All scores are pooled: one confusion matrix over
all pixels of all pictures. An average of the scores of single pictures is another number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from lib.book.equations import equation
from lib.metrics.checks import MeasureError, as_rgb, check_images
from lib.metrics.judge_files import StoredJudge
from lib.metrics.layout import Judge
from lib.nn.judges import UNet

__all__ = [
    "FCNScore",
    "ParserConfig",
    "SceneParser",
    "confusion",
    "fcn_score",
    "load_parser",
    "score_of",
]


@dataclass(frozen=True)
class FCNScore:
    """Agreement with the ordered label maps, pooled over all pixels."""

    pixel_accuracy: float  # share of pixels with the right class
    class_accuracy: float  # mean over the ordered classes of the share of their pixels that is right
    miou: float  # mean over the classes that occur in either map of intersection / union
    per_class: tuple[float, ...]  # intersection / union; NaN for a class in neither
    n: int  # pixels

    def relative(self, ceiling: FCNScore) -> float:
        """mIoU as a share of what the segmenter reaches on real pictures."""
        return self.miou / max(ceiling.miou, 1e-6)

    def __str__(self) -> str:
        return f"pixel {self.pixel_accuracy:.3f}, class {self.class_accuracy:.3f}, mIoU {self.miou:.3f}"


def confusion(predicted: Tensor, ordered: Tensor, classes: int) -> Tensor:
    """Pixel counts (K, K), int64: row the ordered class, column the predicted one. Sum them over batches.

    Raises:
        MeasureError: the maps differ in shape, or hold a class outside 0..K-1.
    """
    if predicted.shape != ordered.shape:
        raise MeasureError(f"The maps differ: {tuple(predicted.shape)} predicted, {tuple(ordered.shape)} ordered.")
    predicted, ordered = predicted.long(), ordered.long()
    for name, labels in (("predicted", predicted), ("ordered", ordered)):
        if labels.numel() == 0 or int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise MeasureError(f"The {name} maps must hold classes from 0 to {classes - 1}.")
    matrix: Tensor = multiclass_confusion_matrix(predicted, ordered, classes, validate_args=False)
    return matrix


@equation("4.7", tests="tests/equations/test_paired.py::test_score_of")
def score_of(matrix: Tensor) -> FCNScore:
    """The three scores of a pooled confusion matrix (K, K)."""
    matrix = matrix.double()
    hit, ordered, predicted = matrix.diagonal(), matrix.sum(dim=1), matrix.sum(dim=0)
    union = ordered + predicted - hit
    per_class = torch.where(union > 0, hit / union, torch.nan)
    recall = torch.where(ordered > 0, hit / ordered, torch.nan)
    return FCNScore(
        pixel_accuracy=float(hit.sum() / matrix.sum()),
        class_accuracy=float(recall.nanmean()),
        miou=float(per_class.nanmean()),
        per_class=tuple(per_class.tolist()),
        n=int(matrix.sum()),
    )


def fcn_score(parser: Judge, images: Tensor, ordered: Tensor, *, classes: int, batch: int = 64) -> FCNScore:
    """Parse pictures and compare with the label maps that they were made from.

    The ceiling is the same call on real pictures of the test split with their own label maps.

    Args:
        parser: a segmenter that took no part in making the pictures: `load_parser("facades")`.
        images: (B, 1 or 3, H, W) in [-1, 1].
        ordered: class indices (B, H, W).
        classes: K.
        batch: pictures parsed at once.

    Raises:
        MeasureError: another shape or range.
    """
    images = check_images(images)
    if len(images) != len(ordered):
        raise MeasureError(f"There are {len(images)} pictures, but {len(ordered)} label maps.")
    parts = zip(images.split(batch), ordered.split(batch), strict=True)
    matrices = [confusion(parser.predict(some), labels, classes) for some, labels in parts]
    return score_of(torch.stack(matrices).sum(dim=0))


@dataclass(frozen=True)
class ParserConfig:
    """What a segmenter parses and how large it is."""

    name: str  # of the world
    classes: tuple[str, ...]  # names of the classes, in the order of their indices
    size: int = 64  # side of the pictures that it was trained on
    widths: tuple[int, ...] = (16, 32, 64, 96)  # channels at each resolution

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ParserConfig:
        """The config that a card holds."""
        return cls(**{**values, "classes": tuple(values["classes"]), "widths": tuple(values["widths"])})


class SceneParser(StoredJudge):
    """A U-Net that knows the label maps of a world; a `lib.metrics.layout.Judge`.

    Train it with ``python -m lib train parser``.
    """

    kind = "parser"
    config_type = ParserConfig
    config: ParserConfig

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        self.config, self.name = config, config.name
        self.network = UNet(len(config.classes), widths=config.widths)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [-1, 1] -> class logits (B, K, H, W).

        Raises:
            MeasureError: sides that the poolings do not divide.
        """
        step = 2 ** (len(self.config.widths) - 1)
        if images.shape[-1] % step or images.shape[-2] % step:
            raise MeasureError(f"The parser needs sides divisible by {step}, not {tuple(images.shape[-2:])}.")
        logits: Tensor = self.network(as_rgb(images))
        return logits

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [-1, 1] -> class indices (B, H, W), int64."""
        was_training = self.training
        self.eval()
        labels = self(images.float()).argmax(dim=1)
        self.train(was_training)
        assert isinstance(labels, Tensor)
        return labels


def load_parser(world: str) -> SceneParser:
    """The shipped parser of a world: ``faces`` or ``facades``.

    Raises:
        CheckpointError: there is none; it is made by ``python -m lib train parser --world WORLD``.
    """
    return SceneParser.shipped(world)
