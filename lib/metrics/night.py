"""What a picture of a street front says about the hour: which windows are lit, and what colours alone could do.

The world's lamps are drawn at random for every night, so no picture of the day tells them. That makes them a
probe: a translator that returns a night's own lamps must have been told them in secret.
"""

from __future__ import annotations

from torch import Tensor

from lib.book.equations import equation
from lib.data.conditions import grey
from lib.data.worlds.facades_scene import LABEL
from lib.metrics.checks import MeasureError

__all__ = ["lamp_agreement", "lit_share", "lit_windows", "matched_colours"]

BRIGHTER = 0.3  # than the mean of the walls, in brightness in [-1, 1]: by day few panes are, by night half of them


def lit_windows(images: Tensor, labels: Tensor) -> Tensor:
    """Window pixels that are clearly brighter than the walls: (B, 3, H, W), (B, H, W) -> (B, H, W) bool.

    Relative to the walls, so that neither a dark nor a bright picture has lit windows by itself.
    """
    brightness, wall = _parts(images, labels, "wall")
    mean = (brightness * wall).sum(dim=(1, 2)) / wall.sum(dim=(1, 2)).clamp_min(1)
    return (labels == LABEL["window"]) & (brightness > mean[:, None, None] + BRIGHTER)


def lit_share(images: Tensor, labels: Tensor) -> float:
    """The share of all window pixels that are lit; about 0.07 in true pictures of the day, 0.5 of the night.

    Raises:
        MeasureError: there is no window in the label maps.
    """
    windows = _windows(labels)
    return float(lit_windows(images, labels).sum() / windows.sum())


@equation("5.8", tests="tests/equations/test_cycle.py::test_lamp_agreement_is_a_correlation_over_windows")
def lamp_agreement(one: Tensor, other: Tensor, labels: Tensor) -> float:
    """Correlation of the brightness of window pixels in two nights, each picture's own mean taken out.

    1: the same lamps are lit, 0: the two know nothing of each other.

    Args:
        one, other: (B, 3, H, W).
        labels: (B, H, W), of both.

    Raises:
        MeasureError: there is no window, or no window differs from another.
    """
    mask = _windows(labels).float()
    a, b = (_centred(grey(images)[:, 0], mask) for images in (one, other))
    energy = (a.square().sum() * b.square().sum()).sqrt()
    if float(energy) <= 1e-12:
        raise MeasureError("The windows of one of the nights are all alike, so no lamps can be compared.")
    return float((a * b).sum() / energy)


def matched_colours(images: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """A translation without learning: each colour shifted and scaled to the mean and spread of the other domain.

    Args:
        images: (B, 3, H, W), of the source domain.
        source, target: unpaired pictures (N, 3, H, W) of both domains, from which the two numbers are taken.
    """
    axes = (0, 2, 3)
    (mean, spread), (new_mean, new_spread) = (
        (domain.mean(dim=axes)[:, None, None], domain.std(dim=axes)[:, None, None]) for domain in (source, target)
    )
    return ((images - mean) / spread * new_spread + new_mean).clamp(-1, 1)


def _parts(images: Tensor, labels: Tensor, name: str) -> tuple[Tensor, Tensor]:
    return grey(images)[:, 0], (labels == LABEL[name]).float()


def _windows(labels: Tensor) -> Tensor:
    windows = labels == LABEL["window"]
    if not bool(windows.any()):
        raise MeasureError("There is no window in the label maps; take pictures of street fronts.")
    return windows


def _centred(brightness: Tensor, mask: Tensor) -> Tensor:
    """Brightness within the mask less each picture's own mean there, 0 elsewhere."""
    mean = (brightness * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2)).clamp_min(1)
    centred: Tensor = (brightness - mean[:, None, None]) * mask
    return centred
