"""An empty layout to paint on, with colours that colour-blind readers can tell apart.

photo = read_image("cat.jpg", side=256, multiple=16)
editor = LayoutEditor(blank_layout(photo, ["grass", "cat", "sky"]), photo)
...                                           # paint, then in another cell
Studio(photo, editor.map)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from lib.label_files import Colour
from lib.labelmaps import LabelError, LabelMap, Palette

__all__ = ["blank_layout"]

_COLOURS: tuple[Colour, ...] = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0), (86, 180, 233),
    (0, 0, 0), (153, 153, 153), (255, 255, 255), (102, 17, 0), (51, 34, 136), (136, 204, 238), (170, 68, 153),
    (221, 204, 119), (17, 119, 51),
)  # fmt: skip
"""Okabe and Ito's eight, then greys and colours of Tol's muted scheme; names tell what colours do not."""


def blank_layout(photo: Tensor, names: Sequence[str]) -> LabelMap:
    """A map of the photo's size in which every pixel is of the first class.

    Args:
        photo: (3, H, W).
        names: of the classes; the first is the background.

    Raises:
        LabelError: not 2 to 16 names, or one twice.
    """
    if not 2 <= len(names) <= len(_COLOURS):
        raise LabelError(f"A layout needs 2 to {len(_COLOURS)} classes, not {len(names)}.")
    return LabelMap(np.zeros(photo.shape[-2:], np.uint8), Palette(tuple(names), _COLOURS[: len(names)]))
