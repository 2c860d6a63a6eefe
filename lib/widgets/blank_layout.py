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

from lib.labelmaps import DISTINCT_COLOURS, LabelError, LabelMap, Palette

__all__ = ["blank_layout"]


def blank_layout(photo: Tensor, names: Sequence[str]) -> LabelMap:
    """A map of the photo's size in which every pixel is of the first class.

    Args:
        photo: (3, H, W).
        names: of the classes; the first is the background.

    Raises:
        LabelError: not 2 to 16 names, or one twice.
    """
    if not 2 <= len(names) <= len(DISTINCT_COLOURS):
        raise LabelError(f"A layout needs 2 to {len(DISTINCT_COLOURS)} classes, not {len(names)}.")
    return LabelMap(np.zeros(photo.shape[-2:], np.uint8), Palette(tuple(names), DISTINCT_COLOURS[: len(names)]))
