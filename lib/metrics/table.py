"""One row of a results table: everything we measure about one output."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lib.labelmaps import LabelMap
from lib.metrics.appearance import checkerboard_energy, colour_cast, patch_distances, sharpness_ratio
from lib.metrics.layout import Judge, layout_scores
from lib.metrics.sifid import sifid


def evaluate(
    output: Tensor,
    target_layout: Tensor | LabelMap,
    photo_image: Tensor,
    photo_layout: Tensor | LabelMap,
    judges: Mapping[str, Judge],
) -> dict[str, float]:
    """Layout fidelity and appearance of one output.

    Args:
        output: (3, H, W) or (1, 3, H, W) in [-1, 1].
        target_layout: what was ordered; one-hot (1, K, H, W) or a label map.
        photo_image: (3, h, w) or (1, 3, h, w) in [-1, 1].
        photo_layout: the photo's layout.
        judges: name -> judge; none of them may have been a loss of the system that is judged.

    Returns:
        ``miou/NAME`` and ``accuracy/NAME`` for each judge; ``coherence@L`` and ``completeness@L`` for each
        pyramid level; ``colour_mean``, ``colour_frechet``, ``sharpness``, ``checkerboard`` and
        ``sifid/random-conv``, ``sifid/patch-pca``. Layout: higher is better. Sharpness, checkerboard: 1 is
        the photo. All others: 0 is perfect.

    Raises:
        ValueError: the output and the target layout, or the photo and its layout, differ in size.
    """
    output, photo = (t.detach().float().reshape(1, *t.shape[-3:]) for t in (output, photo_image))
    target, layout = _one_hot(target_layout, output), _one_hot(photo_layout, photo)
    for name, image, labels in (("output", output, target), ("photo", photo, layout)):
        if image.shape[2:] != labels.shape[2:]:
            raise ValueError(
                f"The {name} is {tuple(image.shape[2:])}, its layout {tuple(labels.shape[2:])}; resize one."
            )
    row: dict[str, float] = {}
    for name, judge in judges.items():
        scores = layout_scores(judge.predict(output), target)
        row |= {f"miou/{name}": scores.miou, f"accuracy/{name}": scores.accuracy}
    row |= patch_distances(output, photo)
    row |= colour_cast(output, target, photo, layout)
    row["sharpness"] = sharpness_ratio(output, target, photo, layout)
    row["checkerboard"] = checkerboard_energy(output, photo)
    row["sifid/random-conv"] = sifid(output, photo, "random-conv")
    row["sifid/patch-pca"] = sifid(output, photo, "patch-pca")
    return row


def _one_hot(layout: Tensor | LabelMap, image: Tensor) -> Tensor:
    if isinstance(layout, LabelMap):
        return layout.one_hot(image.device)
    return layout.detach().float().reshape(1, *layout.shape[-3:])
