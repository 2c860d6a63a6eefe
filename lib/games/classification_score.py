"""Classification accuracy score: what can be learned from generated pictures alone (Ravuri and Vinyals 2019).

A classifier is trained on generated pictures with the labels they were ordered with, and tested on real ones. A
generator that drops a mode, mixes two classes or draws one face for each label teaches its classifier badly. The
reference is the same classifier trained on as many real pictures. The score shares the classifier's blind spots:
blur and noise cost next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.data.shuffled import Shuffled
from lib.games.judge_train import Schooling
from lib.games.reader_train import train_reader
from lib.metrics.checks import MeasureError, as_rgb, check_images
from lib.metrics.reader import AttributeReader, ReaderConfig
from lib.runtime import Runtime, seeded

__all__ = ["ClassificationScore", "classification_accuracy_score"]


@dataclass(frozen=True)
class ClassificationScore:
    """Accuracy on real test pictures."""

    accuracy: float  # of the classifier that saw generated pictures only
    reference: float  # of the one that saw as many real ones
    per_class: tuple[float, ...]  # of the first; a class that the generator cannot draw shows here
    n_train: int  # pictures that each of them learned from
    n_test: int

    @property
    def gap(self) -> float:
        """How much accuracy the generated pictures cost."""
        return self.reference - self.accuracy

    def __str__(self) -> str:
        return (
            f"CAS {self.accuracy:.1%} (real {self.reference:.1%}); "
            f"learned from {self.n_train}, tested on {self.n_test} real pictures"
        )


def classification_accuracy_score(
    generated: tuple[Tensor, Tensor],
    real: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    classes: int,
    rounds: int = 150,
    batch: int = 64,
    size: int = 16,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> ClassificationScore:
    """Train two classifiers, one on generated and one on real pictures, and test both on real ones.

    Args:
        generated, real, test: pictures (N, 1 or 3, H, W) in [-1, 1] and labels (N,); both training sets are cut
            to the length of the shorter one.
        classes: number of labels.
        rounds, batch: of both trainings.
        size: side to which the classifier brings pictures, a power of two from 16 on.
        seed: of the weights and the order.
        runtime: device and dtype; default the fastest. The sets are moved there.

    Raises:
        MeasureError: another shape or range, labels that do not fit, fewer pictures than a batch, a class that
            `test` does not show.
    """
    runtime = runtime or Runtime.detect()
    named = {"generated": generated, "real": real, "test": test}
    sets = [_checked(*pair, classes, name) for name, pair in named.items()]
    count = min(len(sets[0][1]), len(sets[1][1]))
    if count < batch:
        raise MeasureError(f"Each classifier learns from {count} pictures; give at least a batch of {batch}.")
    _require_every_class(sets[2][1], classes)
    sets = [(images.to(runtime.device), labels.to(runtime.device)) for images, labels in sets]
    config = ReaderConfig("cas", {"label": tuple(map(str, range(classes)))}, size=size, width=16, features=64)

    def trained(images: Tensor, labels: Tensor) -> AttributeReader:
        order = torch.randperm(len(labels), generator=seeded(seed))[:count].to(labels.device)
        stream = Shuffled({"image": images[order], "label": labels[order]}, batch=batch, generator=seeded(seed))
        return train_reader(config, stream, Schooling(rounds, seed=seed), share=0.0, runtime=runtime)[0]

    (images, labels), answers = sets[2], []
    for pair in sets[:2]:
        answers.append(trained(*pair).read(images).values()["label"] == labels)
    per_class = tuple(float(answers[0][labels == label].float().mean()) for label in range(classes))
    accuracy, reference = (float(answer.float().mean()) for answer in answers)
    return ClassificationScore(accuracy, reference, per_class, n_train=count, n_test=len(labels))


def _checked(images: Tensor, labels: Tensor, classes: int, name: str) -> tuple[Tensor, Tensor]:
    images = as_rgb(check_images(images, name=f"{name} images"))
    if labels.shape != (len(images),) or int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise MeasureError(f"The {name} labels must be {len(images)} numbers from 0 to {classes - 1}.")
    return images, labels.long()


def _require_every_class(labels: Tensor, classes: int) -> None:
    absent = torch.nonzero(labels.bincount(minlength=classes) == 0)[:, 0].tolist()
    if absent:
        raise MeasureError(
            f"The test set shows no picture of class {', '.join(map(str, absent))}, so its accuracy is unknown; "
            "add some, or leave the class out everywhere."
        )
