"""Pictures for the chapters: small on disk, the same bytes at each run, and never without words."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image
    from torch import Tensor

    from lib.labelmaps import LabelMap

    Cell: TypeAlias = Tensor | LabelMap | Image.Image

Kind: TypeAlias = Literal["jpeg", "png"]
JPEG_QUALITY = 88
ENLARGED_QUALITY = 76
MIN_ALT_LENGTH = 8


@dataclass(frozen=True)
class Picture:
    """An encoded image and the text that says what it shows; displays itself as the last line of a cell."""

    data: bytes = field(repr=False)
    kind: Kind
    alt: str

    def __post_init__(self) -> None:
        if len(self.alt.strip()) < MIN_ALT_LENGTH:
            raise ValueError("A picture needs alt text: say in one sentence what a reader would see in it.")

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {f"image/{self.kind}": base64.b64encode(self.data).decode("ascii"), "text/plain": self.alt}


def show_images(
    rows: Sequence[Cell] | Sequence[Sequence[Cell]],
    titles: Sequence[str] | Sequence[Sequence[str]] | None = None,
    *,
    alt: str,
    scale: int = 1,
    smooth: bool = False,
    kind: Kind = "jpeg",
) -> Picture:
    """Return one row, or several rows, of images and label maps as one picture with titles.

    An image is a tensor ``(3, H, W)`` in ``[-1, 1]``. ``titles`` is one string per column, or one row of
    strings per row. ``scale`` enlarges each cell by a whole factor; with ``smooth`` the images, never the label
    maps, are interpolated, which takes half the bytes as a JPEG. ``alt`` says what is seen, for readers who do
    not see it. ``kind="png"`` keeps every pixel, at several times the size.
    """
    from lib.images import contact_sheet

    if len(rows) == 0:
        raise ValueError("There is nothing to show: the list of images is empty.")
    nested = all(isinstance(row, list | tuple) for row in rows)
    table: Any = rows if nested else [rows]
    if smooth:
        table, scale = [[_enlarged(cell, scale) for cell in row] for row in table], 1
    return Picture(_encode(contact_sheet(table, titles, scale), kind, smooth), kind, alt)


def show_figure(figure: Figure, *, alt: str, kind: Kind = "png", dpi: int = 100) -> Picture:
    """Return a matplotlib figure as a picture with alt text; ``kind="jpeg"`` when it holds photos.

    The figure is closed, so that a notebook does not show it a second time.
    """
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)
    data = buffer.getvalue()
    if kind == "jpeg":
        with Image.open(buffer) as drawn:
            data = _encode(drawn.convert("RGB"), kind)
    return Picture(data, kind, alt)


def _enlarged(cell: Cell, scale: int) -> Cell:
    """The cell at ``scale`` times its size: images by a smooth filter, label maps pixel by pixel."""
    from PIL import Image
    from torch import Tensor

    from lib.images import to_pil

    picture = cell if isinstance(cell, Image.Image) else to_pil(cell if isinstance(cell, Tensor) else cell.to_rgb())
    photographic = isinstance(cell, Tensor | Image.Image)
    how = Image.Resampling.BICUBIC if photographic else Image.Resampling.NEAREST
    return picture.resize((picture.width * scale, picture.height * scale), how)


def _encode(image: Image.Image, kind: Kind, enlarged: bool = False) -> bytes:
    buffer = io.BytesIO()
    if kind == "jpeg":
        # Full colour resolution: halved chroma would smear the borders of label maps. In an enlarged picture
        # half of it is still one value for each pixel of the original.
        quality, subsampling = (ENLARGED_QUALITY, 2) if enlarged else (JPEG_QUALITY, 0)
        image.save(buffer, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
    else:
        image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
