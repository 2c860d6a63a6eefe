"""Bring samples to one size; shift and mirror them with their label maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.public.error import PublicDataError
from lib.data.public.samples import Sample, Samples


@dataclass(frozen=True)
class Geometry:
    """Resize to `load`, cut out `size` x `size`, mirror. The whole sample moves together.

    Images are resized by an antialiased bicubic filter, label maps by nearest neighbour. The jitter of pix2pix
    (Isola et al. 2017) is ``Geometry(256, load=286, fit="stretch", flip=0.5)``; a test set has ``Geometry(256)``.
    """

    size: int
    """side of the result in pixels"""
    load: int | None = None
    """side before the cut; more than `size` makes the cut random. Default: size, cut at the centre"""
    fit: Literal["cover", "stretch"] = "cover"
    """cover: the short side becomes `load`, the shape is kept; stretch: both sides become `load`, as in pix2pix"""
    flip: float = 0.0
    """probability of mirroring left and right"""

    def __post_init__(self) -> None:
        if self.size < 1 or (self.load is not None and self.load < self.size) or not 0 <= self.flip <= 1:
            raise PublicDataError(
                f"A geometry needs size >= 1, load >= size and flip in [0, 1], "
                f"not size={self.size}, load={self.load}, flip={self.flip}."
            )

    @property
    def random(self) -> bool:
        """Whether two calls may differ."""
        return self.flip > 0 or (self.load or self.size) > self.size

    def check(self, samples: Samples) -> None:
        """Raise `PublicDataError` where the pictures must not be mirrored."""
        if self.flip and not samples.may_mirror:
            raise PublicDataError(f"A mirrored picture of {type(samples).__name__} is a wrong one; set flip=0.")

    def __call__(
        self, sample: Sample, *, generator: torch.Generator | None = None, mirror: tuple[int, ...] | None = None
    ) -> Sample:
        """The sample with every image (C, S, S) and every label map (S, S); all else is kept.

        Args:
            generator: draws the cut and the mirroring; may be None where nothing is random.
            mirror: class -> class in the mirrored picture, see `Samples.mirror`.
        """
        if self.random and generator is None:
            raise PublicDataError("A random cut or flip needs a torch.Generator; pass generator=.")
        height, width = sample["image"].shape[-2:]
        rows, columns = self._loaded(height, width)
        top, left = self._corner(rows, columns, generator)
        flipped = self.flip > 0 and bool(torch.rand((), generator=generator) < self.flip)

        def move(value: Any) -> Any:
            if not _spatial(value):
                return value
            value = _resized(value, rows, columns)[..., top : top + self.size, left : left + self.size]
            if flipped:
                value = value.flip(-1)
                if mirror is not None and value.ndim == 2:
                    value = torch.tensor(mirror, dtype=torch.uint8)[value.long()]
            return value.contiguous()

        return {name: move(value) for name, value in sample.items()}

    def _loaded(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns before the cut."""
        load = self.load or self.size
        if self.fit == "stretch":
            return load, load
        scale = load / min(height, width)
        return max(load, round(height * scale)), max(load, round(width * scale))

    def _corner(self, rows: int, columns: int, generator: torch.Generator | None) -> tuple[int, int]:
        """Upper left corner of the cut: random with jitter, else centred."""
        spare = torch.tensor([rows - self.size, columns - self.size])
        if (self.load or self.size) == self.size:
            top, left = (spare // 2).tolist()
        else:
            top, left = (torch.rand(2, generator=generator) * (spare + 1)).long().minimum(spare).tolist()
        return int(top), int(left)


def _spatial(value: Any) -> bool:
    """Images are (C, H, W) floats, label maps (H, W) uint8; attributes have other types."""
    if not isinstance(value, Tensor):
        return False
    return (value.ndim == 3 and value.is_floating_point()) or (value.ndim == 2 and value.dtype == torch.uint8)


def _resized(value: Tensor, rows: int, columns: int) -> Tensor:
    height, width = value.shape[-2:]
    if (height, width) == (rows, columns):
        return value
    if value.ndim == 3:
        image = F.interpolate(value[None], (rows, columns), mode="bicubic", antialias=True, align_corners=False)[0]
        return image.clamp(-1, 1)  # the filter overshoots at edges
    row = ((torch.arange(rows) + 0.5) * (height / rows)).long()
    column = ((torch.arange(columns) + 0.5) * (width / columns)).long()
    return value[row[:, None], column]
