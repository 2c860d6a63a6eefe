"""Pictures on their way to a browser."""

from __future__ import annotations

import io

from PIL import Image
from torch import Tensor

from lib.images import to_pil

__all__ = ["enlarged", "png", "thumbnail"]


def png(picture: Image.Image) -> bytes:
    """A PNG, packed quickly: it goes to the browser once and is thrown away."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def thumbnail(picture: Image.Image, height: int) -> bytes:
    """A small JPEG with sides for a sharp screen: 2 ``height`` pixels high."""
    small = picture.resize((max(1, round(2 * height * picture.width / picture.height)), 2 * height))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def enlarged(picture: Tensor, scale: int) -> Image.Image:
    """(3, H, W) in [-1, 1] with every pixel repeated: a smooth filter would judge beside the rater."""
    drawn = to_pil(picture)
    return drawn.resize((drawn.width * scale, drawn.height * scale), Image.Resampling.NEAREST)
