"""Colour tables of the street fronts, and how a picture picks from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

RGB = tuple[float, float, float]


@lru_cache(maxsize=256)
def constant(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """A table of numbers, copied to a device once."""
    return torch.tensor(values, device=device)


def choose(colours: Sequence[RGB], number: Tensor) -> Tensor:
    """One of `colours` for each picture: `number` (B,) in [0, 1) -> (B, 3)."""
    table = constant(tuple(colours), number.device)
    return table[(number * len(colours)).long().clamp(0, len(colours) - 1)]


def fixed(colour: RGB, like: Tensor) -> Tensor:
    """One colour for all pictures of `like` (B, …), as (B, 3)."""
    return constant((colour,), like.device).expand(like.shape[0], 3)
