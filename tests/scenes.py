"""A synthetic photo with three classes, and settings small enough for a test."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lib.games.analogy import AnalogyConfig
from lib.labelmaps import LabelMap, Palette
from lib.runtime import Runtime

PALETTE = Palette(("sky", "ground", "ball"), ((70, 130, 220), (60, 160, 60), (220, 60, 40)))
CPU = Runtime(torch.device("cpu"))
TINY: dict[str, Any] = {
    "side": 48, "rounds": 6, "widths": (8, 16, 16), "layout_widths": (8, 8, 8, 8), "residual_blocks": 1,
    "d_width": 8, "s_width": 8, "patch_subset": 32,
}  # fmt: skip


def tiny(**changes: Any) -> AnalogyConfig:
    """A config whose round takes some hundredths of a second."""
    return AnalogyConfig(**(TINY | changes))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Uniform in [-1, 1)."""
    return 2 * torch.rand(*shape, generator=generator(seed)) - 1


def labels(height: int = 32, width: int = 48, *, ball: tuple[float, float] = (0.55, 0.3)) -> npt.NDArray[np.uint8]:
    """Sky over ground with a ball at (row, column), given as fractions of the sides."""
    rows, columns = np.indices((height, width))
    index = (rows >= 0.6 * height).astype(np.uint8)
    index[np.hypot(rows - ball[0] * height, columns - ball[1] * width) < 0.2 * height] = 2
    return index


def layout(height: int = 32, width: int = 48, *, ball: tuple[float, float] = (0.55, 0.3)) -> LabelMap:
    return LabelMap(labels(height, width, ball=ball), PALETTE)


def photo(height: int = 32, width: int = 48, *, grain: float = 0.1) -> tuple[Tensor, LabelMap]:
    """Image (3, H, W) in [-1, 1] in the palette's colours with some grain, and its layout."""
    own = layout(height, width)
    return (0.8 * own.to_rgb() + grain * noise(3, height, width)).clamp(-1, 1), own
