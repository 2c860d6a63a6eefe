"""What a translated or rebuilt picture kept of the original: structure, sharpness, and what a reader reads in it.

The world supplies what a real data set cannot: the label map, which tells the background from the face, the
true gaze, and the true picture in the other domain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.metrics.checks import MeasureError
from lib.metrics.reader import AttributeReader
from lib.metrics.reconstruction import psnr

__all__ = [
    "border", "by_scale", "contours", "dial_error", "explained", "kept", "painted", "sharpness", "strangeness",
    "translation_scores",
]  # fmt: skip

BACKGROUND = 0
_FLAT = 1e-12  # mean square of what rounding leaves of a flat region; one step of a byte is 6e-5


def explained(rebuilt: Tensor, image: Tensor, mask: Tensor) -> float:
    """The share of the structure within a region that was kept: 1 - error / variance.

    Variance is about each picture's own mean colour in the region. So 1 is a copy, 0 is a flat wall in the
    right colour, and less than 0 is worse than painting nothing there: noise.

    Args:
        rebuilt, image: (B, 3, H, W).
        mask: (B, H, W) bool, the region; a picture without any of it does not count.

    Raises:
        MeasureError: the shapes differ, no picture shows the region, or it is flat in every picture.
    """
    weight = _weight(rebuilt, image, mask)
    count = weight.sum(dim=(2, 3), keepdim=True)
    mean = (image * weight).sum(dim=(2, 3), keepdim=True) / count.clamp_min(1)
    error = ((rebuilt - image).square() * weight).sum()
    spread = ((image - mean).square() * weight).sum()
    _require_structure(spread / (image.shape[1] * count.sum()))
    return float(1 - error / spread)


def sharpness(picture: Tensor, image: Tensor, mask: Tensor) -> float:
    """Gradient energy of `picture` over that of `image` within a region: 1 is as crisp, 0 is flat.

    The energy is the mean squared difference between neighbouring pixels. Noise has much of it, too: read this
    number together with `explained`.

    Raises:
        MeasureError: as `explained`.
    """
    weight = _weight(picture, image, mask)
    energy = _energy(image, weight)
    _require_structure(energy)
    return float(_energy(picture, weight) / energy)


def painted(picture: Tensor, original: Tensor, truth: Tensor) -> tuple[float, float]:
    """How much of the true change a picture shows, and how much else it changed.

    The change picture - original is split into its part along truth - original, a share s of it, and the rest, which
    is at right angles. The squared error is (1 - s)^2 plus the stray, in units of what the copy misses. So a copy
    has (0, 0) and the truth (1, 0); a paler attribute in the right place has a share below 1 and no stray.

    Args:
        picture, original, truth: (B, 3, H, W); truth is the same scene with the attribute.

    Returns:
        The share s, and |rest|^2 / |truth - original|^2, both over all pictures together.

    Raises:
        MeasureError: the shapes differ, or the truth is the original.
    """
    if not picture.shape == original.shape == truth.shape:
        shapes = ", ".join(str(tuple(each.shape)) for each in (picture, original, truth))
        raise MeasureError(f"The pictures differ: {shapes}.")
    done, wanted = picture - original, truth - original
    length = wanted.square().sum()
    if float(length) <= _FLAT * wanted.numel():
        raise MeasureError("The true pictures are the originals; there is no change to paint.")
    share = (done * wanted).sum() / length
    return float(share), float((done - share * wanted).square().sum() / length)


def border(labels: Tensor, classes: list[int]) -> Tensor:
    """Pixels at most one pixel away from the edge of a region: (B, H, W) uint8 labels -> (B, H, W) bool."""
    region = torch.isin(labels, torch.tensor(classes, dtype=labels.dtype, device=labels.device)).float()[:, None]
    grown, shrunk = F.max_pool2d(region, 3, 1, 1), -F.max_pool2d(-region, 3, 1, 1)
    return (grown > shrunk)[:, 0]


def by_scale(picture: Tensor, image: Tensor, mask: Tensor, *, scales: int = 4) -> list[tuple[float, float]]:
    """Energy and agreement of what two pictures show within a region, from the finest scale to the coarsest.

    A scale is what a blur by [1, 2, 1] takes away, at full size, half size, … *Energy* is that of `picture` over
    that of `image`; *agreement* is their correlation. Blur has energy 0; noise has energy, and agreement 0.
    Only places whose whole neighbourhood lies in the region count.

    Args:
        picture, image: (B, 3, H, W).
        mask: (B, H, W) bool, the region.
        scales: at most log2 of the size, less one.
    """
    inside, rows = _weight(picture, image, mask), []
    for _ in range(scales):
        weight = -F.max_pool2d(-inside, 3, 1, 1)
        a, b = (_detail(x) for x in (picture, image))
        both, own, other = ((x * weight).sum() for x in (a * b, a.square(), b.square()))
        rows.append((float(own / other), float(both / (own * other).sqrt())))
        picture, image, inside = F.avg_pool2d(picture, 2), F.avg_pool2d(image, 2), -F.max_pool2d(-inside, 2)
    return rows


def contours(picture: Tensor, truth: Tensor) -> float:
    """Do the same edges run the same way? Correlation of the steps between neighbouring pixels, mean over pictures.

    1 for the same contours in whatever contrast, -1 for the negative, 0 for a flat wall and for edges elsewhere. An
    edge smeared over k pixels keeps 1 / sqrt(k), so the average of many pictures has hardly any.

    Args:
        picture, truth: (B, 3, H, W).

    Raises:
        MeasureError: the shapes differ, or a true picture is flat.
    """
    if picture.shape != truth.shape:
        raise MeasureError(f"The pictures differ: {tuple(picture.shape)} and {tuple(truth.shape)}.")
    a, b = (torch.cat([x.diff(dim=axis).flatten(1) for axis in (2, 3)], dim=1) for x in (picture, truth))
    own, other = (x.square().sum(dim=1) for x in (a, b))
    if bool((other <= _FLAT * other.numel()).any()):
        raise MeasureError("A true picture is flat; there are no contours to find again.")
    return float(((a * b).sum(dim=1) / (own * other).sqrt().clamp_min(_FLAT)).mean())


@torch.no_grad()
def strangeness(picture: Tensor, truth: Tensor, maps: Callable[[Tensor], Sequence[Tensor]]) -> float:
    """How unlike its true partner a picture is, to a network: 0 the same, 1 as unlike as two different true pictures.

    At each place the features are scaled to length 1 and their squared difference taken, mean over the places, sum
    over the layers (LPIPS, Zhang et al. 2018, without its learned weights).

    Args:
        picture, truth: (B, 3, H, W), at least two.
        maps: pictures -> feature maps (B, C, h, w); a `lib.losses.perceptual.FeatureMaps` that took no part in making
            the pictures.

    Raises:
        MeasureError: the shapes differ, or the true pictures are all alike.
    """
    if picture.shape != truth.shape:
        raise MeasureError(f"The pictures differ: {tuple(picture.shape)} and {tuple(truth.shape)}.")
    found, right = ([F.normalize(layer.float(), dim=1) for layer in maps(x)] for x in (picture, truth))
    own, others = (
        sum(float((a - b.roll(turn, dims=0)).square().sum(dim=1).mean()) for a, b in zip(left, right, strict=True))
        for left, turn in ((found, 0), (right, 1))
    )
    if others <= _FLAT:
        raise MeasureError("The true pictures are all alike to this network; give at least two that differ.")
    return own / others


@torch.no_grad()
def kept(reader: AttributeReader, picture: Tensor, truth: Mapping[str, Tensor]) -> dict[str, float]:
    """Attribute -> share of the pictures in which the reader reads its true value; the reader's own limit beside."""
    return dict(reader.scores(picture, {k: v for k, v in truth.items() if k in reader.config.attributes}).accuracy)


