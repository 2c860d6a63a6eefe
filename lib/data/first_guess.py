"""A first segmentation of a photo by clustering: a start for the brush, not a replacement for the eye.

    layout = first_guess(read_image("photo.jpg", side=128, multiple=8), classes=5)

Superpixels follow the edges of the photo; k-means sorts them by colour, texture and place; crumbs are swept up. The
classes are numbered, the largest first: clustering knows what looks alike, not what it is called.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage, optimize
from torch import Tensor

from lib.book.equations import equation
from lib.labelmaps import DISTINCT_COLOURS, LabelError, LabelMap, Palette

__all__ = ["MAX_CLASSES", "Agreement", "GuessConfig", "agreement", "first_guess", "superpixels", "swept"]

Index = npt.NDArray[np.intp]
Features = npt.NDArray[np.float64]

MAX_CLASSES = 12  # of a guess; more pieces of more colours are quicker painted by hand
_LEAST_SIDE = 16  # px; below that a superpixel has no texture left to measure


@dataclass(frozen=True)
class GuessConfig:
    """What the clustering looks at."""

    pieces: int = 400  # superpixels, roughly
    compactness: float = 10.0  # of the superpixels; more makes them rounder and less true to edges
    colour: float = 1.0  # weight of the mean colour (CIELAB)
    texture: float = 0.2  # weight of contrast and edge strength
    place: float = 0.2  # weight of column and row
    crumbs: float = 0.006  # a connected region below this share goes to its surroundings: about two superpixels

    def __post_init__(self) -> None:
        if self.pieces < 2 or self.compactness <= 0:
            raise LabelError(
                f"pieces must be at least 2 and compactness positive, got {self.pieces} and {self.compactness:g}."
            )
        if min(self.colour, self.texture, self.place) < 0 or self.colour + self.texture + self.place == 0:
            raise LabelError("The weights colour, texture and place must not be negative, and not all 0.")
        if not 0 <= self.crumbs < 0.5:
            raise LabelError(f"crumbs is a share of the picture from 0 to below 0.5, got {self.crumbs:g}.")


@dataclass(frozen=True)
class Agreement:
    """How well a guess fits a layout, classes being paired as well as they can be."""

    miou: float  # mean over the layout's classes of the overlap with their partner; 0 for a class without one
    accuracy: float  # share of the pixels whose class is paired with the layout's
    pairs: dict[str, str]  # class of the guess -> class of the layout


def first_guess(image: Tensor, classes: int = 5, config: GuessConfig | None = None, *, seed: int = 0) -> LabelMap:
    """Segment a photo by clustering its superpixels.

    Args:
        image: (3, H, W) in [-1, 1].
        classes: how many to look for, 2 to 12. Fewer come back when crumbs were all there was of one.
        config: weights of colour, texture and place.
        seed: of the k-means, which starts from random centres.

    Returns:
        A label map of the photo's size with the classes "region 1", "region 2", ..., the largest first.

    Raises:
        LabelError: another shape, values that are not finite, too many classes, or a photo of one colour.
    """
    from sklearn.cluster import KMeans  # slow to import, and only a guess needs it

    config = config or GuessConfig()
    _check(image, classes)
    pieces = superpixels(image, config)
    features = _features(image, pieces, config)
    different = len(np.unique(features.round(6), axis=0))
    if different < classes:
        raise LabelError(
            f"The photo has only {different} kinds of pieces, too few for {classes} classes; ask for fewer classes."
        )
    area = np.bincount(pieces.ravel()).astype(np.float64)
    kmeans = KMeans(n_clusters=classes, n_init=10, random_state=seed).fit(features, sample_weight=area)
    index = swept(np.asarray(kmeans.labels_, dtype=np.intp)[pieces], config.crumbs)
    return _numbered(index)


def superpixels(image: Tensor, config: GuessConfig | None = None) -> Index:
    """Pieces of nearly one colour that follow the edges of the photo (SLIC, Achanta et al. 2012).

    Args:
        image: (3, H, W) in [-1, 1].
        config: their number and compactness.

    Returns:
        (H, W): the number of each pixel's piece, from 0 without gaps.
    """
    from skimage.segmentation import slic  # slow to import

    config = config or GuessConfig()
    found = slic(_rgb(image), n_segments=config.pieces, compactness=config.compactness, start_label=0)
    return np.unique(found, return_inverse=True)[1].reshape(found.shape).astype(np.intp)


def swept(index: Index, crumbs: float) -> Index:
    """Give every connected region (four neighbours) below a share of the picture to its nearest surroundings.

    If there are only crumbs, nothing changes: there is nobody to give them to.
    """
    small = np.zeros(index.shape, dtype=bool)
    for label in np.unique(index):
        regions, _ = ndimage.label(index == label)
        area = np.bincount(regions.ravel())
        small |= (regions > 0) & (area[regions] < crumbs * index.size)
    if not small.any() or small.all():
        return index
    rows, columns = ndimage.distance_transform_edt(small, return_distances=False, return_indices=True)
    result: Index = index[rows, columns]
    return result


@equation("13.3", tests="tests/data/test_first_guess.py::test_the_pairing_is_the_best_of_all")
def agreement(guess: LabelMap, layout: LabelMap) -> Agreement:
    """Compare a guess, whose classes have no names, with a layout, under the best one-to-one pairing.

    Each class of the guess is paired with at most one class of the layout, so that the sum of their
    intersections over unions is as large as possible (the assignment problem; Kuhn 1955).

    Raises:
        LabelError: the sizes differ.
    """
    layout.require_size(guess.height, guess.width, owner="the guess")
    overlap = np.zeros((guess.classes, layout.classes))
    np.add.at(overlap, (guess.index.astype(np.intp), layout.index.astype(np.intp)), 1)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    iou = overlap / np.maximum(union, 1)
    rows, columns = optimize.linear_sum_assignment(iou, maximize=True)
    present = int((overlap.sum(0) > 0).sum())
    return Agreement(
        miou=float(iou[rows, columns].sum() / present),
        accuracy=float(overlap[rows, columns].sum() / overlap.sum()),
        pairs={
            guess.palette.names[i]: layout.palette.names[j]
            for i, j in zip(rows, columns, strict=True)
            if overlap[i, j] > 0
        },
    )


def _check(image: Tensor, classes: int) -> None:
    if image.ndim != 3 or image.shape[0] != 3 or min(image.shape[1:]) < _LEAST_SIDE:
        raise LabelError(
            f"The photo must have shape (3, height, width) with sides of {_LEAST_SIDE} px or more, not "
            f"{tuple(image.shape)}; read it with read_image(path, side=128, multiple=8)."
        )
    if not bool(torch.isfinite(image).all()) or float(image.abs().max()) > 1.001:
        raise LabelError("The photo must hold finite values in [-1, 1]; read it with read_image.")
    if not 2 <= classes <= MAX_CLASSES:
        raise LabelError(f"A first guess has 2 to {MAX_CLASSES} classes, not {classes}; paint the others by hand.")


def _rgb(image: Tensor) -> npt.NDArray[np.float32]:
    """(H, W, 3) in [0, 1], as scikit-image expects."""
    rgb: npt.NDArray[np.float32] = ((image.detach().float().cpu() + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy()
    return rgb


def _features(image: Tensor, pieces: Index, config: GuessConfig) -> Features:
    """One row for each piece: colour, texture and place, each group with the variance that its weight gives it."""
    from skimage.color import rgb2lab  # slow to import

    lab = rgb2lab(_rgb(image))
    light = lab[..., 0]
    rows, columns = np.indices(light.shape)
    groups = (
        ([lab[..., k] for k in range(3)], config.colour),
        ([ndimage.gaussian_gradient_magnitude(light, 1.0), _contrast(light)], config.texture),
        ([columns / light.shape[1], rows / light.shape[0]], config.place),
    )
    numbers = np.arange(pieces.max() + 1)
    parts = []
    for channels, weight in groups:
        means = np.stack([ndimage.mean(channel, pieces, numbers) for channel in channels], axis=1)
        # One scale for the whole group: a photo without red and green must not have their noise blown up.
        spread = np.sqrt(means.var(axis=0).sum())
        parts.append(weight * (means - means.mean(axis=0)) / max(float(spread), 1e-6))
    return np.concatenate(parts, axis=1)


def _contrast(light: npt.NDArray[np.float64], size: int = 7) -> npt.NDArray[np.float64]:
    """Standard deviation of the lightness in a window."""
    mean = ndimage.uniform_filter(light, size)
    variance = ndimage.uniform_filter(light**2, size) - mean**2
    contrast: npt.NDArray[np.float64] = np.sqrt(np.maximum(variance, 0))
    return contrast


def _numbered(index: Index) -> LabelMap:
    """Classes in the order of their area, without those that have no pixel left."""
    labels, area = np.unique(index, return_counts=True)
    order = labels[np.argsort(-area, kind="stable")]
    rank = np.zeros(int(labels.max()) + 1, dtype=np.uint8)
    rank[order] = np.arange(len(order))
    names = tuple(f"region {number}" for number in range(1, len(order) + 1))
    return LabelMap(rank[index], Palette(names, DISTINCT_COLOURS[: len(order)]))
