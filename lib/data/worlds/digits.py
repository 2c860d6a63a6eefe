"""Two domains of digits: real handwritten ones, small and clean, and drawn street numbers, coloured and cluttered.

The handwritten digits are the 1797 pictures that scikit-learn carries (the test part of the UCI data set "Optical
Recognition of Handwritten Digits"). They were made by counting the ink in 4 x 4 blocks of a 32 x 32 scan; here
they are brought back to 16 or 32 pixels such that those counts stay true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lib.data.worlds.street_digits import StreetDigits
from lib.data.worlds.world import SPLITS, Batch, Split, WorldError, split_generator

__all__ = ["HandwrittenDigits", "StreetDigits", "handwritten_digits"]

SIZES = (8, 16, 32)
"""Sides in pixels at which the handwritten digits exist; 8 is what scikit-learn stores."""
_HELD_OUT = 270  # pictures in each of val and test, of 1797
_SPLIT_SEED = 0
_REFINEMENTS = 12


def handwritten_digits(
    split: Split = "train", *, size: int = 16, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """The handwritten digits of one split: images (N, 1, size, size) in [-1, 1], ink at 1; digits (N,) int64.

    The splits hold 1257, 270 and 270 pictures, the same on every machine, with all digits in equal shares. The
    data do not tell who wrote what, so writers are not kept apart.

    Raises:
        WorldError: an unknown split or size.
    """
    if split not in SPLITS or size not in SIZES:
        raise WorldError(
            f"Handwritten digits come in the splits {', '.join(SPLITS)} and the sizes {', '.join(map(str, SIZES))}, "
            f"not {split!r} and {size}."
        )
    images, digits = _all_digits(size)
    rows = _rows(split)
    return images[rows].to(device), digits[rows].to(device)


class HandwrittenDigits:
    """An endless stream of shuffled passes over the handwritten digits; a `lib.training.streams.Stream`.

    Args:
        batch: pictures in a batch; one batch may hold the end of a pass and the beginning of the next.
        size: their side, 8, 16 or 32 pixels.
        split: train, val or test.
        channels: 1, or 3 equal ones to meet networks for colour pictures.
        jitter: strength in [0, 1] of a random turn (up to 12 degrees), zoom and slant (up to 12 %) and shift (up
            to 6 % of the side); 0 draws the pictures as they are. Never a flip: a mirrored digit is no digit.
        seed: of the order and the jitter, in [0, 2^30).
        device: where the pictures lie.
    """

    def __init__(
        self,
        *,
        batch: int,
        size: int = 16,
        split: Split = "train",
        channels: int = 1,
        jitter: float = 0.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if batch < 1 or channels not in (1, 3) or not 0 <= jitter <= 1:
            raise WorldError(
                "A stream of digits needs a batch of at least 1, 1 or 3 channels and a jitter in [0, 1], "
                f"not {batch}, {channels} and {jitter}."
            )
        self.images, self.digits = handwritten_digits(split, size=size, device=device)
        self.batch, self.channels, self.jitter = batch, channels, jitter
        self.generator = split_generator(split, seed)
        self.order = torch.randperm(len(self.digits), generator=self.generator)
        self.place = 0

    @torch.no_grad()
    def draw(self, progress: float = 0.0) -> Batch:
        """The next batch: ``image`` (B, channels, size, size) in [-1, 1] and ``digit`` (B,) int64."""
        rows = self._next_rows().to(self.images.device)
        image = self.images[rows]
        if self.jitter:
            image = _jittered(image, self.jitter, self.generator)
        return {"image": image.expand(-1, self.channels, -1, -1).contiguous(), "digit": self.digits[rows]}

    def _next_rows(self) -> Tensor:
        rows: list[Tensor] = []
        missing = self.batch
        while missing:
            if self.place == len(self.order):
                self.order, self.place = torch.randperm(len(self.order), generator=self.generator), 0
            taken = self.order[self.place : self.place + missing]
            rows.append(taken)
            self.place += len(taken)
            missing -= len(taken)
        return torch.cat(rows)

    def state_dict(self) -> dict[str, Any]:
        """The order of this pass, the place in it and the state of the generator."""
        return {"order": self.order, "place": self.place, "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.order, self.place = state["order"].clone(), int(state["place"])
        self.generator.set_state(state["generator"])


@cache
def _all_digits(size: int) -> tuple[Tensor, Tensor]:
    """All 1797 pictures (N, 1, size, size) in [-1, 1] and their digits, read from the installed scikit-learn."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    counts = torch.from_numpy(raw.images).float()[:, None] / 16  # share of ink in each block, in [0, 1]
    return _refined(counts, size) * 2 - 1, torch.from_numpy(raw.target).long()


@cache
def _rows(split: Split) -> Tensor:
    """The rows of one split, from one stratified, seeded division."""
    from sklearn.model_selection import train_test_split

    digits = _all_digits(8)[1].numpy()
    options = {"test_size": _HELD_OUT, "random_state": _SPLIT_SEED}
    rest, test = train_test_split(range(len(digits)), stratify=digits, **options)
    train, val = train_test_split(rest, stratify=digits[rest], **options)
    return torch.tensor({"train": train, "val": val, "test": test}[split])


def _refined(counts: Tensor, size: int) -> Tensor:
    """Shares of ink (N, 1, 8, 8) -> (N, 1, size, size) in [0, 1], whose averages over blocks are the shares again.

    The scan was black and white, so contrast is raised, then what the averages lost is put back, a few times over
    (iterative back-projection). Smooth interpolation alone would leave a grey blur.
    """
    if size == counts.shape[-1]:
        return counts
    fine = 4 * counts.shape[-1]  # the resolution of the scan
    ink = _enlarged(counts, fine)
    for _ in range(_REFINEMENTS):
        ink = ink + _enlarged(counts - F.avg_pool2d(ink, 4), fine)
        ink = ((ink - 0.5) * 1.5 + 0.5).clamp(0, 1)
    return F.avg_pool2d(ink, fine // size)


def _enlarged(images: Tensor, side: int) -> Tensor:
    return F.interpolate(images, size=(side, side), mode="bicubic", align_corners=False)


def _jittered(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Turn, zoom, slant and shift each picture a little; the paper around it is blank."""
    amounts = (2 * torch.rand(5, len(images), generator=generator) - 1) * strength
    angle, slant = amounts[0] * math.radians(12), amounts[1] * 0.12
    zoom, shift = torch.exp(amounts[2] * 0.12), amounts[3:].T * 0.12
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = [torch.stack([cos, slant - sin], dim=1), torch.stack([sin, cos], dim=1)]
    theta = torch.cat([torch.stack(rows, dim=1), shift[:, :, None]], dim=2).to(images.device)  # (B, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    # Zeros outside: shifted by one, so that zero is blank paper.
    return F.grid_sample(images + 1, grid, align_corners=False) - 1
