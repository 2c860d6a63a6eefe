"""Digits of many fonts as signed distance fields: read once, drawn at any size, place and slant on the device.

The fonts are the ones that matplotlib carries, so nothing is downloaded. A glyph is drawn large, turned into its
exact signed distance and kept on a small grid: a distance is smooth, so interpolating it loses far less than
interpolating the picture of the glyph would.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F


class Font(NamedTuple):
    """Ten digits in a font file of matplotlib."""

    file: str  # without the ending ``.ttf``
    zero: str = "0"  # the character of the digit 0; those of 1 to 9 follow it


_SANS, _BOLD_SANS = "\U0001d7e2", "\U0001d7ec"  # mathematical digits of Unicode

FONTS = (
    *(
        Font(file)
        for file in (
            "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
            "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold",
            "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic", "STIXGeneral", "STIXGeneralBol",
            "STIXGeneralItalic", "STIXGeneralBolIta", "cmr10", "cmb10", "cmss10", "cmtt10", "cmti10",
        )
    ),
    # The 1 of nearly all those stands on a foot. On walls there are bare ones, too, as in these.
    Font("STIXGeneral", _SANS), Font("STIXGeneralBol", _BOLD_SANS),
)  # fmt: skip
EXTENT = 1.5
"""A field covers [-EXTENT, EXTENT] in units of half the height of a digit."""
_TEXELS = 96
_FINE = 2  # pixels of the large drawing for each texel of the field


class GlyphError(ValueError):
    """The fonts cannot be read. The message says how to mend it."""


@cache
def glyph_fields(device: torch.device) -> Tensor:
    """Signed distances (fonts, 10, texels, texels) of the digits: negative in the ink; a digit is 2 units high.

    Read in about two seconds, then kept on the device; do not write into it.

    Raises:
        GlyphError: a font is missing.
    """
    if device.type != "cpu":
        return glyph_fields(torch.device("cpu")).to(device)
    return torch.stack([_font_fields(font) for font in FONTS])


@cache
def half_widths(device: torch.device) -> Tensor:
    """Half the width of the ink of each digit, (fonts, 10), in the units of the fields."""
    x = (torch.arange(_TEXELS, device=device) + 0.5) * (2 * EXTENT / _TEXELS) - EXTENT
    inked = (glyph_fields(device) < 0).any(dim=2)  # (fonts, 10, columns)
    return torch.where(inked, x.abs(), 0).amax(dim=-1)


def glyph_distance(font: Tensor, digit: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance to one glyph for each picture, in its own units.

    Args:
        font: (B,) int64, an index into `FONTS`.
        digit: (B,) int64, 0 to 9.
        x, y: (B, H, W), coordinates in which the digit fills y from -1 to 1 round the origin.
    """
    fields = glyph_fields(x.device)[font, digit][:, None]  # (B, 1, texels, texels)
    places = torch.stack([x, y], dim=-1) / EXTENT  # (B, H, W, 2)
    return F.grid_sample(fields, places, padding_mode="border", align_corners=False)[:, 0]


def _font_fields(which: Font) -> Tensor:
    """The fields of the ten digits of one font, all at the scale of its tallest."""
    font, digits = _font(which.file), [chr(ord(which.zero) + digit) for digit in range(10)]
    boxes = [font.getbbox(digit) for digit in digits]
    height = max(bottom - top for _, top, _, bottom in boxes)
    return torch.stack([_field(font, digit, height) for digit in digits])


def _font(name: str) -> ImageFont.FreeTypeFont:
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    try:
        # A digit is about 0.7 em high, and 2 of the 2 * EXTENT units of the drawing.
        return ImageFont.truetype(str(path), size=round(_TEXELS * _FINE / EXTENT / 0.7))
    except OSError as error:
        raise GlyphError(f"The font {name} is not in matplotlib's folder; install matplotlib again.") from error


def _field(font: ImageFont.FreeTypeFont, digit: str, height: float) -> Tensor:
    """One digit, centred, as signed distances on the small grid."""
    left, top, right, bottom = font.getbbox(digit)
    side = round(height * EXTENT)
    picture = Image.new("L", (side, side))
    place = ((side - left - right) / 2, (side - top - bottom) / 2)
    ImageDraw.Draw(picture).text(place, digit, fill=255, font=font)
    ink = np.asarray(picture) > 127
    # Pixel centres lie half a pixel from the outline between them.
    outside, inside = distance_transform_edt(~ink) - 0.5, 0.5 - distance_transform_edt(ink)
    distance: npt.NDArray[np.float64] = np.where(ink, inside, outside)
    field = torch.from_numpy((distance * (2 / height)).astype(np.float32))[None, None]
    return F.interpolate(field, size=(_TEXELS, _TEXELS), mode="bilinear", antialias=True, align_corners=False)[0, 0]
