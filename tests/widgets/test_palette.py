"""The colours of classes without one of their own can be told apart by readers who see two kinds of cones only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from skimage.color import rgb2lab

from lib.labelmaps import DISTINCT_COLOURS
from lib.widgets.layout_editor import LayoutEditor
from tests.scenes import layout

# What a screen's linear red, green and blue look like to them: Machado, Oliveira and Fernandes (2009), severity 1.
SIGHTS = {
    "three kinds": np.eye(3),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


def seen(colours: npt.ArrayLike, sight: str) -> npt.NDArray[np.float64]:
    """Colours (K, 3) in 0..255 -> CIELAB (K, 3) as somebody sees them."""
    value = np.asarray(colours, dtype=np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ SIGHTS[sight].T, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(rgb2lab(shown[None])[0])


def closest(colours: npt.ArrayLike, sight: str) -> float:
    """The smallest distance of two of the colours."""
    lab = seen(colours, sight)
    first, second = np.triu_indices(len(lab), 1)
    return float(np.linalg.norm(lab[first] - lab[second], axis=1).min())


@pytest.mark.parametrize(("sight", "least"), [("three kinds", 25), ("deuteranopia", 16), ("protanopia", 16),
                                              ("tritanopia", 16)])  # fmt: skip
def test_any_two_colours_differ_for_every_reader(sight: str, least: float) -> None:
    assert closest(DISTINCT_COLOURS, sight) > least  # a step of 2.3 is just seen when both lie side by side


def test_red_and_green_are_found_alike() -> None:
    assert closest([(122, 122, 122), (0, 158, 115)], "deuteranopia") < 11 < closest(DISTINCT_COLOURS, "deuteranopia")


def test_the_browser_takes_new_classes_from_the_same_list() -> None:
    spare = LayoutEditor(layout()).get_state("snapshot")["snapshot"]["spare"]
    assert [tuple(colour) for colour in spare] == list(DISTINCT_COLOURS)
