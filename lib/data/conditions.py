"""What a translator is told about a picture: its label map, its edges, its greys, or another picture.

One object serves the streams that train, the translator that reads a reader's file, and the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lib.data.worlds.world import one_hot
from lib.images import ImageError, ImageSource, fit_size, read_image
from lib.labelmaps import LabelMap, Palette, read_label_map

__all__ = ["Condition", "ConditionError", "Source", "edges", "grey"]

Kind = Literal["labels", "edges", "grey", "picture"]
Source: TypeAlias = "ImageSource | LabelMap | Tensor"

_LUMA = (0.299, 0.587, 0.114)  # of R, G and B in brightness (ITU-R BT.601)
_SIGMA = 1.0  # px, smoothing before edges are looked for


class ConditionError(ValueError):
    """A condition cannot be made of what was given. The message says what to give."""


@dataclass(frozen=True)
class Condition:
    """How the condition x is made.

    Attributes:
        kind: "labels" (one-hot classes), "edges" (dark lines on white), "grey" (brightness) or "picture" (RGB).
        palette: of the label maps; for "labels" only.
    """

    kind: Kind
    palette: Palette | None = None

    def __post_init__(self) -> None:
        if (self.kind == "labels") != (self.palette is not None):
            raise ConditionError("A condition of labels needs a palette, and no other condition has one.")

    @property
    def channels(self) -> int:
        """Of x: K classes, 1 or 3."""
        return len(self.palette) if self.palette else 3 if self.kind == "picture" else 1

    def of(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The condition (B, channels, H, W) of a batch with ``labels`` (B, H, W) or ``image`` (B, 3, H, W)."""
        needed = "labels" if self.kind == "labels" else "image"
        if needed not in batch:
            raise ConditionError(f"The batch has no {needed!r}, only {', '.join(batch)}; use another condition.")
        if self.kind == "labels":
            return one_hot(batch["labels"], self.channels)
        made = {"edges": edges, "grey": grey}.get(self.kind)
        return batch["image"] if made is None else made(batch["image"])

    def read(self, source: Source, *, side: int | None = None) -> Tensor:
        """Read what a reader has: (1, channels, H, W) float32.

        Args:
            source: a path, PIL image, array or bytes, or a tensor in the book's form: (3, H, W) or (1, H, W) in
                [-1, 1], class indices (H, W), or the finished condition (channels, H, W). A drawing has dark lines
                on white; a label map, the colours or numbers of the palette. A first dimension of 1 is dropped.
            side: long side in px to resize to; None keeps the size.

        Raises:
            ConditionError, ImageError, LabelError: the source is not what this translator reads.
        """
        if self.palette is not None:
            return self._labels(source, self.palette, side)
        if isinstance(source, LabelMap):
            raise ConditionError(f"This translator reads {self.kind}, not a label map.")
        image = _picture(source) if isinstance(source, Tensor) else read_image(source, side=side)[None]
        if isinstance(source, Tensor) and side is not None:
            size = fit_size(image.shape[-2], image.shape[-1], side, 1)
            image = torch.nn.functional.interpolate(image, size=size, mode="bilinear", antialias=True)
        return image if self.kind == "picture" else grey(image)

    def show(self, x: Tensor) -> Tensor | LabelMap:
        """A condition (channels, H, W) as something to look at: (3, H, W) in [-1, 1], or a label map."""
        if self.palette is not None:
            return LabelMap(x.argmax(dim=0).to("cpu", torch.uint8).numpy(), self.palette)
        return x.expand(3, -1, -1)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Condition:
        """What `as_dict` gave, also after JSON made lists of its tuples.

        Raises:
            KeyError, TypeError: values are missing.
        """
        stored = values["palette"]
        palette = stored and Palette(tuple(stored["names"]), tuple(map(tuple, stored["colours"])))
        return cls(values["kind"], palette)

    def _labels(self, source: Source, palette: Palette, side: int | None) -> Tensor:
        if isinstance(source, Tensor):
            flat = source[0] if source.ndim in (3, 4) and source.shape[0] == 1 else source
            if flat.ndim == 3 and flat.shape[0] == len(palette):
                flat = flat.argmax(dim=0)
            if flat.ndim != 2 or flat.is_floating_point():
                raise ConditionError(
                    f"A label map as a tensor is class indices (H, W) or one-hot ({len(palette)}, H, W), "
                    f"not {tuple(source.shape)} {source.dtype}."
                )
            source = flat.cpu().numpy()
        if isinstance(source, np.ndarray) and source.ndim == 2 and np.issubdtype(source.dtype, np.integer):
            source = LabelMap(cast("npt.NDArray[np.uint8]", source), palette)  # which checks the range itself
        layout = read_label_map(source, palette=palette)
        if side is not None:
            layout = layout.resized(*fit_size(layout.height, layout.width, side, 1))
        return layout.one_hot()


def grey(images: Tensor) -> Tensor:
    """Brightness: (B, 3, H, W) in [-1, 1] -> (B, 1, H, W) in [-1, 1]."""
    weights = images.new_tensor(_LUMA).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def edges(images: Tensor, *, sigma: float = _SIGMA) -> Tensor:
    """Canny's edges as a drawing: (B, 3, H, W) in [-1, 1] -> (B, 1, H, W), -1 on a line and 1 on the paper.

    Args:
        sigma: px, smoothing before the search: larger draws fewer lines.
    """
    from skimage.feature import canny  # slow to import, and only edges need it

    find: Callable[..., npt.NDArray[np.bool_]] = canny
    # scikit-image looks at one picture at a time, on the CPU: draw edges once, not in every round.
    brightness = grey(images.float())[:, 0].cpu().numpy()
    lines = np.stack([find((picture + 1) / 2, sigma=sigma) for picture in brightness])
    return (1 - 2 * torch.from_numpy(lines).float()).unsqueeze(1).to(images.device)


def _picture(tensor: Tensor) -> Tensor:
    """(3, H, W), (1, H, W), or the same behind a dimension of 1, in [-1, 1] -> (1, 3, H, W)."""
    image = tensor[None] if tensor.ndim == 3 else tensor
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] not in (1, 3) or not image.is_floating_point():
        raise ConditionError(
            f"A picture as a tensor is (3, H, W) or (1, H, W) in [-1, 1], not {tuple(tensor.shape)} {tensor.dtype}."
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= -1.001 and high <= 1.001):  # NaN fails, too
        raise ImageError(f"The picture's values run from {low:g} to {high:g}; a picture as a tensor lies in [-1, 1].")
    return image.float().expand(1, 3, -1, -1)