@torch.no_grad()
def dial_error(reader: AttributeReader, picture: Tensor, truth: Tensor, name: str) -> float:
    """Mean distance between the continuous parameter (gaze, pose …) that the reader reads and the true one.

    In the world's units. Beside it belong the reader's own error on real pictures (the floor) and the error of
    always answering the mean (chance).
    """
    answer = reader.read(picture).parameters[name]
    return float((answer - truth.reshape(answer.shape)).norm(dim=1).mean())


def translation_scores(
    reader: AttributeReader, picture: Tensor, here: Mapping[str, Tensor], target: Mapping[str, Tensor]
) -> dict[str, float]:
    """Everything that chapter 3 measures about one set of pictures.

    Args:
        picture: (N, 3, H, W), translated or rebuilt; the originals themselves give the copy baseline.
        here: the originals: ``image``, ``labels`` and parameters.
        target: the true answer, from the same world: ``image``, ``labels`` and parameters.

    Returns:
        ``psnr`` (dB, to the truth); ``read/NAME`` accuracies; ``gaze`` error; ``explained/REGION`` and
        ``sharpness/REGION`` for background and person, measured where both pictures show the region.
    """
    far = (here["labels"] == BACKGROUND) & (target["labels"] == BACKGROUND)
    near = (here["labels"] != BACKGROUND) & (target["labels"] != BACKGROUND)
    scores = {"psnr": float(psnr(picture, target["image"], data_range=(-1.0, 1.0)).mean())}
    scores |= {f"read/{name}": value for name, value in kept(reader, picture, target).items()}
    if "gaze" in reader.config.parameters:
        scores["gaze"] = dial_error(reader, picture, target["gaze"], "gaze")
    for region, mask in (("background", far), ("person", near)):
        scores[f"explained/{region}"] = explained(picture, target["image"], mask)
        scores[f"sharpness/{region}"] = sharpness(picture, target["image"], mask)
    return scores


def _weight(picture: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    if picture.shape != image.shape or mask.shape != (len(image), *image.shape[2:]):
        raise MeasureError(
            f"The pictures {tuple(picture.shape)} and {tuple(image.shape)} and the mask {tuple(mask.shape)} must "
            "have the same size: (B, 3, H, W) twice and (B, H, W)."
        )
    if not bool(mask.any()):
        raise MeasureError("No picture shows the region; check the label.")
    return mask[:, None].to(image.dtype)


def _require_structure(mean_square: Tensor) -> None:
    if float(mean_square) <= _FLAT:
        raise MeasureError(
            "The originals are flat within the region, so there is no structure to keep; choose another."
        )


def _detail(x: Tensor) -> Tensor:
    """What a blur by [1, 2, 1] in both directions takes away."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return x - F.avg_pool2d(F.avg_pool2d(padded, 2, 1), 2, 1)


def _energy(image: Tensor, weight: Tensor) -> Tensor:
    """Mean squared difference of neighbours that both lie in the region."""
    total = image.new_zeros(())
    for axis in (2, 3):
        size = image.shape[axis] - 1
        both = weight.narrow(axis, 0, size) * weight.narrow(axis, 1, size)
        total = total + (image.diff(dim=axis).square() * both).sum() / (3 * both.sum()).clamp_min(1)
    return total
